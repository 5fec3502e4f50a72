"""Digits per slot: as Exchange merges them, against a slow and plain reading of the rule, and other people's cases."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.normalizer.merge import merge
from services.publisher.joined import busy_periods
from services.publisher.views import availability_view, slots
from shared.contracts.values import DAY, Block, Status, Window
from tests.unit.publisher.readings import HOUR, MONDAY, busy, lines

CASES = Path(__file__).parents[3] / ".." / "shared" / "data" / "availability-cases" / "cases.json"
SPAN = Window(MONDAY, MONDAY + 4 * DAY)
WORDS = {"workingElsewhere": Status.ELSEWHERE} | {status.value: status for status in Status}


@st.composite
def spans(draw: st.DrawFn) -> Window:
    """Return spans about a line's window, by the minute."""
    start = draw(st.integers(-60, 5 * 1440))
    return Window(MONDAY + start * 60, MONDAY + (start + draw(st.integers(1, 3000))) * 60)


@settings(max_examples=150)
@given(lines(SPAN), spans(), st.integers(5, 1440))
def test_a_slot_shows_the_highest_digit_of_any_second_in_it(
    line: tuple[Block, ...], span: Window, minutes: int
) -> None:
    view = availability_view(line, span, minutes)
    assert len(view) == slots(span, minutes)
    for number, shown in enumerate(view):
        start = span.start + number * minutes * 60
        end = min(start + minutes * 60, span.end)
        met = [block.status for block in line if block.start < end and start < block.end]
        plain = {"tentative": "1", "busy": "2", "unknown": "2", "oof": "3"}
        assert shown == max((plain.get(status, "0") for status in met), default="0")


@settings(max_examples=60)
@given(lines(SPAN), st.integers(1, 60))
def test_two_halves_are_drawn_as_the_whole(line: tuple[Block, ...], slots_before: int) -> None:
    middle = SPAN.start + slots_before * HOUR
    halves = (Window(SPAN.start, middle), Window(middle, SPAN.end))
    assert "".join(availability_view(line, half, 60) for half in halves) == availability_view(line, SPAN, 60)


@settings(max_examples=60)
@given(lines(SPAN))
def test_what_no_digit_shows_is_not_plainly_busy_either(line: tuple[Block, ...]) -> None:
    view = availability_view(line, SPAN, 60)  # blocks lie on whole hours
    hours = {MONDAY + number * HOUR for number, digit in enumerate(view) if digit != "0"}
    periods = busy_periods(line, SPAN)
    assert hours == {hour for start, end in periods for hour in range(start, end, HOUR)}
    assert all(before[1] < after[0] for before, after in pairwise(periods))


def test_a_last_slot_cut_short_still_counts() -> None:
    span = Window(MONDAY, MONDAY + 90 * 60)
    assert availability_view((Block(MONDAY + 80 * 60, MONDAY + 5 * HOUR, Status.OOF),), span, 60) == "03"


def test_working_elsewhere_is_no_reason_not_to_book_and_an_unknown_status_is() -> None:
    line = (busy(0, 1, Status.ELSEWHERE), busy(1, 2, Status.UNKNOWN), busy(2, 3, Status.FREE))
    assert availability_view(line, Window(MONDAY, MONDAY + 4 * HOUR), 60) == "0200"


def cases(kind: str) -> list[Any]:
    if not CASES.is_file():
        return [pytest.param(None, marks=pytest.mark.skip(reason="the folder of availability cases is not there"))]
    found = json.loads(CASES.read_text(encoding="utf-8"))
    if kind == "view_to_busy":
        chosen = [case for case in found if case["kind"] == kind]
    else:
        chosen = [case for case in found if case.get("expected_view")]
    return [pytest.param(case, id=case["id"]) for case in chosen if case["applies_to_us"].startswith("yes")]


def instant(text: str, zone: str = "UTC") -> int:
    found = datetime.fromisoformat(text)
    return int((found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).timestamp())


def span_of(case: dict[str, Any]) -> Window:
    return Window(instant(case["window"]["start"]), instant(case["window"]["end"]))


@pytest.mark.parametrize("case", cases("expected_view"))
def test_other_peoples_views_are_drawn_alike(case: dict[str, Any]) -> None:
    zone = case["timezone"] or "UTC"
    events = [
        Block(
            instant(each["start"], each["tz"] or zone), instant(each["end"], each["tz"] or zone), WORDS[each["show_as"]]
        )
        for each in case["events"]
    ]
    wanted = case["expected_view"]
    span = span_of(case)
    assert availability_view(merge(events, span), span, wanted["interval_minutes"]) == wanted["string"]


@pytest.mark.parametrize("case", cases("view_to_busy"))
def test_what_others_read_out_of_digits_is_drawn_as_these_digits(case: dict[str, Any]) -> None:
    line = tuple(
        Block(instant(each["start"]), instant(each["end"]), Status(each["status"])) for each in case["expected_busy"]
    )
    assert availability_view(line, span_of(case), case["view"]["interval_minutes"]) == case["view"]["string"]
    assert datetime.fromtimestamp(span_of(case).start, UTC) == datetime.fromisoformat(case["view"]["start"])
