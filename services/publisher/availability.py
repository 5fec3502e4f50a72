"""Answers when mailboxes are busy, one in full or many at once.

It refuses to answer for time that is not covered: that is an error that states the window, never an empty list.
"""

import asyncio

from aiohttp import web

from services.publisher import news
from services.publisher.access import STORE, Org, org_asked
from services.publisher.answers import Availability, FreeBusy, FreeBusyAnswer, FreeBusyAsked, FreeBusyError
from services.publisher.asking import body_of, moment_of, parameters, span_of
from services.publisher.moments import moment
from services.publisher.operations import Operation, Parameter
from services.publisher.problems import Problem
from services.publisher.published import NOT_READ_YET, Shown, published
from services.publisher.reply import reply
from services.publisher.timeline import Timeline
from shared.contracts.public import Span
from shared.contracts.values import Coverage, Window
from shared.store import Store

MOST_DAYS_AT_ONCE = 62
_AT_ONCE = 50  # mailboxes read and sliced before other requests have their turn
_STATUS = {"mailbox_unknown": 404, "availability_unknown": 409, "outside_window": 422}
_TITLES = {
    "mailbox_unknown": "There is no such mailbox",
    "availability_unknown": "It is not known when this mailbox is busy",
    "outside_window": "The time asked for is not covered",
}


async def availability(request: web.Request) -> web.Response:
    """GET /v1/orgs/{org}/mailboxes/{address}/availability: the whole window, or [from, to) within it."""
    org = await org_asked(request)
    asked = parameters(request, {"from", "to"})
    start, end = (moment_of(name, asked[name]) if name in asked else None for name in ("from", "to"))
    name = _name(request.match_info["address"])
    shown = (await published(request.app[STORE], org, [name])).get(name)
    timeline = _known(shown)
    window = timeline.window
    span = span_of(window.start if start is None else start, window.end if end is None else end)
    if (refusal := refused(shown, span)) is not None:
        raise _problem(refusal)
    return reply(_whole(timeline, span, position=shown.position if shown else 0))


async def free_busy(request: web.Request) -> web.Response:
    """POST /v1/orgs/{org}/free-busy: one answer for each mailbox asked about, in that order."""
    await org_asked(request)  # of nobody else a body is read
    asked = await body_of(request, FreeBusyAsked)
    org = await org_asked(request)  # a body may be long in coming, and the policy stricter by now
    start, end = moment_of("from", asked.start), moment_of("to", asked.end)
    span = span_of(start, end, most_days=MOST_DAYS_AT_ONCE)
    answers = await _answers(request.app[STORE], org, asked.mailboxes, span)
    return reply(FreeBusyAnswer(start=moment(span.start), end=moment(span.end), mailboxes=answers))


def refused(shown: Shown | None, span: Window | None) -> FreeBusyError | None:
    """Return why there is no answer for a mailbox over a span (None: over whatever is covered), or None."""
    if shown is None:
        return FreeBusyError(code="mailbox_unknown")
    timeline = shown.timeline
    if timeline is None or timeline.coverage is not Coverage.FULL:
        reason = shown.reason if timeline is None else timeline.reason
        return FreeBusyError(code="availability_unknown", reason=reason or NOT_READ_YET)
    window = timeline.window
    if span is not None and not (window.start <= span.start and span.end <= window.end):
        return FreeBusyError(code="outside_window", window=Span(start=moment(window.start), end=moment(window.end)))
    return None


def _known(shown: Shown | None) -> Timeline:
    refusal = refused(shown, None)
    if refusal is not None:
        raise _problem(refusal)
    assert shown is not None
    assert shown.timeline is not None
    return shown.timeline


def _problem(refusal: FreeBusyError) -> Problem:
    return Problem(
        _STATUS[refusal.code],
        refusal.code,
        title=_TITLES[refusal.code],
        reason=refusal.reason or "",
        window=refusal.window,
    )


def _whole(timeline: Timeline, span: Window, *, position: int) -> Availability:
    return Availability(
        org_id=timeline.org_id,
        mailbox_id=timeline.mailbox_id,
        mailbox=timeline.address,
        time_zone=timeline.time_zone,
        version=timeline.version,
        as_of=moment(timeline.as_of),
        coverage="full",
        privacy=news.privacy(timeline),
        window=Span(start=moment(timeline.window.start), end=moment(timeline.window.end)),
        start=moment(span.start),
        end=moment(span.end),
        busy=news.busy(timeline.blocks, span),
        events=news.events(timeline.events, span),
        position=position,
    )


async def _answers(store: Store, org: Org, asked: tuple[str, ...], span: Window) -> tuple[FreeBusy, ...]:
    answers: list[FreeBusy] = []
    for start in range(0, len(asked), _AT_ONCE):
        names = asked[start : start + _AT_ONCE]
        found = await published(store, org, [_name(name) for name in names])
        answers += [_one(name, found.get(_name(name)), span) for name in names]
        await asyncio.sleep(0)
    return tuple(answers)


def _one(name: str, shown: Shown | None, span: Window) -> FreeBusy:
    refusal = refused(shown, span)
    if refusal is not None or shown is None or shown.timeline is None:
        return FreeBusy(mailbox=name, error=refusal)
    timeline = shown.timeline
    return FreeBusy(
        mailbox=name,
        busy=news.busy(timeline.blocks, span),
        time_zone=timeline.time_zone,
        as_of=moment(timeline.as_of),
        version=timeline.version,
    )


def _name(text: str) -> str:
    """Return a mailbox's name as it is kept: addresses in lower case, ids as they are."""
    return text.lower() if "@" in text else text


_MOMENT = {"type": "string", "format": "date-time"}
OPERATIONS = (
    Operation(
        name="availability",
        method="GET",
        path="/v1/orgs/{org}/mailboxes/{address}/availability",
        summary="When one mailbox is busy",
        group="Availability",
        handler=availability,
        answers=Availability,
        query=(
            Parameter(name="from", description="Begin, RFC 3339; the window's unless told.", schema=_MOMENT),
            Parameter(name="to", description="End, RFC 3339; the window's unless told.", schema=_MOMENT),
        ),
        problems=(404, 409),
    ),
    Operation(
        name="freeBusy",
        method="POST",
        path="/v1/orgs/{org}/free-busy",
        summary="When many mailboxes are busy",
        group="Availability",
        handler=free_busy,
        takes=FreeBusyAsked,
        answers=FreeBusyAnswer,
        problems=(404,),
    ),
)
