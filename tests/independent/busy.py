"""Decides when the mailbox an .ics file stands for is busy: `python -m tests.independent.busy FILE FROM TO`.

Refuses nothing: a bad item contributes nothing, and free time is the absence of a block.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.independent.events import Event, ZoneBook, read_event
from tests.independent.lines import Component, read_components
from tests.independent.recurrence import Span
from tests.independent.series import Busy, busy_of_series
from tests.independent.values import Zone
from tests.independent.zones import UNIVERSAL, known_zone

RANK = ("elsewhere", "tentative", "busy", "oof")
Block = tuple[int, int, str]


def evaluate(data: bytes, start: int, end: int) -> list[Block]:
    """Return the sorted, joined blocks (UTC seconds, half-open, status) of a file, clipped to [start, end)."""
    return merged(contributions(data, Span(start, end)), Span(start, end))


def contributions(data: bytes, window: Span) -> Iterator[Busy]:
    """Yield what each instance near the window contributes, unclipped and unmerged."""
    masters: dict[str, list[Event]] = defaultdict(list)
    overrides: dict[str, list[Event]] = defaultdict(list)
    for position, event in enumerate(read_events(data)):
        uid = event.uid or f"\n{position}"
        (overrides if event.recurrence_id else masters)[uid].append(event)
    for uid in masters | overrides:
        yield from _series(masters.get(uid, []), overrides.get(uid, []), window)


def read_events(data: bytes) -> Iterator[Event]:
    """Yield the readable VEVENTs of a file, those of all its calendars."""
    root = read_components(data)
    calendars = [component for component in root.children if component.name == "VCALENDAR"]
    mailbox = _mailbox_zone(calendars)
    everywhere = [zone for calendar in calendars for zone in _named(calendar, "VTIMEZONE")]
    for calendar in [*calendars, root]:
        book = ZoneBook(mailbox, [*_named(calendar, "VTIMEZONE"), *everywhere])
        for component in _named(calendar, "VEVENT"):
            try:
                yield read_event(component, book)
            except (ValueError, OverflowError):
                continue


def merged(busy: Iterable[Busy], window: Span) -> list[Block]:
    """Collapse overlapping contributions: at every instant the highest status, equal neighbours joined."""
    changes: dict[int, list[int]] = defaultdict(lambda: [0] * len(RANK))
    for begin, end, status in busy:
        low, high = max(begin, window.low), min(end, window.high)
        if low < high:
            changes[low][RANK.index(status)] += 1
            changes[high][RANK.index(status)] -= 1
    blocks: list[Block] = []
    depth, since = [0] * len(RANK), window.low
    for at in sorted(changes):
        top = max((rank for rank, count in enumerate(depth) if count), default=None)
        if top is not None:
            _append(blocks, (since, at, RANK[top]))
        depth = [count + change for count, change in zip(depth, changes[at], strict=True)]
        since = at
    return blocks


def _append(blocks: list[Block], block: Block) -> None:
    if blocks and blocks[-1][1:] == (block[0], block[2]):
        block = (blocks.pop()[0], block[1], block[2])
    blocks.append(block)


def _series(masters: list[Event], overrides: list[Event], window: Span) -> Iterator[Busy]:
    try:
        yield from busy_of_series(masters, overrides, window)
    except (ValueError, OverflowError):
        return


def _named(component: Component, name: str) -> list[Component]:
    return [child for child in component.children if child.name == name and child.closed]


def _mailbox_zone(calendars: list[Component]) -> Zone:
    for calendar in calendars:
        for item in calendar.every("X-WR-TIMEZONE"):
            zone = known_zone(item.value)
            if zone:
                return zone
    return UNIVERSAL


def seconds_of(text: str) -> int:
    """Read an RFC 3339 date (its UTC midnight) or date-time as UTC seconds."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        text += "T00:00:00Z"
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def text_of(seconds: int) -> str:
    """Write UTC seconds as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main(arguments: list[str]) -> int:
    """Print one block a line."""
    file, start, end = arguments
    for begin, finish, status in evaluate(Path(file).read_bytes(), seconds_of(start), seconds_of(end)):
        sys.stdout.write(f"{text_of(begin)} {text_of(finish)} {status}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
