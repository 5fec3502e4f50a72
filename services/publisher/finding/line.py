"""What is published of one mailbox, as far as finding time needs it; the blocks stay as stored until a part is read."""

from functools import lru_cache

import msgspec
from msgspec import Struct

from shared.contracts.values import Instant, WorkingHours

_BLOCKS = msgspec.json.Decoder(list[tuple[int, int, str]])
_HOURS = msgspec.json.Decoder(WorkingHours)
_NEXT = b"],["
_READ_WHOLE = 1024  # bytes: reading them costs less than looking for a part of them


class Line(Struct, frozen=True, kw_only=True):
    """A mailbox, with where its last update stands in the log. Where `known` is false nothing holds, for `reason`.

    `blocks` is the JSON of [start, end, status], in order; `hours` that of WorkingHours, None where not known.
    """

    mailbox_id: str
    known: bool
    reason: str | None = None
    time_zone: str = ""
    window: tuple[Instant, Instant] = (0, 0)
    as_of: Instant = 0
    version: int = 0
    position: int = 0
    blocks: bytes = b"[]"
    hours: bytes | None = None


def blocks_within(line: bytes, start: Instant, end: Instant) -> list[tuple[Instant, Instant, str]]:
    """Return every block that shares time with [start, end), and maybe some before and after, in order."""
    low = _last_begun(line, start)
    high = _last_begun(line, end)
    past = line.find(_NEXT, high + _READ_WHOLE)
    part = line[low : len(line) - 1 if past < 0 else past + 1].lstrip(b"[,")
    return _BLOCKS.decode(b"[[" + part + b"]") if part else []


def _last_begun(line: bytes, at: Instant) -> int:
    """Return a place in front of a block that begins at or before an instant, at most 1 KiB before the last such."""
    low, high = 0, len(line)
    while high - low > _READ_WHOLE:
        middle = line.find(_NEXT, (low + high) // 2, high)
        if middle < 0:
            break
        begin = int(line[middle + 3 : line.index(b",", middle + 3)])
        low, high = (middle + 1, high) if begin <= at else (low, middle)
    return low


@lru_cache(maxsize=1024)
def hours_of(stored: bytes) -> WorkingHours:
    """Return working hours as stored. Many people share the same."""
    return _HOURS.decode(stored)
