"""Turns the answer to GetUserAvailability into raw events, one answer for each person asked about, errors apart.

Pure. Only times, how they count and when people work are read, whatever else a server may send.
"""

from collections.abc import Iterable
from typing import Any, Final

from lxml import etree
from msgspec import Struct

from shared.contracts.messages import RawEvent
from shared.contracts.values import WorkPeriod
from shared.ews import moments
from shared.ews.calendar_view import SHOWS
from shared.ews.elements import Element, child, text
from shared.ews.envelopes import TYPES
from shared.ews.errors import EwsError
from shared.ews.time_zone import ZoneRules, zone_rules
from shared.ews.trouble import of_message, told
from shared.ews.working_hours import stretches

# libxml2 gathers a column of texts at a fifth of what it costs to walk the elements from here.
_COLUMNS: Final[tuple[Any, ...]] = tuple(
    etree.XPath(f"t:CalendarEvent/t:{name}/text()", namespaces={"t": TYPES}, smart_strings=False)
    for name in ("StartTime", "EndTime", "BusyType")
)
_TIMELESS: Final = frozenset({"None", "MergedOnly"})  # views that say nothing of when an event begins and ends


class Answered(Struct, frozen=True, kw_only=True):
    """What came back for one person: events, when they work and in which zone, or their own error."""

    events: tuple[RawEvent, ...] = ()
    error: EwsError | None = None
    zone: ZoneRules | None = None
    work: tuple[WorkPeriod, ...] = ()


def availability(chunks: Iterable[bytes]) -> tuple[Answered, ...]:
    """Return one answer for each person, in the order asked.

    Raises EwsError where the whole answer is an error, or no answer.
    """
    answers: list[Answered] = []
    ended = False
    for name, element in told(chunks, ("FreeBusyResponseArray",), items=("FreeBusyResponse",)):
        if name == "FreeBusyResponse":
            answers.append(_answered(element))
        else:
            ended = True
    if not ended:
        raise EwsError("malformed")
    return tuple(answers)


def _answered(response: Element) -> Answered:
    message, shown = child(response, "ResponseMessage"), child(response, "FreeBusyView")
    error = None if message is None else of_message(message)
    if error is not None:
        return Answered(error=error)
    if shown is None or text(child(shown, "FreeBusyViewType")) in _TIMELESS:
        return Answered(error=EwsError("malformed"))
    try:
        events, hours = _events(child(shown, "CalendarEventArray")), child(shown, "WorkingHours")
    except ValueError:
        return Answered(error=EwsError("malformed"))
    if hours is None:
        return Answered(events=events)
    zone = child(hours, "TimeZone")
    return Answered(events=events, zone=None if zone is None else zone_rules(zone), work=stretches(hours))


def _events(array: Element | None) -> tuple[RawEvent, ...]:
    """Return when events are and how they count. Raises ValueError where one cannot be read."""
    if array is None:
        return ()
    starts, ends, shows = (column(array) for column in _COLUMNS)
    if not len(starts) == len(ends) == len(shows) == len(array):
        raise ValueError("an event without its times")
    meant = {show: SHOWS.get(show.strip(), "busy") for show in set(shows)}
    return tuple(map(RawEvent, map(moments.floor, starts), map(moments.ceiling, ends), map(meant.__getitem__, shows)))
