"""Places events in time: a timed event has its instants already, an all-day event lies in the mailbox's zone.

It refuses to guess: a zone nobody knows is UTC, and dates at the very edges of the calendar are taken as they are.
"""

from zoneinfo import ZoneInfo

from shared.contracts.messages import RawEvent
from shared.contracts.values import DAY, EARLIEST, LATEST, Instant
from shared.zones import local_midnight, resolve

UTC = ZoneInfo("UTC")
_FIRST, _LAST = EARLIEST + 2 * DAY, LATEST - 2 * DAY  # beyond these a zone's offset may leave the calendar


def zone_of(name: str) -> ZoneInfo:
    """Return a mailbox's zone by its Windows or IANA name; UTC where the name is empty or not known."""
    return (resolve(name) if name else None) or UTC


def name_of(zone: ZoneInfo) -> str:
    """Return a zone's IANA name."""
    return zone.key or UTC.key


def place(event: RawEvent, zone: ZoneInfo) -> tuple[Instant, Instant]:
    """Return an event's half-open interval in UTC seconds; an all-day event runs from local midnight to local midnight.

    Times of day in an all-day event are rounded outward to whole dates, as Exchange does. One that is placed already
    stays where the server put it.
    """
    if not event.all_day or event.placed:
        return event.start, event.end
    first = event.start - event.start % DAY
    after = event.end + -event.end % DAY
    return _midnight(first, zone), _midnight(after, zone)


def _midnight(date: Instant, zone: ZoneInfo) -> Instant:
    if not _FIRST <= date <= _LAST:
        return min(max(date, EARLIEST), LATEST)
    return local_midnight(date, zone)
