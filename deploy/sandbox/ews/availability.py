"""Answers GetUserAvailability: when up to a hundred people are busy, in the zone the request gives, each on their own.

It works under the account's own rights: times for everybody, details only of those it may impersonate. A window longer
or shorter than Exchange's limits, and too many people, refuse the whole request.
"""

from collections.abc import Iterator, Mapping

from lxml import etree
from msgspec import Struct

from deploy.sandbox.directory import Person, Reach
from deploy.sandbox.ews import reading, scopes, soap, zone_rules
from deploy.sandbox.ews.call import M_NS, T_NS, EwsCall, Failed, Operation, SoapFault
from deploy.sandbox.ews.expansions import STATUSES, Times
from deploy.sandbox.ews.soap import M, T
from deploy.sandbox.ews.zone_rules import Rules
from deploy.sandbox.ews.zones_printing import serialized
from deploy.sandbox.rendering import IMMUTABLE_ID, View, event_id, wall
from shared.contracts.values import DAY, EARLIEST, LATEST, Instant, Window
from shared.zones import resolve

WORDS = {
    "free": "Free", "workingElsewhere": "WorkingElsewhere", "unknown": "NoData", "tentative": "Tentative",
    "busy": "Busy", "oof": "OOF",
}  # fmt: skip
VIEWS = ("MergedOnly", "FreeBusy", "FreeBusyMerged", "Detailed", "DetailedMerged")
_BUSY = tuple(WORDS[status] for status in STATUSES)
_DIGITS = tuple("045123")  # as Microsoft's own client reads them: 4 is WorkingElsewhere, 5 NoData
_VIEW = View(prefix=IMMUTABLE_ID)
_TOO_LONG = "The requested time duration specified for FreeBusyViewOptions.TimeWindow is too long."
_REFUSED = {
    Reach.MISSING: ("ErrorMailRecipientNotFound", "Nobody with a mailbox has this address."),
    Reach.ON_PREMISES: ("ErrorProxyRequestProcessingFailed", "The other organisation could not be asked."),
    Reach.DENIED: ("ErrorNoFreeBusyAccess", "The caller has no access to free/busy data."),
}


class _Asked(Struct, frozen=True, kw_only=True):
    window: Window
    view: str
    interval: int  # seconds
    zone: Rules


def get_user_availability(call: EwsCall) -> bytes:
    """Answer GetUserAvailability. Raises SoapFault."""
    people = [_address(each) for each in reading.child(call.request, f"{M}MailboxDataArray").findall(f"{T}MailboxData")]
    most = call.state.options.ews_mailboxes
    if len(people) > most:
        message = f"The number of mailboxes is {len(people)}; the allowed size is {most}."
        raise SoapFault("ErrorIndividualMailboxLimitReached", message)
    asked = _asked(call)
    call.state.counts.select("EWS GetUserAvailability", asked.view)
    answers = "".join(_answer(call, address, asked) for address in people)
    names = f'xmlns:m="{M_NS}" xmlns:t="{T_NS}"'
    return (
        f"<m:GetUserAvailabilityResponse {names}><m:FreeBusyResponseArray>{answers}</m:FreeBusyResponseArray>"
        "</m:GetUserAvailabilityResponse>"
    ).encode()


def _address(mailbox: etree._Element) -> str:
    return reading.word(mailbox, f"{T}Email/{T}Address")


def _asked(call: EwsCall) -> _Asked:
    options = reading.child(call.request, f"{T}FreeBusyViewOptions")
    zone = reading.time_zone(reading.child(call.request, f"{T}TimeZone"))
    start, end = (
        reading.moment(reading.word(options, f"{T}TimeWindow/{T}{name}"), zone=zone)
        for name in ("StartTime", "EndTime")
    )
    _check_length(end - start, call.state.options.ews_days)
    stated = options.find(f"{T}MergedFreeBusyIntervalInMinutes")
    minutes = 30 if stated is None else reading.number(stated.text)
    if not 5 <= minutes <= 1440 or minutes * 60 > end - start:
        message = "The interval of merged free/busy data must be between 5 and 1440 minutes, and fit into the window."
        raise SoapFault("ErrorInvalidMergedFreeBusyInterval", message)
    asked = options.find(f"{T}RequestedView")
    view = "MergedOnly" if asked is None else (asked.text or "").strip()
    if view not in VIEWS:
        raise SoapFault("ErrorInvalidFreeBusyViewType", "The view that was asked for is unknown.")
    return _Asked(window=Window(start, end), view=view, interval=minutes * 60, zone=zone)


def _check_length(seconds: int, most: int) -> None:
    if seconds < DAY:
        message = "The time duration specified for FreeBusyViewOptions.TimeWindow is invalid."
        raise SoapFault("ErrorInvalidTimeInterval", message)
    if seconds > most * DAY:
        days = -(-seconds // DAY)
        message = f"{_TOO_LONG} The allowed limit = {most} days; the actual limit = {days} days."
        raise SoapFault("ErrorTimeIntervalTooBig", message)


def _answer(call: EwsCall, address: str, asked: _Asked) -> str:
    """Return what one person's calendar says, or why it says nothing."""
    try:
        person = _person(call, address)
        shown = _view(call, person, asked)
    except Failed as failed:
        shown = "<t:FreeBusyViewType>None</t:FreeBusyViewType>"
        said = f'<m:ResponseMessage ResponseClass="Error">{soap.error(failed)}</m:ResponseMessage>'
    else:
        said = '<m:ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode></m:ResponseMessage>'
    return f"<m:FreeBusyResponse>{said}<m:FreeBusyView>{shown}</m:FreeBusyView></m:FreeBusyResponse>"


def _person(call: EwsCall, address: str) -> Person:
    person = scopes.address_holder(call.state, call.tenant, address)
    refused = _REFUSED[Reach.MISSING] if person is None else _REFUSED.get(person.reach)
    if person is None or refused is not None:
        raise Failed(*(refused or _REFUSED[Reach.MISSING]))
    return person


def _view(call: EwsCall, person: Person, asked: _Asked) -> str:
    state = call.state
    state.counts.views[person.address] += 1
    book = state.book(call.tenant, person)
    times = state.expansions.times((call.tenant.tenant_id, person.user_id), book, asked.window)
    places = list(times.spans.within(asked.window))
    if len(places) > state.options.ews_items:
        raise Failed("ErrorResultSetTooBig", f"The result set holds more than {state.options.ews_items} entries.")
    merged = _merged(times, places, asked) if asked.view.endswith(("Merged", "MergedOnly")) else ""
    detailed = asked.view.startswith("Detailed") and scopes.within(state, call.tenant, call.account.scope, person)
    view = asked.view if detailed else asked.view.replace("Detailed", "FreeBusy")
    events = _detailed(call, person, asked) if detailed else _times(times, places, asked.zone)
    array = "" if view == "MergedOnly" else f"<t:CalendarEventArray>{''.join(events)}</t:CalendarEventArray>"
    return f"<t:FreeBusyViewType>{view}</t:FreeBusyViewType>{merged}{array}{_working_hours(call, person)}"


def _times(times: Times, places: list[int], zone: Rules) -> Iterator[str]:
    starts, ends, statuses = times.spans.starts, times.spans.ends, times.statuses
    for place in places:
        yield f"{_event(starts[place], ends[place], _BUSY[statuses[place]], zone)}</t:CalendarEvent>"


def _event(start: Instant, end: Instant, busy: str, zone: Rules) -> str:
    """Return the beginning of an event; its times carry no offset, because the request said which zone they are in."""
    if zone != Rules():
        walls = (zone_rules.wall_of(zone, instant) for instant in (start, end))
        start, end = (min(max(seconds, EARLIEST), LATEST) for seconds in walls)
    return (
        f"<t:CalendarEvent><t:StartTime>{wall(start, None)[:19]}</t:StartTime><t:EndTime>{wall(end, None)[:19]}"
        f"</t:EndTime><t:BusyType>{busy}</t:BusyType>"
    )


def _detailed(call: EwsCall, person: Person, asked: _Asked) -> Iterator[str]:
    """Yield the events with their details, which a private one has none of."""
    book = call.state.book(call.tenant, person)
    listed = call.state.expansions.listed((call.tenant.tenant_id, person.user_id), book, asked.window)
    for place in listed.spans.within(asked.window):
        item = listed.items[place]
        if item.cancelled or item.response == "declined":
            continue
        private = item.sensitivity in {"private", "confidential"}
        named = "" if private else f"<t:Subject>{soap.text(item.subject)}</t:Subject>"
        somewhere = "" if private else f"<t:Location>{soap.text(item.location)}</t:Location>"
        flags = {
            "IsMeeting": bool(item.attendees),
            "IsRecurring": item.series_id is not None,
            "IsException": item.type == "exception",
            "IsReminderSet": False,
            "IsPrivate": private,
        }
        told = "".join(f"<t:{name}>{str(said).lower()}</t:{name}>" for name, said in flags.items())
        begun = _event(
            listed.spans.starts[place], listed.spans.ends[place], WORDS.get(item.show_as, "NoData"), asked.zone
        )
        known = f"<t:ID>{event_id(item.item_id, _VIEW)}</t:ID>{named}{somewhere}{told}"
        yield f"{begun}<t:CalendarEventDetails>{known}</t:CalendarEventDetails></t:CalendarEvent>"


def _merged(times: Times, places: list[int], asked: _Asked) -> str:
    """Return one digit for each interval of the window: the highest status in it."""
    start, step = asked.window.start, asked.interval
    ranks = bytearray(-(-(asked.window.end - start) // step))
    for place in places:
        first = max(0, (times.spans.starts[place] - start) // step)
        last = min(len(ranks), -(-(times.spans.ends[place] - start) // step))
        for number in range(first, last):
            ranks[number] = max(ranks[number], times.statuses[place])
    return f"<t:MergedFreeBusy>{''.join(_DIGITS[rank] for rank in ranks)}</t:MergedFreeBusy>"


def _working_hours(call: EwsCall, person: Person) -> str:
    hours = person.working_hours
    if hours is None:
        return ""
    zone = resolve(hours.time_zone or person.time_zone)
    year = int(wall(call.state.clock(), None)[:4])
    rules = Rules() if zone is None else zone_rules.rules_of(zone, year)
    days = " ".join(day.capitalize() for day in hours.days)
    period = (
        f"<t:WorkingPeriod><t:DayOfWeek>{days}</t:DayOfWeek><t:StartTimeInMinutes>{hours.start}</t:StartTimeInMinutes>"
        f"<t:EndTimeInMinutes>{hours.end}</t:EndTimeInMinutes></t:WorkingPeriod>"
    )
    array = f"<t:WorkingPeriodArray>{period}</t:WorkingPeriodArray>"
    return f"<t:WorkingHours>{serialized(rules)}{array}</t:WorkingHours>"


OPERATIONS: Mapping[str, Operation] = {"GetUserAvailability": get_user_availability}
