"""Decides what is known of a mailbox after an update, as one value: the update that would tell all of it at once.

It refuses to take time for free that nobody told of. Moments are compared as the text they are: RFC 3339, UTC, seconds.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from shared.contracts.public import AvailabilityUpdated, BusyBlock, EventDetails, Span
from shared.contracts.values import Coverage

NOT_TOLD_WHOLE = "not_told_whole"


def whole(update: AvailabilityUpdated) -> bool:
    """Say whether an update tells its mailbox's whole state, whatever was held before."""
    told_all = update.start <= update.window.start and update.window.end <= update.end
    return told_all or update.coverage is not Coverage.FULL


def applied(held: AvailabilityUpdated | None, update: AvailabilityUpdated) -> AvailabilityUpdated:
    """Return what is known of a mailbox after an update, over its whole window.

    Where no whole line was held before and the update tells only a part, coverage stays unknown (`not_told_whole`).
    """
    window = update.window
    if update.coverage is not Coverage.FULL:
        return replace(update, start=window.start, end=window.end, busy=(), events=None)
    if whole(update):
        held = None
    elif held is None or held.coverage is not Coverage.FULL:
        return _nothing(update)
    return replace(update, start=window.start, end=window.end, busy=_blocks(held, update), events=_events(held, update))


def _nothing(update: AvailabilityUpdated) -> AvailabilityUpdated:
    return replace(
        update,
        start=update.window.start,
        end=update.window.end,
        busy=(),
        events=None,
        coverage=Coverage.UNKNOWN,
        reason=NOT_TOLD_WHOLE,
    )


def _blocks(held: AvailabilityUpdated | None, update: AvailabilityUpdated) -> tuple[BusyBlock, ...]:
    """Return the line with the range told replaced, cut to the window."""
    window = update.window
    kept = () if held is None else held.busy
    before = clipped(kept, window.start, min(update.start, window.end))
    after = clipped(kept, max(update.end, window.start), window.end)
    return _joined((*before, *clipped(update.busy, window.start, window.end), *after))


def clipped(blocks: Iterable[BusyBlock], start: str, end: str) -> tuple[BusyBlock, ...]:
    """Return the parts of blocks that lie in [start, end), none of them empty."""
    return tuple(
        block
        if start <= block.start and block.end <= end
        else BusyBlock(start=max(block.start, start), end=min(block.end, end), status=block.status)
        for block in blocks
        if max(block.start, start) < min(block.end, end)
    )


def _joined(line: tuple[BusyBlock, ...]) -> tuple[BusyBlock, ...]:
    """Join neighbours of one status that touch: the range's edge cut what was one block."""
    joined: list[BusyBlock] = []
    for block in line:
        if joined and joined[-1].end == block.start and joined[-1].status is block.status:
            joined[-1] = BusyBlock(start=joined[-1].start, end=block.end, status=block.status)
        else:
            joined.append(block)
    return tuple(joined)


def _events(held: AvailabilityUpdated | None, update: AvailabilityUpdated) -> tuple[EventDetails, ...] | None:
    """Return the events with those that share time with the range replaced; None under free/busy."""
    if update.events is None:
        return None
    kept = () if held is None else held.events or ()
    told = Span(start=update.start, end=update.end)
    staying = [event for event in kept if _meets(event, update.window) and not _meets(event, told)]
    return tuple(sorted([*staying, *update.events], key=_times))


def _meets(event: EventDetails, span: Span) -> bool:
    return event.start < span.end and span.start < event.end


def _times(event: EventDetails) -> tuple[str, str]:
    return event.start, event.end
