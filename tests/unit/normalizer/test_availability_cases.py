"""Other people's test cases for free/busy, passed through the normalizer."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.normalizer.handler import normalize
from services.normalizer.merge import RANKED
from shared.contracts.messages import RawEvent
from shared.contracts.values import Block, Instant, Status, Window
from tests.unit.normalizer.events import reading

FOLDER = Path(__file__).parents[3] / ".." / "shared" / "data" / "availability-cases"
KINDS = {"busy", "status_at", "status_over"}

if not (FOLDER / "cases.json").exists():
    pytest.skip("the folder of availability cases is not there", allow_module_level=True)

CASES = [
    case
    for case in json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
    if case["kind"] in KINDS
    and case["applies_to_us"].startswith("yes")
    and case["events"] is not None  # None: unexpanded
]


def instant(text: str, zone: str = "UTC") -> Instant:
    found = datetime.fromisoformat(text)
    return int((found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).timestamp())


def raw(event: dict[str, Any], zone: str) -> RawEvent:
    """Return a neutral event as Graph would give it: an all-day event's dates are written as if in UTC."""
    placed = "UTC" if event["all_day"] else event["tz"] or zone
    tentative = event["response"] == "tentativelyAccepted"  # Exchange writes this answer into showAs itself
    return RawEvent(
        instant(event["start"], placed),
        instant(event["end"], placed),
        "tentative" if tentative else event["show_as"],
        event["sensitivity"],
        all_day=event["all_day"],
        cancelled=event["cancelled"],
        response=event["response"] or "",
    )


def window_of(case: dict[str, Any]) -> Window:
    return Window(instant(case["window"]["start"]), instant(case["window"]["end"]))


def blocks_of(case: dict[str, Any], window: Window) -> tuple[Block, ...]:
    zone = case["timezone"] or "UTC"
    events = [raw(event, zone) for event in case["events"]]
    return normalize(reading(*events, window=window, time_zone=zone)).blocks


def status_in(blocks: tuple[Block, ...], start: Instant, end: Instant) -> str:
    """Return the highest status met in [start, end), free where there is none."""
    met = [block.status for block in blocks if block.start < end and start < block.end]
    return max(met, key=RANKED.index, default=Status.FREE).value


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_case_gives_the_line_its_source_expects(case: dict[str, Any]) -> None:
    found = [
        {"start": written(block.start), "end": written(block.end), "status": block.status.value}
        for block in blocks_of(case, window_of(case))
    ]
    assert found == case["expected_highest"]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_status_at_a_point_or_over_a_span_is_what_the_source_expects(case: dict[str, Any]) -> None:
    blocks = blocks_of(case, window_of(case))
    for point in case.get("expected_points", []):
        at = instant(point["at"])
        assert status_in(blocks, at, at + 1) == point["status"]
    for span in case.get("expected_over", []):
        assert status_in(blocks, instant(span["start"]), instant(span["end"])) == span["status"]


def written(at: Instant) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
