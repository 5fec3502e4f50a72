"""Graph's routes under /v1.0: who asks, what may be asked, and which part of the sandbox answers.

A request passes the token check, the count, the ordered faults and the pause before it is served, in a batch too.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from deploy.sandbox import batch, mailboxes, people, subscribing
from deploy.sandbox.answers import Answer, Ask, Refusal, error, request_id
from deploy.sandbox.calls import Call
from deploy.sandbox.faults import Fault, FaultKind, retry_after, spoilt, throttled_body, words
from deploy.sandbox.state import State
from deploy.sandbox.tokens import Issued
from shared.clock import moment

PREFIX = "/v1.0/"
_ROUTES = (
    ("users", re.compile(r"users")),
    ("user", re.compile(r"users/(?P<who>[^/]+)")),
    ("mailboxSettings", re.compile(r"users/(?P<who>[^/]+)/mailboxSettings", re.IGNORECASE)),
    ("calendarView", re.compile(r"users/(?P<who>[^/]+)/(?:calendar/)?calendarView", re.IGNORECASE)),
    ("event", re.compile(r"users/(?P<who>[^/]+)/(?:calendar/)?events/(?P<event>[^/]+)", re.IGNORECASE)),
    ("places", re.compile(r"places/(?:microsoft\.)?graph\.room", re.IGNORECASE)),
    (
        "transitiveMembers",
        re.compile(r"groups/(?P<group>[^/]+)/transitiveMembers(?P<cast>/(?:microsoft\.)?graph\.user)?"),
    ),
    ("organization", re.compile(r"organization")),
    ("subscriptions", re.compile(r"subscriptions", re.IGNORECASE)),
    ("subscription", re.compile(r"subscriptions/(?P<subscription>[^/]+)", re.IGNORECASE)),
    ("reauthorize", re.compile(r"subscriptions/(?P<subscription>[^/]+)/reauthorize", re.IGNORECASE)),
    ("batch", re.compile(r"\$batch")),
)
_DIRECTORY = frozenset({"Directory.Read.All", "Directory.ReadWrite.All"})
_ROLES = {
    "users": frozenset({"User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All"}) | _DIRECTORY,
    "user": frozenset({"User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All"}) | _DIRECTORY,
    "places": frozenset({"Place.Read.All", "Place.ReadWrite.All"}),
    "transitiveMembers": frozenset({"GroupMember.Read.All", "Group.Read.All"}) | _DIRECTORY,
    "organization": frozenset({"Organization.Read.All"}) | _DIRECTORY,
}
_SUBSCRIBING = frozenset({"subscriptions", "subscription", "reauthorize"})
_OF_MAILBOXES = frozenset({"mailboxSettings", "calendarView", "event"})


class Route(Struct, frozen=True, kw_only=True):
    """Which route a path is, and the names in it, decoded."""

    kind: str
    who: str = ""
    group: str = ""
    event: str = ""
    subscription: str = ""
    cast: bool = False


def route(path: str) -> Route:
    """Return the route of a path below /v1.0/; `other` where there is none."""
    decoded = unquote(path)
    for kind, pattern in _ROUTES:
        if found := pattern.fullmatch(decoded):
            names: dict[str, Any] = found.groupdict()
            return Route(kind=kind, **(names | {"cast": bool(names["cast"])} if "cast" in names else names))
    return Route(kind="other")


async def answer(state: State, ask: Ask, *, issued: Issued | None = None) -> Answer:
    """Answer one Graph request; `issued` is what the token of its batch allows. Never raises."""
    this = route(ask.path.removeprefix(PREFIX))
    state.counts.total += 1
    state.counts.kinds[this.kind] += 1
    try:
        issued = issued or authenticated(state, ask)
        if this.kind == "batch":
            made = await _struck(state, ask, this, issued=issued, names=())
        else:
            made = await _for_mailbox(state, ask, this, issued=issued)
    except Refusal as refusal:
        made = error(refusal, ask, state.clock())
    state.counts.statuses[made.status] += 1
    return made


def authenticated(state: State, ask: Ask) -> Issued:
    """Return what the bearer token allows. Raises Refusal (401)."""
    scheme, _, token = ask.headers.get("authorization", "").partition(" ")
    headers = {"WWW-Authenticate": 'Bearer realm="", authorization_uri="", client_id=""'}
    if scheme.lower() != "bearer" or not token:
        raise Refusal(401, "InvalidAuthenticationToken", "Access token is empty.", headers)
    issued = state.tokens.get(token)
    if issued is None:
        raise Refusal(401, "InvalidAuthenticationToken", "Access token validation failure.", headers)
    if issued.expires <= state.clock():
        message = "Lifetime validation failed, the token is expired."
        raise Refusal(401, "InvalidAuthenticationToken", message, headers)
    return issued


async def _for_mailbox(state: State, ask: Ask, this: Route, *, issued: Issued) -> Answer:
    """Count the request as in flight for its mailbox, and refuse it where too many are."""
    person = state.tenants[issued.tenant_id].person(this.who) if this.kind in _OF_MAILBOXES else None
    if person is None:
        return await _struck(state, ask, this, issued=issued, names=())
    limit = state.options.concurrency
    try:
        if state.counts.enter(person.address) > limit > 0:
            message = "Application is over its MailboxConcurrency limit."
            raise Refusal(429, "ApplicationThrottled", message, {"Retry-After": "1"})
        names = (person.address, person.user_id, person.upn.lower())
        return await _struck(state, ask, this, issued=issued, names=names)
    finally:
        state.counts.leave(person.address)


async def _struck(state: State, ask: Ask, this: Route, *, issued: Issued, names: tuple[str, ...]) -> Answer:
    """Answer after the pause, and wrongly where a fault is on order."""
    fault = _fault(state, ask, names) if state.faults.orders else None
    pause = state.options.latency * (this.kind != "batch") + (fault.seconds if fault and fault.kind == "slow" else 0)
    if pause:
        await asyncio.sleep(pause)
    match fault and fault.kind:
        case None | FaultKind.SLOW:
            return await _served(state, ask, this, issued=issued)
        case FaultKind.HTML | FaultKind.TRUNCATED:
            assert fault is not None
            return spoilt(fault, await _served(state, ask, this, issued=issued))
        case FaultKind.DROP:
            return Answer(status=503, dropped=True)
        case _:
            assert fault is not None
            return failed(state, ask, fault)


def failed(state: State, ask: Ask, fault: Fault) -> Answer:
    """Return the error a fault answers with."""
    status, code, message = words(fault)
    now = state.clock()
    headers = retry_after(fault, now) if status == 429 else {}
    if status == 429 and not fault.code:
        this = request_id()
        return Answer(status=429, body=throttled_body(this, moment(now)[:-1]), headers={**headers, "request-id": this})
    return error(Refusal(status, code, message, headers), ask, now)


def _fault(state: State, ask: Ask, names: tuple[str, ...]) -> Fault | None:
    subject = unquote(f"{ask.path}?{ask.query}" if ask.query else ask.path)
    return state.faults.strike(subject, names=names, page=_page(ask))


def _page(ask: Ask) -> int:
    """Return which page of a listing is asked for, from the place its link names."""
    given = ask.parameters()
    place = given.get("$skip") or given.get("$skiptoken", "")[10:]
    if not place.isdecimal() or not int(place):
        return 1
    size = given.get("$top", "")
    return 1 + int(place) // (int(size) if size.isdecimal() and int(size) else 100)


async def _served(state: State, ask: Ask, this: Route, *, issued: Issued) -> Answer:
    if this.kind == "batch":
        return await batch.answer(ask, lambda item: answer(state, item, issued=issued))
    if this.kind == "other":
        message = f"Resource not found for the segment '{unquote(ask.path).rpartition('/')[2]}'."
        raise Refusal(400, "BadRequest", message)
    call = Call(state=state, ask=ask, issued=issued)
    if this.kind in _SUBSCRIBING:
        return await subscribing.answer(call, this.subscription, reauthorizes=this.kind == "reauthorize")
    if ask.method not in {"GET", "HEAD"}:
        raise Refusal(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    needed = _ROLES.get(this.kind)
    if needed is not None and issued.roles.isdisjoint(needed):
        raise Refusal(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
    return _READERS[this.kind](call, this)


_READERS: dict[str, Callable[[Call, Route], Answer]] = {
    "calendarView": lambda call, this: mailboxes.calendar_view(call, this.who),
    "mailboxSettings": lambda call, this: mailboxes.settings(call, this.who),
    "event": lambda call, this: mailboxes.event(call, this.who, this.event),
    "users": lambda call, _: people.users(call),
    "user": lambda call, this: people.user(call, this.who),
    "places": lambda call, _: people.rooms(call),
    "transitiveMembers": lambda call, this: people.members(call, this.group, only_users=this.cast),
    "organization": lambda call, _: people.organization(call),
}
