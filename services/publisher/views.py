"""Draws a line of blocks as digits, one for each slot, as Exchange merges free/busy; the highest digit of a slot wins.

It refuses to draw what is not known: whoever asks makes sure that the span is covered.
"""

from bisect import bisect_left, bisect_right
from types import MappingProxyType
from typing import Final

from shared.contracts.values import Block, Instant, Status, Window

# Graph, scheduleInformation: "0= free or working elsewhere, 1= tentative, 2= busy, 3= out of office". A status that
# Microsoft itself does not know blocks time as busy does.
DIGITS: Final = MappingProxyType(
    {Status.FREE: 0, Status.ELSEWHERE: 0, Status.TENTATIVE: 1, Status.UNKNOWN: 2, Status.BUSY: 2, Status.OOF: 3}
)
_ZERO: Final = ord("0")


def slots(span: Window, minutes: int) -> int:
    """Return how many slots of so many minutes a span has; the last one may be cut short by its end."""
    return -(-(span.end - span.start) // (minutes * 60))


def availability_view(blocks: tuple[Block, ...], span: Window, minutes: int) -> str:
    """Return one digit for each slot of a span, from its start on; a slot that is partly covered counts wholly.

    `blocks` are sorted and do not overlap, as published.
    """
    step = minutes * 60
    view = bytearray([_ZERO]) * slots(span, minutes)
    first_block = bisect_right(blocks, span.start, key=_end)
    after_block = bisect_left(blocks, span.end, key=_start)
    for block in blocks[first_block:after_block]:
        first = (max(block.start, span.start) - span.start) // step
        last = (min(block.end, span.end) - span.start - 1) // step
        digit = _ZERO + DIGITS[block.status]
        view[first], view[last] = max(view[first], digit), max(view[last], digit)
        view[first + 1 : last] = bytes([digit]) * max(0, last - first - 1)  # these it has to itself
    return view.decode()


def _start(block: Block) -> Instant:
    return block.start


def _end(block: Block) -> Instant:
    return block.end
