"""Decides which instances of a calendar lie in a window, as calendarView would list them.

The recurrence set is DTSTART, the RRULEs and the RDATEs, less the EXRULEs and the EXDATEs; an override replaces the
instance it names, counts even where there is no such instance, and goes with an EXDATE that names it. A series that
would list more than `MOST_ITEMS` instances has those that touch joined to one, which changes no busy time; one that
lasts no time is cut there. Nothing looks at more than `MOST_STARTS` starts. All of it is reported.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from msgspec import structs

from deploy.sandbox.calendar.bounds import MOST_ITEMS, MOST_JOINED, MOST_STARTS
from deploy.sandbox.calendar.events import stable_id
from deploy.sandbox.calendar.fine_rules import SECONDS
from deploy.sandbox.calendar.moments import wall_at
from deploy.sandbox.calendar.occurrences import (
    Budget,
    Name,
    Occurrence,
    Recurrence,
    is_excluded,
    occurrences,
    override_name,
    recurrence_of,
    span,
)
from deploy.sandbox.calendar.values import Calendar, Event, Item, Problem, Series
from shared.contracts.values import DAY, Window
from shared.zones import local_midnight, resolve

UTC_ZONE = ZoneInfo("UTC")
CLOCK_CHANGE = 7_200  # what one clock change adds to a step of the wall clock, at most


def instances(calendar: Calendar, window: Window) -> tuple[list[Item], tuple[Problem, ...]]:
    """Return all items that overlap [start, end), sorted by start, and what was found wrong while expanding.

    An item of no length overlaps the window that holds its start; an all-day item is where the calendar's zone puts it.
    """
    zone = resolve(calendar.time_zone) or UTC_ZONE
    problems: list[Problem] = []
    items = [item for item in calendar.placed if overlaps(item, window, zone)]
    for series in calendar.series:
        if series.series_id not in calendar.hidden:
            items += [
                item for item in _of_series(series, window, zone, problems) if item.item_id not in calendar.hidden
            ]
    items.sort(key=lambda item: (item.start, item.end, item.item_id))
    return items, tuple(problems)


def overlaps(item: Item, window: Window, zone: ZoneInfo) -> bool:
    """Whether an item lies at least partly in a window; touching it is not enough."""
    start, end = item.start, item.end
    if item.all_day:
        start, end = local_midnight(start, zone), local_midnight(end, zone)
    return start < window.end and (end > window.start or start == end == window.start)


def _of_series(series: Series, window: Window, zone: ZoneInfo, problems: list[Problem]) -> list[Item]:
    """Return the items of one series that overlap the window; one that leaves the years 1 to 9999 is reported."""
    try:
        return [item for item in _items(series, window, zone, problems) if overlaps(item, window, zone)]
    except (OverflowError, ValueError):
        place = (series.master or series.overrides[0]).place
        problems.append(Problem(place, "out_of_calendar"))
        return []


def _items(series: Series, window: Window, zone: ZoneInfo, problems: list[Problem]) -> list[Item]:
    """Return the items of one series, at least those that overlap the window."""
    master = series.master
    if master is None:
        return [_alone(series, event) for event in series.overrides]
    if not (master.rules or master.additions or master.exclusions or series.overrides):
        return [_alone(series, master)]
    recurrence = recurrence_of(master, series, zone)
    return _listed(recurrence, series, window, problems) + list(_overrides(recurrence, series, zone))


def _alone(series: Series, event: Event) -> Item:
    """Return the item of an event that belongs to no series: a single one, or an override without its master."""
    override = event.recurrence_id
    item_id = series.series_id if override is None else stable_id(event.uid, override.wall.isoformat())
    start, end = span(event, event.start.wall)
    return structs.replace(event.shown, item_id=item_id, all_day=event.all_day, start=start, end=end)


def _overrides(recurrence: Recurrence, series: Series, zone: ZoneInfo) -> Iterator[Item]:
    """Yield the overridden instances, but for those that are excluded as well."""
    for event in series.overrides:
        name = override_name(event, recurrence.master, zone)
        if not is_excluded(recurrence, name):
            wall = _wall_of(name, recurrence)
            yield _item(series, Occurrence(wall, *span(event, event.start.wall), event), "exception")


def _wall_of(name: Name, recurrence: Recurrence) -> datetime:
    """Return the wall time of an instance by its name; a date stands for its first instance."""
    if isinstance(name, date):
        return datetime.combine(name, recurrence.master.start.wall.time())
    return wall_at(name, recurrence.zone)


def _item(series: Series, occurrence: Occurrence, kind: str = "occurrence") -> Item:
    return structs.replace(
        occurrence.event.shown,
        item_id=stable_id(occurrence.event.uid, occurrence.wall.isoformat()),
        series_id=series.series_id,
        type=kind,
        all_day=occurrence.event.all_day,
        start=occurrence.start,
        end=occurrence.end,
    )


def _listed(recurrence: Recurrence, series: Series, window: Window, problems: list[Problem]) -> list[Item]:
    """Return the occurrences of a series in a window, bounded; a bound that was met is reported."""
    place = recurrence.master.place
    budget = Budget(MOST_STARTS)
    found = list(islice(_within(recurrence, window, budget), MOST_ITEMS + 1))
    if len(found) > MOST_ITEMS:
        lasting = any(occurrence.end > occurrence.start for occurrence in found)
        problems.append(Problem(place, "recurrence_joined" if lasting else "recurrence_cut"))
        budget = Budget(MOST_STARTS)
        joined = _joined(_within(_thinned(recurrence, window), window, budget)) if lasting else iter(found[:MOST_ITEMS])
        found = list(islice(joined, MOST_JOINED + 1))
    if len(found) > MOST_JOINED or budget.left < 0:
        problems.append(Problem(place, "recurrence_cut"))
    return [_item(series, occurrence) for occurrence in found[:MOST_JOINED]]


def _within(recurrence: Recurrence, window: Window, budget: Budget) -> Iterator[Occurrence]:
    """Yield the occurrences near a window; dates may be placed up to a day away from it."""
    start, end = window.start - DAY, window.end + DAY
    return (
        occurrence
        for occurrence in occurrences(recurrence, start, end, budget)
        if occurrence.start < end and occurrence.end >= start
    )


def _joined(found: Iterable[Occurrence]) -> Iterator[Occurrence]:
    """Yield occurrences with those of one event that touch or overlap joined to one."""
    held: Occurrence | None = None
    for occurrence in found:
        if held is not None and held.event is occurrence.event and held.start <= occurrence.start <= held.end:
            held = structs.replace(held, end=max(held.end, occurrence.end))
        else:
            if held is not None:
                yield held
            held = occurrence
    if held is not None:
        yield held


def _thinned(recurrence: Recurrence, window: Window) -> Recurrence:
    """Return a series that covers the same time with fewer starts, if it has too many and each outlasts the step.

    Where the clock is set back, up to one length may be missing; long occurrences leave a margin for that.
    """
    master = recurrence.master
    if master.exclusions or master.exception_rules or recurrence.overridden or len(master.rules) != 1:
        return recurrence
    rule, seconds = master.rules[0], master.length.days * DAY + master.length.seconds
    step = rule.interval * SECONDS.get(rule.freq, 0)
    endless = rule.count is None and rule.until is None and not (rule.by or rule.weekdays)
    if not (endless and 0 < 2 * step <= seconds and window.end - window.start > MOST_STARTS * step):
        return recurrence
    margin = CLOCK_CHANGE if seconds > 4 * CLOCK_CHANGE else 0
    thin = structs.replace(rule, interval=rule.interval * ((seconds - margin) // step))
    return structs.replace(recurrence, master=structs.replace(master, rules=(thin,)))
