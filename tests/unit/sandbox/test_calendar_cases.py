"""The answers that other projects' tests and specifications state, computed from their own calendar files."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from deploy.sandbox.calendar import Item, instances, read_calendar
from shared.contracts.values import Window
from shared.zones import local_midnight

CASES = Path(__file__).parents[3] / ".." / "shared" / "data" / "availability-cases" / "cases.json"
RANKS = ("free", "tentative", "busy", "oof")
Busy = list[tuple[int, int, str]]

pytestmark = pytest.mark.skipif(not CASES.exists(), reason="needs ../shared/data/availability-cases")


def cases(kind: str) -> list[Any]:
    """Read the cases of one kind whose rule is ours and whose answer comes of VEVENTs."""
    found = json.loads(CASES.read_text()) if CASES.exists() else []
    ours = [case for case in found if case["kind"] == kind and case["applies_to_us"].startswith("yes")]
    return [pytest.param(case, id=case["id"]) for case in ours if case.get("ical") and not counts_more(case)]


def counts_more(case: dict[str, Any]) -> bool:
    """Whether the answer of a case comes also of VFREEBUSY objects in its window, which no mailbox holds."""
    return case["id"] != "appletest-reports-freebusy-1" and any("BEGIN:VFREEBUSY" in text for text in texts(case))


def texts(case: dict[str, Any]) -> list[str]:
    """Return the calendar files of a case."""
    return [case["ical"]] if isinstance(case["ical"], str) else case["ical"]


def second(text: str) -> int:
    """Return the UTC second of an RFC 3339 text."""
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp())


def listed(case: dict[str, Any], window: Window) -> list[Item]:
    """Return the items of all calendar files of a case."""
    calendars = [read_calendar(text.encode(), time_zone=case["timezone"]) for text in texts(case)]
    return [item for calendar in calendars for item in instances(calendar, window)[0]]


def placed(item: Item, zone: ZoneInfo) -> tuple[int, int]:
    """Return the true instants of an item."""
    if item.all_day:
        return local_midnight(item.start, zone), local_midnight(item.end, zone)
    return item.start, item.end


def highest(items: list[Item], zone: ZoneInfo, window: Window) -> Busy:
    """Collapse items to one line of busy periods, the highest status winning, cut to the window."""
    spans = [
        (max(start, window.start), min(end, window.end), RANKS.index(item.show_as))
        for item in items
        if not item.cancelled
        for start, end in [placed(item, zone)]
    ]
    line: Busy = []
    for start, end in pairwise(sorted({edge for span in spans for edge in span[:2]})):
        rank = max((rank for s, e, rank in spans if s <= start and end <= e), default=0)
        if rank and line and line[-1][1:] == (start, RANKS[rank]):
            line[-1] = (line[-1][0], end, RANKS[rank])
        elif rank:
            line.append((start, end, RANKS[rank]))
    return line


@pytest.mark.parametrize("case", cases("busy"))
def test_the_busy_times_are_those_the_source_states(case: dict[str, Any]) -> None:
    window = Window(second(case["window"]["start"]), second(case["window"]["end"]))
    expected = [(second(p["start"]), second(p["end"]), p["status"]) for p in case["expected_highest"]]

    assert highest(listed(case, window), ZoneInfo(case["timezone"]), window) == expected


@pytest.mark.parametrize("case", cases("occurrences"))
def test_the_occurrences_begin_when_the_source_says(case: dict[str, Any]) -> None:
    window = Window(second(case["window"]["start"]), second(case["window"]["end"]))
    zone = ZoneInfo(case["timezone"])

    starts = sorted({placed(item, zone)[0] for item in listed(case, window)})

    assert [start for start in starts if start >= window.start] == [second(text) for text in case["expected_starts"]]


@pytest.mark.parametrize("case", [c for c in cases("occurrences") if "expected_busy_unclipped" in c.values[0]])
def test_the_occurrences_last_as_long_as_the_source_says(case: dict[str, Any]) -> None:
    window = Window(second(case["window"]["start"]), second(case["window"]["end"]))
    zone = ZoneInfo(case["timezone"])
    expected = [(second(p["start"]), second(p["end"])) for p in case["expected_busy_unclipped"]]

    spans = sorted({placed(item, zone) for item in listed(case, window)})

    assert [span for span in spans if span[0] >= window.start] == expected
