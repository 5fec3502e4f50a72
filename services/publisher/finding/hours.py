"""Decides which starts lie outside somebody's working hours.

An instant is working time where the clock of the hours' zone shows a time in one of their stretches: an hour that the
clock shows twice is twice in them, one that it skips is not. Working hours say nothing of being free.
"""

from collections.abc import Iterator
from functools import lru_cache

from services.publisher.finding.grid import Grid, Stretch, gaps, joined, offsets, touched
from shared.contracts.values import DAY, WorkingHours
from shared.zones import resolve

_MONDAY = 3  # 1970-01-01 was a Thursday: 3, where Monday is 0


@lru_cache(maxsize=1024)
def outside_hours(hours: WorkingHours, grid: Grid) -> int | None:
    """Return the starts from which not all lies in one stretch of work; None where the hours' zone is not known.

    Stretches that meet are one: up to 24:00 and on from 00:00 the next day.
    """
    worked = stretches(hours, grid.span)
    return None if worked is None else touched(grid, gaps(worked, grid.span))


def stretches(hours: WorkingHours, span: Stretch) -> tuple[Stretch, ...] | None:
    """Return the working time in a span, in order; None where the hours' zone is not known."""
    zone = resolve(hours.time_zone or "UTC")
    if zone is None:
        return None
    return joined(part for segment in offsets(zone, *span) for part in _worked(hours, *segment))


def _worked(hours: WorkingHours, begin: int, end: int, offset: int) -> Iterator[Stretch]:
    """Yield the working time in a span in which the clock is not moved."""
    for day in range((begin + offset) // DAY, (end + offset - 1) // DAY + 1):
        for each in hours.periods:
            if each.day == (day + _MONDAY) % 7:
                midnight = day * DAY - offset
                first, past = max(begin, midnight + each.start * 60), min(end, midnight + each.end * 60)
                if first < past:
                    yield first, past
