"""Compares the subscriptions that Microsoft lists for a tenant with ours: what is a stray, what is ours, what is gone.

It refuses to touch a subscription of another address, unless that one stands in the way of ours.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from services.fetcher.plans import CONFLICT, GAP, LIFETIME, Row
from shared.contracts.values import Instant

RECENT: Final = 600  # seconds in which Microsoft's list may not yet show a new one

_RESOURCE: Final = re.compile(r"^/?users/([A-Za-z0-9_-]{1,128})/events$", re.IGNORECASE)


class Listed(Struct, frozen=True, kw_only=True):
    """A subscription as Microsoft lists it.

    `sound`: both addresses are the present ones, and its client state, where it is told, is one of ours.
    """

    subscription_id: str
    resource: str
    expires_at: Instant
    ours: bool  # sent to our present address
    sound: bool


class Found(Struct, frozen=True, kw_only=True):
    """What follows: ids to delete at Microsoft, rows that have a subscription after all, rows that have none."""

    strays: tuple[str, ...]
    adopted: tuple[tuple[Row, Listed], ...]
    lacking: tuple[Row, ...]


def mailbox_of(resource: str) -> str:
    """Return the id of the mailbox whose events a resource names (users/{id}/events, in whatever case), else ""."""
    match = _RESOURCE.match(resource)
    return match[1] if match else ""


class _Mine:
    """Our rows as they were read once the list was there, found both ways."""

    def __init__(self, listed: Sequence[Listed], rows: Collection[Row]) -> None:
        names = {each.subscription_id for each in listed}
        self.by_id = {row.subscription_id: row for row in rows if row.subscription_id is not None}
        self.awaiting = {row.mailbox_id.lower(): row for row in rows if row.wanted and row.subscription_id not in names}


def compare(listed: Sequence[Listed], *, before: Mapping[str, Row], after: Collection[Row], now: Instant) -> Found:
    """Return what follows from a complete list of a tenant's subscriptions.

    `before` holds our rows (by mailbox id) as they were before the list was asked for: only what was ours by then can
    be gone. `after` holds them afterwards: only what is not ours by then can be a stray. One under way in between is
    recognised by its mailbox.
    """
    mine = _Mine(listed, after)
    strays: list[str] = []
    adopted: list[tuple[Row, Listed]] = []
    lacking: list[Row] = []
    for each in listed:
        row = mine.by_id.get(each.subscription_id)
        if row is None:
            _unknown(each, mine, strays, adopted=adopted, lacking=lacking)
        elif row.wanted and not each.sound:
            strays.append(each.subscription_id)
            lacking.append(row)
    had = {row.mailbox_id for row, _ in adopted}
    lacking += [row for row in _gone(listed, before=before, after=after, now=now) if row.mailbox_id not in had]
    return Found(strays=tuple(strays), adopted=tuple(adopted), lacking=tuple(lacking))


def _unknown(
    each: Listed,
    mine: _Mine,
    strays: list[str],
    *,
    adopted: list[tuple[Row, Listed]],
    lacking: list[Row],
) -> None:
    """Judge one that no row names: ours by its mailbox, a stray of ours, in the way of ours, or not our business."""
    mailbox = mailbox_of(each.resource).lower()
    row = mine.awaiting.get(mailbox)
    if each.ours and each.sound and row is not None:
        del mine.awaiting[mailbox]  # a second one of the same mailbox is a stray
        adopted.append((row, each))
    elif each.ours:
        strays.append(each.subscription_id)
    elif row is not None and row.reason == CONFLICT:
        strays.append(each.subscription_id)
        lacking.append(row)


def _gone(listed: Sequence[Listed], *, before: Mapping[str, Row], after: Collection[Row], now: Instant) -> list[Row]:
    names = {each.subscription_id for each in listed}
    held = [row for row in after if row.wanted and row.subscription_id is not None and row.reason != GAP]
    return [
        row
        for row in held
        if row.subscription_id not in names
        and (earlier := before.get(row.mailbox_id)) is not None
        and earlier.subscription_id == row.subscription_id
        and (row.expires_at or 0) < now + LIFETIME - RECENT
    ]
