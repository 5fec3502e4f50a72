"""Faults to order: which request is answered wrongly, how, and how often. Chances are seeded; nothing is hidden.

A fault is matched against path and query as decoded text (`/v1.0/users/<id>/calendarView?...`), in a batch too; one of
EWS against `/EWS/Exchange.asmx?<operation>&<mailbox>`.
"""

import re
from email.utils import formatdate
from enum import StrEnum
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from deploy.sandbox.answers import JSON, Answer
from shared.contracts.values import Instant


class FaultKind(StrEnum):
    """What a fault does to a request."""

    THROTTLE = "throttle"  # 429 with Retry-After in the form asked for; EWS: ErrorServerBusy
    ERROR = "error"  # `status` (500, 502, 503, 504 or any other) with Graph's body; EWS: the SOAP fault `code`
    SLOW = "slow"  # the right answer, `seconds` later
    HTML = "html"  # 200 with a page for people
    TRUNCATED = "truncated"  # 200 with the first half of the JSON
    MIDWAY = "midway"  # page `page` of a listing fails with `status`
    UNAUTHORIZED = "unauthorized"  # 401, as for an expired token
    DROP = "drop"  # the connection is closed without an answer


class RetryForm(StrEnum):
    """How Retry-After is written."""

    INTEGER = "integer"
    FRACTION = "fraction"
    DATE = "date"
    NONE = "none"
    HTTP = "http"  # EWS: HTTP 503 with Retry-After instead of a SOAP fault
    INNER = "inner"  # EWS: HTTP 200 and a response of class Error that holds ErrorServerBusy


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault: what it does, to which requests, and how often."""

    kind: FaultKind
    match: Annotated[
        str, Meta(description="A regular expression searched in path and query; empty: any of Graph and EWS.")
    ] = ""
    mailbox: Annotated[str, Meta(description="An address or id: only this mailbox's requests.")] = ""
    times: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="How often it strikes; none: for ever.")] = (
        None
    )
    share: Annotated[float, Meta(gt=0, le=1, description="The share of matching requests it strikes.")] = 1.0
    after: Annotated[int, Meta(ge=0, description="How many matching requests pass first.")] = 0
    every: Annotated[int, Meta(ge=1, description="Strikes each so-manieth matching request only.")] = 1
    status: Annotated[int, Meta(ge=400, le=599, description="The status of `error` and `midway`.")] = 503
    code: Annotated[str, Meta(description="The error code, where not the usual one of the status.")] = ""
    seconds: Annotated[float, Meta(ge=0, le=3600, description="The pause: Retry-After, or how slow.")] = 1.0
    retry_form: Annotated[RetryForm, Meta(description="How `throttle` writes Retry-After.")] = RetryForm.INTEGER
    page: Annotated[int, Meta(ge=2, description="The page `midway` fails at.")] = 2


class Ordered(Struct, kw_only=True):
    """A fault that is on order: how many requests it has seen and struck."""

    number: int
    fault: Fault
    pattern: re.Pattern[str]
    seen: int = 0
    struck: int = 0


class Faults:
    """The faults on order, asked once per request."""

    def __init__(self, seed: int) -> None:
        """Take the seed that decides about shares."""
        self._chance = Random(f"faults/{seed}")  # noqa: S311 -- repeatable, not secret
        self._number = 0
        self.orders: list[Ordered] = []

    def order(self, fault: Fault) -> int:
        """Put a fault on order and return its number. Raises re.error where `match` is no regular expression."""
        self._number += 1
        self.orders.append(Ordered(number=self._number, fault=fault, pattern=re.compile(fault.match)))
        return self._number

    def clear(self, number: int | None = None) -> None:
        """Cancel one order, or all."""
        self.orders = [order for order in self.orders if number is not None and order.number != number]

    def strike(self, subject: str, *, names: tuple[str, ...] = (), page: int = 1, named: bool = False) -> Fault | None:
        """Return the first fault that strikes this request, counting it.

        `names` are those of the request's mailbox; where `named`, only faults that name a path strike.
        """
        for order in self.orders:
            if named and not order.fault.match:
                continue
            if _matches(order, subject, names, page) and self._strikes(order):
                order.struck += 1
                return order.fault
        return None

    def _strikes(self, order: Ordered) -> bool:
        order.seen += 1
        fault = order.fault
        if order.seen <= fault.after or (fault.times is not None and order.struck >= fault.times):
            return False
        if (order.seen - fault.after) % fault.every:
            return False
        return fault.share >= 1 or self._chance.random() < fault.share


def _matches(order: Ordered, subject: str, names: tuple[str, ...], page: int) -> bool:
    fault = order.fault
    if fault.kind is FaultKind.MIDWAY and page != fault.page:
        return False
    if fault.mailbox and fault.mailbox.lower() not in names:
        return False
    return order.pattern.search(subject) is not None


_WORDS = {
    500: ("generalException", "An internal server error occurred."),
    502: ("BadGateway", "The gateway received an answer it could not use."),
    503: ("serviceNotAvailable", "The service is not available at present."),
    504: ("gatewayTimeout", "The gateway received no answer in time."),
}
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>Working on it</p></body></html>"


def words(fault: Fault) -> tuple[int, str, str]:
    """Return the status, code and message of the error a fault answers with."""
    if fault.kind is FaultKind.UNAUTHORIZED:
        return 401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."
    if fault.kind is FaultKind.THROTTLE:
        return 429, fault.code or "TooManyRequests", "Please retry again later."
    code, message = _WORDS.get(fault.status, ("UnknownError", "The request failed."))
    return fault.status, fault.code or code, message


def retry_after(fault: Fault, now: Instant) -> dict[str, str]:
    """Return the Retry-After header a throttle carries, in the form it was ordered in."""
    match fault.retry_form:
        case RetryForm.NONE:
            return {}
        case RetryForm.FRACTION:
            return {"Retry-After": f"{fault.seconds:.3f}"}
        case RetryForm.DATE:
            return {"Retry-After": formatdate(now + fault.seconds, usegmt=True)}
        case _:
            return {"Retry-After": str(max(0, round(fault.seconds)))}


def throttled_body(request: str, date: str) -> bytes:
    """Return the body of Graph's 429, which nests further codes."""
    inner = {"code": "429", "date": date, "message": "Please retry after", "request-id": request, "status": "429"}
    said = {"code": "TooManyRequests", "innerError": inner, "message": "Please retry again later."}
    return msgspec.json.encode({"error": said})


def spoilt(fault: Fault, answer: Answer) -> Answer:
    """Return an answer as `html` or `truncated` spoil it."""
    if fault.kind is FaultKind.HTML:
        return Answer(status=200, body=PAGE, content_type="text/html; charset=utf-8")
    return Answer(status=answer.status, body=answer.body[: len(answer.body) // 2], content_type=JSON)
