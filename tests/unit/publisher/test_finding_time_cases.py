"""Other people's test cases of bookable starts, common free time and working hours, put to finding time."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.publisher.finding.grid import gaps, joined
from services.publisher.finding.hours import stretches
from services.publisher.problems import Problem
from shared.contracts.values import WorkingHours, WorkPeriod
from tests.unit.publisher.finding_asks import found_by_us, minutes
from tests.unit.publisher.finding_oracle import Person

FOLDER = Path(__file__).parents[3] / ".." / "shared" / "data" / "availability-cases"
Span = tuple[int, int]

if not (FOLDER / "cases.json").exists():
    pytest.skip("the folder of availability cases is not there", allow_module_level=True)


def of_kind(kind: str) -> Any:
    found = [
        case
        for case in json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
        if case["kind"] == kind and case["applies_to_us"].startswith("yes")
    ]
    return pytest.mark.parametrize("case", found, ids=[case["id"] for case in found])


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def spans(ranges: list[dict[str, str]]) -> list[Span]:
    return [(seconds(each["start"]), seconds(each["end"])) for each in ranges]


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def somebody(busy: list[Span], within: Span) -> Person:
    line = tuple((at(start), at(end), "busy") for start, end in joined(busy))
    return Person(window=(at(within[0] - 86_400), at(within[1] + 86_400)), line=line)


def ask(people: dict[str, Person], periods: list[Span], **asked: Any) -> list[Span]:
    """Return our slots over some periods, at most 200."""
    request = {
        "periods": [{"from": at(start).isoformat(), "to": at(end).isoformat()} for start, end in periods],
        "required": [{"mailbox": name} for name in people],
        "working_hours": "ignored",
        "limit": 200,
    }
    return spans(found_by_us(request | asked, people)["slots"])


@of_kind("slots")
def test_bookable_starts_are_those_the_source_expects(case: dict[str, Any]) -> None:
    """The source's open ranges within its window are our periods: what can be asked."""
    first, past = seconds(case["window"]["start"]), seconds(case["window"]["end"])
    cut = [(max(start, first), min(end, past)) for start, end in spans(case["open_ranges"])]
    periods = [(start, end) for start, end in cut if start < end]
    if not periods:
        assert case["expected_slots"] == []
        return
    found = ask(
        {"ada": somebody(spans(case["events"]), (first, past))},
        periods,
        duration_minutes=case["duration_minutes"],
        step_minutes=case["step_minutes"],
    )
    assert [start for start, _ in found] == [seconds(text) for text in case["expected_slots"]]


@of_kind("intersect")
def test_common_free_time_is_what_the_source_expects(case: dict[str, Any]) -> None:
    """Everybody's free ranges become what is busy outside of them; slots of five minutes together make the time."""
    free = [spans(ranges) for ranges in case["free_ranges"]]
    everything = [span for one in free for span in one]
    if not everything:
        assert case["expected_free"] == []
        with pytest.raises(Problem):  # whoever names nobody is asked to
            ask({}, [(0, 3600)], duration_minutes=5, step_minutes=5)
        return
    within = min(start for start, _ in everything), max(end for _, end in everything)
    people = {f"m{n}": somebody(list(gaps(joined(one), within)), within) for n, one in enumerate(free)}
    found = ask(people, [within], duration_minutes=5, step_minutes=5)
    assert list(joined(found)) == spans(case["expected_free"])


@of_kind("working_hours")
def test_working_time_is_what_the_source_expects(case: dict[str, Any]) -> None:
    """A day that differs is written as other hours of that day of the week: within the window each comes once."""
    weekly = {day - 1: case["working_hours"] for day in case["working_hours"]["days"]}  # the source: 1 is Monday
    weekly |= {datetime.fromisoformat(each["date"]).weekday(): each for each in case["overrides"]}
    periods = [
        WorkPeriod(day, minutes(each["start"]), minutes(each["end"]))
        for day, each in sorted(weekly.items())
        if each["start"] != each["end"]
    ]
    hours = WorkingHours(time_zone=case["timezone"], periods=tuple(periods))
    window = seconds(case["window"]["start"]), seconds(case["window"]["end"])
    assert list(stretches(hours, window) or ()) == spans(case["expected_open"])


@of_kind("subtract")
def test_what_is_left_of_open_time_is_what_the_source_expects(case: dict[str, Any]) -> None:
    busy = joined(spans(case["busy_ranges"]))
    left = [gap for span in spans(case["open_ranges"]) for gap in gaps(around(busy, span), span)]
    assert left == spans(case["expected_free"])


def around(busy: tuple[Span, ...], span: Span) -> list[Span]:
    return [each for each in busy if each[0] < span[1] and span[0] < each[1]]
