"""Decides what is plainly busy, where no status is told: the periods in which a booking would be in the way.

It refuses to count what is free or spent working elsewhere.
"""

from collections.abc import Iterable
from typing import Final

from shared.contracts.values import Block, Instant, Status, Window

BUSY: Final = frozenset({Status.BUSY, Status.OOF, Status.TENTATIVE, Status.UNKNOWN})


def busy_periods(
    blocks: Iterable[Block], span: Window, statuses: frozenset[Status] = BUSY
) -> list[tuple[Instant, Instant]]:
    """Return the periods of these statuses in a sorted line, clipped to the span, touching ones as one."""
    periods: list[tuple[Instant, Instant]] = []
    for block in blocks:
        start, end = max(block.start, span.start), min(block.end, span.end)
        if start >= end or block.status not in statuses:
            continue
        if periods and periods[-1][1] == start:
            start = periods.pop()[0]
        periods.append((start, end))
    return periods
