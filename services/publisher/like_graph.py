"""Answers many mailboxes' availability in the shape of Graph's getSchedule, so that its clients can be moved over.

It refuses a time zone it does not know, rather than to read or write times by another clock.
"""

import re
from datetime import datetime

import msgspec
from aiohttp import web

from services.publisher.access import STORE, org_asked, org_asked_anew
from services.publisher.asking import body, decoded, invalid, number, span_of
from services.publisher.availability import MOST_DAYS_AT_ONCE, digits_within, refused
from services.publisher.operations import Operation
from services.publisher.published import Shown, in_turn
from services.publisher.reply import reply
from services.publisher.schedules import Clock, Schedule, ScheduleAsked, Schedules, ZonedTime, failed, schedule
from services.publisher.walls import instant_at
from shared import zones
from shared.contracts.values import Instant, Window

_ZONE_WANTED = re.compile(r'outlook\.timezone\s*=\s*(?:"([^"]{0,128})"|([^",;]{0,128}))', re.ASCII | re.IGNORECASE)


async def get_schedule(request: web.Request) -> web.Response:
    """POST /v1/orgs/{org}/getSchedule: Graph's shape; times in the zone that the header Prefer names, else in UTC."""
    await org_asked(request)  # of nobody else a body is read
    asked = _decoded(await body(request))
    org = await org_asked_anew(request)  # a body may be long in coming: token, scope and policy may be others by now
    clock = _clock(",".join(request.headers.getall("Prefer", ())))
    minutes = number("availabilityViewInterval", str(asked.availability_view_interval), least=5, most=1440)
    start, end = _instant("startTime", asked.start_time), _instant("endTime", asked.end_time)
    span = span_of(start, end, most_days=MOST_DAYS_AT_ONCE, names=("startTime", "endTime"))
    digits_within(len(asked.schedules), span, minutes)
    found = in_turn(request.app[STORE], org, asked.schedules)
    answers = [_one(name, shown, span, minutes=minutes, clock=clock) async for name, shown in found]
    return reply(Schedules(value=tuple(answers)))


def _one(name: str, shown: Shown | None, span: Window, *, minutes: int, clock: Clock) -> Schedule:
    refusal = refused(shown, span)
    if refusal is not None:
        return failed(name, refusal)
    assert shown is not None
    return schedule(name, shown.known, span, minutes, clock)


def _decoded(raw: bytes) -> ScheduleAsked:
    """Read a body whose members may begin with a capital letter: Graph takes both, and its pages show both."""
    members = decoded(raw, dict[str, msgspec.Raw])
    named = {name[:1].lower() + name[1:]: member for name, member in members.items()}
    return decoded(msgspec.json.encode(named), ScheduleAsked)


def _clock(prefer: str) -> Clock:
    wanted = _ZONE_WANTED.search(prefer)
    name = "UTC" if wanted is None else (wanted[1] or wanted[2] or "").strip()
    zone = zones.resolve(name)
    if zone is None:
        raise invalid("Prefer", "outlook.timezone must be an IANA or Windows name of a time zone.")
    return Clock(zone, name)


def _instant(field: str, asked: ZonedTime) -> Instant:
    zone = zones.resolve(asked.time_zone)
    if zone is None:
        raise invalid(f"{field}.timeZone", "An IANA or Windows name of a time zone is needed.")
    try:
        return instant_at(datetime.fromisoformat(asked.date_time), zone)
    except (ValueError, OverflowError):
        raise invalid(f"{field}.dateTime", "There is no such time.") from None


OPERATIONS = (
    Operation(
        name="getSchedule",
        method="POST",
        path="/v1/orgs/{org}/getSchedule",
        summary="When many mailboxes are busy, asked and answered in Graph's shape",
        description="`Prefer: outlook.timezone` names the zone that times are written in; UTC without it. A schedule "
        "with `error` has neither view nor items.",
        group="Familiar shapes",
        handler=get_schedule,
        takes=ScheduleAsked,
        answers=Schedules,
        problems=(404,),
    ),
)
