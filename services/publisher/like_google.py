"""Answers many mailboxes' busy time in the shape of Google's freeBusy, so that its clients can be moved over.

It refuses to give an empty list where nothing is known: such a calendar has `errors`, and no `busy` beside them.
"""

from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from aiohttp import web
from msgspec import Meta

from services.publisher.access import STORE, org_asked, org_asked_anew
from services.publisher.answers import MOST_ASKED
from services.publisher.asking import body_of, invalid, moment_of, span_of
from services.publisher.availability import MOST_DAYS_AT_ONCE, refused
from services.publisher.joined import busy_periods
from services.publisher.moments import moment
from services.publisher.operations import Operation
from services.publisher.published import Shown, in_turn
from services.publisher.reply import reply
from services.publisher.walls import wall
from shared import zones
from shared.contracts.public import Moment, PublicMessage
from shared.contracts.values import Instant, Window

_Name = Annotated[str, Meta(min_length=1, max_length=320, examples=["person0001@contoso.com"])]
_Zoned = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-03-02T10:00:00+01:00"])]


class GoogleItem(PublicMessage, frozen=True, kw_only=True):
    """Whose time is asked for: a mailbox's address or id."""

    id: _Name


class GoogleFreeBusyAsked(PublicMessage, frozen=True, kw_only=True, rename="camel"):
    """Google's request. `timeZone` is the zone that the answer is written in; expansions mean nothing here."""

    time_min: Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-03-02T09:00:00Z"])]
    time_max: Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-03-02T17:00:00Z"])]
    time_zone: Annotated[str, Meta(max_length=128, examples=["Europe/Berlin"])] = "UTC"
    group_expansion_max: int | None = None
    calendar_expansion_max: int | None = None
    items: Annotated[tuple[GoogleItem, ...], Meta(min_length=1, max_length=MOST_ASKED)]


class GooglePeriod(PublicMessage, frozen=True, kw_only=True):
    """A half-open period that is busy, RFC 3339 with the offset of the zone asked for."""

    start: _Zoned
    end: Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-03-02T11:00:00+01:00"])]


class GoogleError(PublicMessage, frozen=True, kw_only=True):
    """Why there is no answer: `notFound` of the domain `global`, or a word of ours of the domain `busyline`."""

    domain: Literal["global", "busyline"]
    reason: Literal["notFound", "availability_unknown", "outside_window"]


class GoogleCalendar(PublicMessage, frozen=True, kw_only=True, omit_defaults=True):
    """Either `busy`, complete for the time asked for, or `errors`."""

    errors: tuple[GoogleError, ...] | None = None
    busy: tuple[GooglePeriod, ...] | None = None


class GoogleFreeBusyAnswer(PublicMessage, frozen=True, kw_only=True, rename="camel"):
    """One calendar for each item, by its id as it was asked for."""

    kind: Literal["calendar#freeBusy"] = "calendar#freeBusy"
    time_min: Moment
    time_max: Moment
    calendars: dict[str, GoogleCalendar]


async def free_busy(request: web.Request) -> web.Response:
    """POST /v1/orgs/{org}/freeBusy: Google's shape."""
    await org_asked(request)  # of nobody else a body is read
    asked = await body_of(request, GoogleFreeBusyAsked)
    org = await org_asked_anew(request)  # a body may be long in coming: token, scope and policy may be others by now
    zone = zones.resolve(asked.time_zone)
    if zone is None:
        raise invalid("timeZone", "An IANA or Windows name of a time zone is needed.")
    start, end = moment_of("timeMin", asked.time_min), moment_of("timeMax", asked.time_max)
    span = span_of(start, end, most_days=MOST_DAYS_AT_ONCE, names=("timeMin", "timeMax"))
    names = tuple(dict.fromkeys(item.id for item in asked.items))
    found = in_turn(request.app[STORE], org, names)
    answers = {name: _calendar(shown, span, zone) async for name, shown in found}
    return reply(GoogleFreeBusyAnswer(time_min=moment(span.start), time_max=moment(span.end), calendars=answers))


def _calendar(shown: Shown | None, span: Window, zone: ZoneInfo) -> GoogleCalendar:
    refusal = refused(shown, span)
    if refusal is not None or shown is None:
        word = refusal.code if refusal is not None else "mailbox_unknown"
        if word == "mailbox_unknown":
            return GoogleCalendar(errors=(GoogleError(domain="global", reason="notFound"),))
        return GoogleCalendar(errors=(GoogleError(domain="busyline", reason=word),))
    periods = busy_periods(shown.known.blocks, span)
    return GoogleCalendar(
        busy=tuple(GooglePeriod(start=_written(start, zone), end=_written(end, zone)) for start, end in periods)
    )


@lru_cache(maxsize=16_384)  # calendars meet on the same quarters of an hour: 6,000 of them in 62 days
def _written(instant: Instant, zone: ZoneInfo) -> str:
    """Return an instant by the clock of a zone, with its offset; in UTC where an offset has seconds, as long ago."""
    shown = wall(instant, zone)
    offset = shown.utcoffset()
    plain = offset is None or not offset or offset.total_seconds() % 60
    return moment(instant) if plain else shown.isoformat(timespec="seconds")


OPERATIONS = (
    Operation(
        name="googleFreeBusy",
        method="POST",
        path="/v1/orgs/{org}/freeBusy",
        summary="When many mailboxes are busy, asked and answered in Google's shape",
        description="Busy, tentative, out of office and what is of a status unknown to Microsoft count as busy; free "
        "and working elsewhere do not. A calendar with `errors` has no `busy`.",
        group="Familiar shapes",
        handler=free_busy,
        takes=GoogleFreeBusyAsked,
        answers=GoogleFreeBusyAnswer,
        problems=(404,),
    ),
)
