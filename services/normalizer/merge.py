"""Draws overlapping intervals as one line of blocks: at every instant the highest status wins.

Highest to lowest: oof, busy, tentative, unknown, elsewhere, free. It refuses nothing: what lies outside the window, or
holds no time, leaves no trace.
"""

from collections.abc import Iterable

from shared.contracts.values import Block, Instant, Status, Window

RANKED = (Status.FREE, Status.ELSEWHERE, Status.UNKNOWN, Status.TENTATIVE, Status.BUSY, Status.OOF)
_RANK = {status: rank for rank, status in enumerate(RANKED)}
_ENDS = 8  # an edge is one small integer, so that sorting is cheap: second of the window * 16 + rank, + 8 for an end


def merge(blocks: Iterable[Block], window: Window) -> tuple[Block, ...]:
    """Return blocks sorted, half-open, clipped to the window, never overlapping, touching ones of one status joined."""
    return _sweep(sorted(_edges(blocks, window)), window.start)


def _edges(blocks: Iterable[Block], window: Window) -> list[int]:
    first, last, rank_of = window.start, window.end, _RANK
    edges: list[int] = []
    add = edges.append
    for block in blocks:
        start, end = block.start, block.end
        if start < first:  # noqa: PLR1730 -- max() and min() would double the time of this loop
            start = first
        if end > last:  # noqa: PLR1730 -- as above
            end = last
        if start < end:
            rank = rank_of[block.status]
            add((start - first) * 16 + rank)
            add((end - first) * 16 + rank + _ENDS)
    return edges


def _sweep(edges: list[int], first: Instant) -> tuple[Block, ...]:
    """Walk the edges in order. At one instant starts come before ends and low ranks before high ones.

    So the highest rank changes at most once for good at an instant, and neighbours of one status never arise.
    """
    line: list[Block] = []
    open_now = [0] * len(RANKED)
    top, since = -1, 0  # the highest rank open (-1: none), and since when
    for edge in edges:
        rank = edge & 7
        if edge & _ENDS:
            open_now[rank] -= 1
            if open_now[rank] or rank < top:
                continue
            now = _highest_below(rank, open_now)
        else:
            open_now[rank] += 1
            if rank <= top:
                continue
            now = rank
        second = edge >> 4
        if top >= 0 and second > since:
            line.append(Block(first + since, first + second, RANKED[top]))
        top, since = now, second
    return tuple(line)


def _highest_below(rank: int, open_now: list[int]) -> int:
    below = rank - 1
    while below >= 0 and not open_now[below]:
        below -= 1
    return below
