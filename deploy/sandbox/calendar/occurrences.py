"""Decides which occurrences a recurring series has between two instants, and which event each one shows.

Walks the recurrence set in order of wall time in the series' own zone. Refuses to look at more starts than its budget.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, datetime, timedelta, tzinfo
from heapq import merge
from zoneinfo import ZoneInfo

from msgspec import Struct

from deploy.sandbox.calendar.moments import EPOCH, as_date, instant, instant_of, wall_at
from deploy.sandbox.calendar.recurrence import LONG_AGO, not_after, walls
from deploy.sandbox.calendar.values import Event, Length, Moment, Series
from shared.contracts.values import DAY

MARGIN = 2 * DAY  # no zone is further from UTC, however it shifts
FAR_AHEAD = datetime(9999, 12, 31)  # noqa: DTZ001 -- a wall time
Name = int | date  # what a RECURRENCE-ID or EXDATE names: an instant, or every instance of a date


class Occurrence(Struct, frozen=True):
    """One instance: the wall time the rule gave it, when it is (UTC seconds), and the event it shows."""

    wall: datetime
    start: int
    end: int
    event: Event


class Budget(Struct):
    """How many starts may still be looked at."""

    left: int


class Future(Struct, frozen=True):
    """An override that ranges over this and all future instances, from the instant it overrides on."""

    since: int
    event: Event
    shift: timedelta


class Recurrence(Struct, frozen=True):
    """A recurring series made ready: what is excluded, what is overridden, and by which events.

    The instants of an all-day series are its dates' midnights as if in UTC.
    """

    master: Event
    excluded: frozenset[Name]
    overridden: frozenset[Name]
    futures: tuple[Future, ...]
    added: tuple[tuple[datetime, Length | None], ...]  # the starts no rule gives, in order

    @property
    def zone(self) -> tzinfo:
        """The series' own zone, in which its wall times are."""
        return self.master.start.zone


def recurrence_of(master: Event, series: Series, home: ZoneInfo) -> Recurrence:
    """Make a series ready for a calendar in zone `home`."""
    names = {name_of(moment, master, home) for moment in master.exclusions}
    overridden = {override_name(event, master, home) for event in series.overrides}
    futures = (_future(event, master, home) for event in series.overrides if event.and_future)
    ordered = sorted((future for future in futures if future is not None), key=lambda future: future.since)
    added = sorted(_added(master, home), key=lambda start: (start[0], start[1] is None))
    return Recurrence(master, frozenset(names), frozenset(overridden), tuple(ordered), tuple(added))


def name_of(moment: Moment, master: Event, home: ZoneInfo) -> Name:
    """Return which instances of a series a moment names; a floating one is in the series' own zone."""
    if master.all_day:
        return instant_of(as_date(moment, home))
    if moment.date_only:
        return moment.wall.date()
    return instant(moment.wall, master.start.zone) if moment.floating else instant_of(moment)


def override_name(event: Event, master: Event, home: ZoneInfo) -> Name:
    """Return which instance of a series an override stands for."""
    assert event.recurrence_id is not None, "an override names its instance"
    return name_of(event.recurrence_id, master, home)


def is_excluded(recurrence: Recurrence, name: Name) -> bool:
    """Whether an instance is among those excluded, by its instant or by its date."""
    if name in recurrence.excluded or isinstance(name, date):
        return name in recurrence.excluded
    return wall_at(name, recurrence.zone).date() in recurrence.excluded


def _future(event: Event, master: Event, home: ZoneInfo) -> Future | None:
    """Return how an override moves the instances after its own; one that names a whole date names its first start."""
    name = override_name(event, master, home)
    if isinstance(name, date):
        name = instant(datetime.combine(name, master.start.wall.time()), master.start.zone)
    base = _base_wall(name, wall_at(name, master.start.zone), master, event)
    return Future(name, event, event.start.wall - base)


def _base_wall(start: int, wall: datetime, master: Event, event: Event) -> datetime:
    """Return the wall time, in an override's zone, that its shift is added to; dates have no zone."""
    return wall if master.all_day or event.all_day else wall_at(start, event.start.zone)


def occurrences(recurrence: Recurrence, start: int, end: int, budget: Budget) -> Iterator[Occurrence]:
    """Yield the occurrences that may overlap [start, end), overridden and excluded ones left out, by wall time.

    Some that lie a little outside may come too. Stops when the budget is used up.
    """
    first, last = _reach(recurrence, start, end)
    exceptions = _exceptions(recurrence, first, last, budget)
    for wall, length in _starts(recurrence, first, last):
        budget.left -= 1
        if budget.left < 0:
            return
        begins = instant(wall, recurrence.zone)
        named = begins in recurrence.overridden or wall.date() in recurrence.overridden
        if wall >= first and not (named or begins in exceptions or _gone(recurrence, begins, wall)):
            yield _occurrence(recurrence, wall, begins, length)


def _gone(recurrence: Recurrence, begins: int, wall: datetime) -> bool:
    return begins in recurrence.excluded or wall.date() in recurrence.excluded


def _exceptions(recurrence: Recurrence, first: datetime, last: datetime, budget: Budget) -> set[int]:
    """Return the instants that exception rules take out."""
    found: set[int] = set()
    for rule in recurrence.master.exception_rules:
        for wall in walls(rule, recurrence.master.start.wall, recurrence.zone, last, first):
            budget.left -= 1
            if budget.left < 0:
                return found
            found.add(instant(wall, recurrence.zone))
    return found


def _starts(recurrence: Recurrence, first: datetime, last: datetime) -> Iterator[tuple[datetime, Length | None]]:
    """Yield each wall time of the recurrence set once, with the length of a PERIOD."""
    master = recurrence.master
    rules = (walls(rule, master.start.wall, recurrence.zone, last, first) for rule in master.rules)
    ruled = (((wall, None) for wall in found) for found in rules)
    previous = None
    for wall, length in merge(recurrence.added, *ruled, key=lambda start: start[0]):  # a PERIOD comes before its equals
        if wall != previous and wall <= last:
            yield wall, length
        previous = wall


def _added(master: Event, home: ZoneInfo) -> Iterator[tuple[datetime, Length | None]]:
    """Yield DTSTART, and the RDATEs as wall times of the series' zone.

    DTSTART is an instance whether or not the rules name it, unless all of them had ended before it.
    """
    zone = master.start.zone
    untils = [rule.until for rule in master.rules]
    if not untils or any(until is None or not_after(master.start.wall, zone, until) for until in untils):
        yield master.start.wall, None
    for addition in master.additions:
        start = addition.start
        if master.all_day:
            yield as_date(start, home).wall, addition.length if start.date_only else None
        elif start.floating or start.date_only:
            yield start.wall, addition.length
        else:
            yield wall_at(instant_of(start), zone), addition.length


def _occurrence(recurrence: Recurrence, wall: datetime, begins: int, length: Length | None) -> Occurrence:
    """Return an occurrence, moved and lengthened as the last override that ranges over it says."""
    place = bisect_left(recurrence.futures, begins, key=lambda future: future.since)
    if not place:
        return _lasting(recurrence.master, wall, wall, length)
    future = recurrence.futures[place - 1]
    moved = _base_wall(begins, wall, recurrence.master, future.event) + future.shift
    return _lasting(future.event, wall, moved, length)


def _lasting(event: Event, wall: datetime, moved: datetime, length: Length | None) -> Occurrence:
    start, end = span(event, moved, length)
    return Occurrence(wall, start, end, event)


def span(event: Event, wall: datetime, length: Length | None = None) -> tuple[int, int]:
    """Return [start, end) of an event that begins at a wall time: days by the calendar, then seconds that pass."""
    lasting = length or event.length
    start = instant(wall, event.start.zone)
    ends = instant(wall + timedelta(days=lasting.days), event.start.zone) if lasting.days else start
    return start, ends + lasting.seconds


def _reach(recurrence: Recurrence, start: int, end: int) -> tuple[datetime, datetime]:
    """Return the wall times between which an occurrence that overlaps [start, end) may have been due."""
    events = [recurrence.master, *(future.event for future in recurrence.futures)]
    lengths = [event.length for event in events]
    lengths += [addition.length for addition in recurrence.master.additions if addition.length is not None]
    longest = max(length.days * DAY + length.seconds for length in lengths)
    shifts = [int(future.shift.total_seconds()) for future in recurrence.futures]
    back = longest + max([0, *shifts]) + MARGIN
    return _wall(start - back), _wall(end - min([0, *shifts]) + MARGIN)


def _wall(seconds: int) -> datetime:
    """Return a wall time as if in UTC, the nearest there is."""
    try:
        return EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return LONG_AGO if seconds < 0 else FAR_AHEAD
