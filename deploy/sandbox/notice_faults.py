"""Faults to order for notifications of changes: lost, repeated, late or out of order. Chances are seeded."""

from enum import StrEnum
from random import Random
from typing import Annotated

from msgspec import Meta, Struct


class NoticeFaultKind(StrEnum):
    """What a fault does to a notification."""

    LOSE = "lose"  # it is never sent, and nobody is told
    DUPLICATE = "duplicate"  # it is sent `copies` times more
    DELAY = "delay"  # it is sent `seconds` later
    REORDER = "reorder"  # it is sent at any moment of the next `seconds`


class NoticeFault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault: what it does, to which mailbox's notifications, and how often."""

    kind: NoticeFaultKind
    mailbox: Annotated[str, Meta(description="An address or id: only this mailbox's notifications.")] = ""
    times: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="How often it strikes; none: for ever.")] = (
        None
    )
    share: Annotated[float, Meta(gt=0, le=1, description="The share of notifications it strikes.")] = 1.0
    copies: Annotated[int, Meta(ge=1, le=1000, description="How often more `duplicate` sends.")] = 1
    seconds: Annotated[float, Meta(ge=0, le=86_400, description="How late, or within which time.")] = 1.0


class NoticeOrder(Struct, kw_only=True):
    """A fault that is on order, and how often it struck."""

    number: int
    fault: NoticeFault
    struck: int = 0


class Treatment(Struct, frozen=True, kw_only=True):
    """What becomes of one notification: how late (seconds) each of its copies is sent; none where it is lost."""

    pauses: tuple[float, ...]


class NoticeFaults:
    """The faults on order, asked once per notification."""

    def __init__(self, seed: int) -> None:
        """Take the seed that decides about shares."""
        self._chance = Random(f"notices/{seed}")  # noqa: S311 -- repeatable, not secret
        self._number = 0
        self.orders: list[NoticeOrder] = []

    def order(self, fault: NoticeFault) -> int:
        """Put a fault on order and return its number."""
        self._number += 1
        self.orders.append(NoticeOrder(number=self._number, fault=fault))
        return self._number

    def clear(self, number: int | None = None) -> None:
        """Cancel one order, or all."""
        self.orders = [order for order in self.orders if number is not None and order.number != number]

    def treat(self, *names: str) -> Treatment:
        """Return what becomes of a notification about the mailbox of these names; every fault may strike it."""
        struck = [order.fault for order in self.orders if self._strikes(order, names)]
        if any(fault.kind is NoticeFaultKind.LOSE for fault in struck):
            return Treatment(pauses=())
        copies = 1 + sum(fault.copies for fault in struck if fault.kind is NoticeFaultKind.DUPLICATE)
        late = sum(fault.seconds for fault in struck if fault.kind is NoticeFaultKind.DELAY)
        within = sum(fault.seconds for fault in struck if fault.kind is NoticeFaultKind.REORDER)
        return Treatment(pauses=tuple(late + within * self._chance.random() for _ in range(copies)))

    def _strikes(self, order: NoticeOrder, names: tuple[str, ...]) -> bool:
        fault = order.fault
        if fault.mailbox and fault.mailbox.lower() not in names:
            return False
        if fault.times is not None and order.struck >= fault.times:
            return False
        if fault.share < 1 and self._chance.random() >= fault.share:
            return False
        order.struck += 1
        return True
