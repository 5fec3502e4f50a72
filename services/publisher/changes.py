"""Decides what changed between the timeline published and a new one, as ranges of time within the new window.

A consumer that replaces each range, and drops what lies outside the window, arrives exactly at the new timeline.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from services.publisher.timeline import Timeline
from shared.contracts.messages import PublicEvent
from shared.contracts.values import DAY, Block, Coverage, Instant, Status, Window

APART = 8 * DAY  # ranges closer than this are told as one: an update costs more than the days between


def changed(old: Timeline | None, new: Timeline) -> tuple[Window, ...]:
    """Return the ranges [start, end) that changed: sorted, inside the new window, at least eight days apart.

    Newly covered time has changed; where the window only shrank, one range tells of it. Everything has where there was
    nothing before, or where the same times would now mean something else: another generation, coverage, privacy, zone,
    address.
    """
    if old is None or _terms(old) != _terms(new):
        return (new.window,)
    if new.coverage is Coverage.UNKNOWN:
        return ()
    ranges = chain(_uncovered(old.window, new.window), _redrawn(old, new), _rewritten(old, new))
    told = _joined(_clipped(ranges, new.window))
    return told if told or old.window == new.window else (new.window,)


def _terms(timeline: Timeline) -> tuple[object, ...]:
    """Return what gives the blocks their meaning. A new generation speaks anew: what the last one told may be void."""
    return (
        timeline.generation,
        timeline.coverage,
        timeline.reason,
        timeline.events is None,
        timeline.time_zone,
        timeline.address,
        timeline.working_hours,
    )


def _uncovered(old: Window, new: Window) -> Iterator[tuple[Instant, Instant]]:
    yield new.start, min(old.start, new.end)
    yield max(old.end, new.start), new.end


def _redrawn(old: Timeline, new: Timeline) -> Iterator[tuple[Instant, Instant]]:
    """Yield the spans in which the two lines have different statuses."""
    if old.blocks == new.blocks:
        return
    before, after = set(old.blocks), set(new.blocks)
    gone, come = sorted(before - after, key=_start), sorted(after - before, key=_start)
    instants = sorted({instant for block in chain(gone, come) for instant in (block.start, block.end)})
    lost, gained = _statuses(gone, instants), _statuses(come, instants)
    for (start, end), one, other in zip(pairwise(instants), lost, gained, strict=False):
        if one is not other:
            yield start, end


def _statuses(blocks: list[Block], instants: list[Instant]) -> list[Status | None]:
    """Return the status at each instant of a sorted list, given sorted blocks that do not overlap."""
    found: list[Status | None] = []
    place = 0
    for instant in instants:
        while place < len(blocks) and blocks[place].end <= instant:
            place += 1
        inside = place < len(blocks) and blocks[place].start <= instant
        found.append(blocks[place].status if inside else None)
    return found


def _rewritten(old: Timeline, new: Timeline) -> Iterator[tuple[Instant, Instant]]:
    """Yield the spans of events that came, went or read differently."""
    if old.events == new.events:
        return
    before: Counter[PublicEvent] = Counter(old.events or ())
    after: Counter[PublicEvent] = Counter(new.events or ())
    for event in chain(before - after, after - before):
        yield event.start, event.end


def _clipped(ranges: Iterable[tuple[Instant, Instant]], window: Window) -> list[tuple[Instant, Instant]]:
    clipped = ((max(start, window.start), min(end, window.end)) for start, end in ranges)
    return sorted((start, end) for start, end in clipped if start < end)


def _joined(ranges: list[tuple[Instant, Instant]]) -> tuple[Window, ...]:
    joined: list[Window] = []
    for start, end in ranges:
        if joined and start - joined[-1].end < APART:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, end))
        else:
            joined.append(Window(start, end))
    return tuple(joined)


def _start(block: Block) -> Instant:
    return block.start
