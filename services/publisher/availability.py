"""Answers when mailboxes are busy, one in full or many at once.

It refuses to answer for time that is not covered: that is an error that states the window, never an empty list.
"""

from aiohttp import hdrs, web

from services.publisher import calendars, news
from services.publisher.access import STORE, Org, org_asked, org_asked_anew
from services.publisher.answers import (
    Availability,
    FreeBusy,
    FreeBusyAnswer,
    FreeBusyAsked,
    FreeBusyError,
)
from services.publisher.asking import body_of, invalid, moment_of, number, parameters, span_of
from services.publisher.moments import moment
from services.publisher.negotiation import preferred
from services.publisher.operations import Operation, Parameter
from services.publisher.problems import Problem
from services.publisher.published import NOT_READ_YET, Shown, in_turn, kept_name, published
from services.publisher.reply import reply
from services.publisher.timeline import Timeline
from services.publisher.views import availability_view, slots
from shared.contracts.public import Span
from shared.contracts.values import Coverage, Window
from shared.store import Store

MOST_DAYS_AT_ONCE = 62
MOST_DIGITS = 4_000_000  # of all views of one answer
_JSON = "application/json"
_STATUS = {"mailbox_unknown": 404, "availability_unknown": 409, "outside_window": 422}
TITLES = {
    "mailbox_unknown": "There is no such mailbox",
    "availability_unknown": "It is not known when this mailbox is busy",
    "outside_window": "The time asked for is not covered",
}


async def availability(request: web.Request) -> web.Response:
    """GET /v1/orgs/{org}/mailboxes/{address}/availability: the whole window, or [from, to) within it."""
    org = await org_asked(request)
    kind = _kind(request)
    asked = parameters(request, {"from", "to", "interval"})
    start, end = (moment_of(name, asked[name]) if name in asked else None for name in ("from", "to"))
    interval = number("interval", asked["interval"], least=5, most=1440) if "interval" in asked else None
    shown = await known_to(request.app[STORE], org, request.match_info["address"])
    timeline = shown.known
    window = timeline.window
    span = span_of(window.start if start is None else start, window.end if end is None else end)
    if (refusal := refused(shown, span)) is not None:
        raise problem_of(refusal)
    digits_within(1, span, interval)
    if kind == calendars.MEDIA_TYPE:
        return web.Response(body=calendars.free_busy(timeline, span), content_type=kind, charset="utf-8")
    return reply(_whole(timeline, span, interval, position=shown.position))


async def free_busy(request: web.Request) -> web.Response:
    """POST /v1/orgs/{org}/free-busy: one answer for each mailbox asked about, in that order."""
    await org_asked(request)  # of nobody else a body is read
    asked = await body_of(request, FreeBusyAsked)
    org = await org_asked_anew(request)  # a body may be long in coming: token, scope and policy may be others by now
    start, end = moment_of("from", asked.start), moment_of("to", asked.end)
    span = span_of(start, end, most_days=MOST_DAYS_AT_ONCE)
    digits_within(len(asked.mailboxes), span, asked.interval)
    found = in_turn(request.app[STORE], org, asked.mailboxes)
    answers = [_one(name, shown, span, asked.interval) async for name, shown in found]
    return reply(
        FreeBusyAnswer(
            start=moment(span.start), end=moment(span.end), interval=asked.interval, mailboxes=tuple(answers)
        )
    )


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


async def known_to(store: Store, org: Org, name: str) -> Shown:
    """Return what is published of a mailbox whose availability is known. Raises Problem where it is not."""
    shown = (await published(store, org, [kept_name(name)])).get(kept_name(name))
    if (refusal := refused(shown, None)) is not None:
        raise problem_of(refusal)
    assert shown is not None
    return shown


def problem_of(refusal: FreeBusyError) -> Problem:
    """Return the problem that says why one mailbox has no answer."""
    return Problem(
        _STATUS[refusal.code],
        refusal.code,
        title=TITLES[refusal.code],
        reason=refusal.reason or "",
        window=refusal.window,
    )


def digits_within(mailboxes: int, span: Window, interval: int | None) -> None:
    """Refuse an answer with too many digits. Raises Problem 422."""
    if interval is not None and mailboxes * slots(span, interval) > MOST_DIGITS:
        raise invalid("interval", f"The views of one answer have at most {MOST_DIGITS} digits.")


def _kind(request: web.Request) -> str:
    offers = (_JSON, calendars.MEDIA_TYPE)
    kind = preferred(",".join(request.headers.getall(hdrs.ACCEPT, ())), offers)
    if kind is None:
        raise Problem(406, "not_acceptable", title=f"There is {' and '.join(offers)}")
    return kind


def _whole(timeline: Timeline, span: Window, interval: int | None, *, position: int) -> Availability:
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
        interval=interval,
        availability_view=None if interval is None else availability_view(timeline.blocks, span, interval),
        working_hours=news.weekly(timeline.working_hours),
        position=position,
    )


def _one(name: str, shown: Shown | None, span: Window, interval: int | None) -> FreeBusy:
    refusal = refused(shown, span)
    if refusal is not None or shown is None:
        return FreeBusy(mailbox=name, error=refusal)
    timeline = shown.known
    return FreeBusy(
        mailbox=name,
        busy=news.busy(timeline.blocks, span),
        availability_view=None if interval is None else availability_view(timeline.blocks, span, interval),
        working_hours=news.weekly(timeline.working_hours),
        time_zone=timeline.time_zone,
        as_of=moment(timeline.as_of),
        version=timeline.version,
    )


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
            Parameter(
                name="interval",
                description="Minutes of a slot of `availability_view`; without it there is none.",
                schema={"type": "integer", "minimum": 5, "maximum": 1440},
            ),
        ),
        media={calendars.MEDIA_TYPE: "The same busy time as one VFREEBUSY (RFC 5545), without details."},
        problems=(404, 406, 409),
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
