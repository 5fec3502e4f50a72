"""Decides at which instants something may start, and which of those starts a span of time stands in the way of.

Sets of starts are whole numbers: bit n stands for the n-th start. It refuses to know what a span means.
"""

from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from shared.contracts.values import DAY, Instant

Stretch = tuple[Instant, Instant]  # half-open
Block = tuple[Instant, Instant, str]  # and its status
_ANY = frozenset({""})


class Run(Struct, frozen=True):
    """Starts at equal distances from `first` on; the first of them is bit `at`."""

    first: Instant
    count: int
    at: int


class Grid(Struct, frozen=True):
    """Every start there may be, in order. `step` and `length`, of what starts, are seconds.

    There is more than one run only where a clock was moved by something else than a multiple of the step.
    """

    step: int
    length: int
    runs: tuple[Run, ...]

    @property
    def count(self) -> int:
        """Return how many starts there are."""
        return self.runs[-1].at + self.runs[-1].count if self.runs else 0

    @property
    def full(self) -> int:
        """Return the set of all starts."""
        return (1 << self.count) - 1

    @property
    def span(self) -> Stretch:
        """Return the time from the first start to the end of what starts last; without starts it holds none."""
        if not self.runs:
            return 0, 0
        last = self.runs[-1]
        return self.runs[0].first, last.first + (last.count - 1) * self.step + self.length

    def start(self, number: int) -> Instant:
        """Return the instant of a start."""
        run = next(run for run in reversed(self.runs) if run.at <= number)
        return run.first + (number - run.at) * self.step


def grid_of(span: Stretch, *, step: int, length: int, zone: ZoneInfo) -> Grid:
    """Return the starts in a span at which a zone's clock shows a multiple of the step since midnight.

    What starts ends within the span. `step` and `length` are seconds; the step divides a day.
    """
    runs: list[Run] = []
    for begin, end, offset in offsets(zone, *span):
        first = begin + -(begin + offset) % step
        count = -((first - min(end, span[1] - length + 1)) // step)
        if count <= 0:
            continue
        last = runs[-1] if runs else Run(first, 0, 0)
        if last.first + last.count * step == first:  # the clock was moved by whole steps, or not at all
            runs[-1:] = [Run(last.first, last.count + count, last.at)]
        else:
            runs.append(Run(first, count, last.at + last.count))
    return Grid(step, length, tuple(runs))


def touched(grid: Grid, spans: Iterable[Stretch]) -> int:
    """Return the starts from which what starts shares time with a span; the spans are in order."""
    return marked(grid, [(begin, end, "") for begin, end in spans], _ANY)


def marked(grid: Grid, blocks: Sequence[Block], blocking: Container[str], *, before: int = 0, after: int = 0) -> int:
    """Return the starts from which what starts shares time with a block of a status that blocks.

    `before` and `after` are seconds to be added to what starts. The blocks are in order.
    """
    found = 0
    for run in grid.runs:
        found |= _marked(run, blocks, blocking, step=grid.step, reach=(before, grid.length + after)) << run.at
    return found


def _marked(run: Run, blocks: Sequence[Block], blocking: Container[str], *, step: int, reach: tuple[int, int]) -> int:
    """Gather neighbouring blocks before a number as long as the run is touched: what a search costs is this loop."""
    count, begins, ends = run.count, run.first + reach[1] - step, reach[0] - run.first + step - 1
    found = first = past = 0
    for begin, end, status in blocks:
        if status in blocking:
            low = (begin - begins) // step  # the start t is met where t - before < end and begin < t + after
            if low > past:
                if low >= count:
                    break
                found |= ((1 << past - first) - 1) << first
                first = past = low
            high = (end + ends) // step
            if high > past:  # noqa: PLR1730 -- max() would cost as much as the rest of the loop
                past = high
    return found | ((1 << min(past, count) - first) - 1) << first


def joined(spans: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """Return spans in order, those that meet or overlap made one."""
    found: list[Stretch] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return tuple(found)


def gaps(spans: Sequence[Stretch], within: Stretch) -> tuple[Stretch, ...]:
    """Return the time of `within` that lies in none of the joined spans."""
    begins = [within[0], *(end for _, end in spans)]
    ends = [*(begin for begin, _ in spans), within[1]]
    return tuple((begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end)


@lru_cache(maxsize=1024)
def offsets(zone: ZoneInfo, start: Instant, end: Instant) -> tuple[tuple[Instant, Instant, int], ...]:
    """Return a span cut where a zone's clock is moved: begin, end, and the seconds it is ahead of UTC in between."""
    found: list[tuple[Instant, Instant, int]] = []
    begin, offset = start, _offset(zone, start)
    for day in range(start, end, DAY):
        later = min(day + DAY, end)
        if _offset(zone, later) != offset:
            moved = _moved(zone, day, later)
            found.append((begin, moved, offset))
            begin, offset = moved, _offset(zone, moved)
    return (*found, (begin, end, offset)) if begin < end else tuple(found)


def _moved(zone: ZoneInfo, low: Instant, high: Instant) -> Instant:
    """Return the first instant after `low` with another offset; there is one, at `high` at the latest."""
    offset = _offset(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    return high


def _offset(zone: ZoneInfo, at: Instant) -> int:
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
