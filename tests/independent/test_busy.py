"""Decides whether the independent evaluator itself can be trusted: the recorded cases of others, and one small
calendar for every rule. Refuses to judge the product."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.independent.busy import evaluate, read_events, seconds_of, text_of
from tests.independent.recurrence import Span
from tests.independent.series import occurrences

CASES = Path(__file__).parents[2] / ".." / "shared" / "data" / "availability-cases" / "cases.json"
# Stored VFREEBUSY objects are no events, and only VEVENT counts here.
STORED_FREE_BUSY = frozenset(
    {
        "sabre-fbgen-VFreeBusy",
        "stalwart-rfc4791-appB-report11",
        "rfc5545-3.6.4-reply",
        "rfc5545-3.6.4-publish",
        "appletest-reports-freebusy-2",
    }
)


def _cases(kind: str) -> list[Any]:
    if not CASES.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="the shared availability cases are not here"))]
    cases = json.loads(CASES.read_text(encoding="utf-8"))
    ours = (case for case in cases if case["kind"] == kind and case.get("ical"))
    return [
        pytest.param(case, id=case["id"])
        for case in ours
        if case["applies_to_us"].startswith("yes") and case["id"] not in STORED_FREE_BUSY
    ]


def _data(case: dict[str, Any]) -> bytes:
    zone = f"BEGIN:VCALENDAR\nX-WR-TIMEZONE:{case['timezone']}\n"
    return "\n".join(case["ical"]).replace("BEGIN:VCALENDAR\n", zone).encode()


def _window(case: dict[str, Any]) -> tuple[int, int]:
    return seconds_of(case["window"]["start"]), seconds_of(case["window"]["end"])


@pytest.mark.parametrize("case", _cases("busy"))
def test_busy_time_is_what_the_recorded_case_expects(case: dict[str, Any]) -> None:
    found = [
        {"start": text_of(begin), "end": text_of(end), "status": status}
        for begin, end, status in evaluate(_data(case), *_window(case))
    ]
    assert found == case["expected_highest"]


@pytest.mark.parametrize("case", _cases("occurrences"))
def test_occurrences_start_where_the_recorded_case_expects(case: dict[str, Any]) -> None:
    low, high = _window(case)
    everything = [found for event in read_events(_data(case)) for found in occurrences(event, Span(low, high))]
    inside = [found for found in everything if low <= found.begin < high]
    assert sorted({text_of(found.begin) for found in inside}) == case["expected_starts"]
    if "expected_busy_unclipped" in case:
        expected = {(block["start"], block["end"]) for block in case["expected_busy_unclipped"]}
        assert {(text_of(found.begin), text_of(found.end)) for found in inside} == expected


def busy(*events: str, head: str = "", window: str = "2024-01-01..2025-01-01") -> list[str]:
    """Evaluate a calendar of events whose lines are parted by bars; blocks as `begin/end status` without the year."""
    text = "BEGIN:VCALENDAR\n" + head
    for event in events:
        text += "BEGIN:VEVENT\n" + "\n".join(event.split("|")) + "\nEND:VEVENT\n"
    low, high = (seconds_of(part) for part in window.split(".."))
    found = evaluate((text + "END:VCALENDAR\n").encode(), low, high)
    return [f"{_short(begin)}/{_short(end)} {status}" for begin, end, status in found]


def _short(seconds: int) -> str:
    return text_of(seconds)[5:16]


BERLIN = "X-WR-TIMEZONE:Europe/Berlin\n"
HOUR = "DTSTART:20240105T100000Z|DTEND:20240105T110000Z"
DAILY = "UID:a|DTSTART:20240101T100000Z|DTEND:20240101T110000Z|RRULE:FREQ=DAILY;COUNT=3"
ISLAND = (
    "BEGIN:VTIMEZONE\nTZID:{name}\nBEGIN:STANDARD\nDTSTART:19700101T000000\n"
    "TZOFFSETFROM:+0500\nTZOFFSETTO:+0500\nEND:STANDARD\nEND:VTIMEZONE\n"
)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("", "busy"),
        ("|STATUS:TENTATIVE", "tentative"),
        ("|TRANSP:OPAQUE|STATUS:TENTATIVE", "busy"),
        ("|TRANSP:TRANSPARENT|X-MICROSOFT-CDO-BUSYSTATUS:OOF", "oof"),
        ("|X-MICROSOFT-CDO-BUSYSTATUS:WORKINGELSEWHERE", "elsewhere"),
        ("|X-MICROSOFT-CDO-BUSYSTATUS:NONSENSE|STATUS:TENTATIVE", "tentative"),
        ("|ATTENDEE;PARTSTAT=DECLINED:mailto:person0001@sandbox.example", "busy"),
    ],
)
def test_the_first_property_that_knows_decides_the_status(lines: str, status: str) -> None:
    assert busy(HOUR + lines) == [f"01-05T10:00/01-05T11:00 {status}"]


@pytest.mark.parametrize(
    "lines",
    [
        HOUR + "|TRANSP:TRANSPARENT",
        HOUR + "|X-MICROSOFT-CDO-BUSYSTATUS:FREE",
        HOUR + "|STATUS:CANCELLED|X-MICROSOFT-CDO-BUSYSTATUS:OOF",
        "DTSTART:20240105T100000Z",
        "DTSTART:20240105T100000Z|DURATION:PT0S",
        "DTSTART:20240105T100000Z|DTEND:20240105T090000Z",
        "DTSTART:20240105T100000Z|DURATION:-PT1H",
        "DTSTART:garbage|DTEND:20240105T090000Z",
    ],
)
def test_free_cancelled_empty_and_malformed_events_contribute_nothing(lines: str) -> None:
    assert busy(lines) == []
    assert busy(lines, HOUR) == ["01-05T10:00/01-05T11:00 busy"]


def test_the_highest_status_wins_and_equal_neighbours_are_joined() -> None:
    tentative = "DTSTART:20240105T093000Z|DTEND:20240105T120000Z|STATUS:TENTATIVE"
    later = "DTSTART:20240105T110000Z|DTEND:20240105T113000Z"
    assert busy(tentative, HOUR, later) == [
        "01-05T09:30/01-05T10:00 tentative",
        "01-05T10:00/01-05T11:30 busy",
        "01-05T11:30/01-05T12:00 tentative",
    ]


def test_blocks_are_clipped_to_a_half_open_window() -> None:
    assert busy(HOUR, window="2024-01-05T10:30:00Z..2024-01-05T10:45:00Z") == ["01-05T10:30/01-05T10:45 busy"]
    assert busy(HOUR, window="2024-01-05T11:00:00Z..2024-01-05T12:00:00Z") == []


def test_a_date_lasts_from_local_midnight_to_local_midnight() -> None:
    assert busy("DTSTART;VALUE=DATE:20240331", head=BERLIN) == ["03-30T23:00/03-31T22:00 busy"]
    assert busy("DTSTART;VALUE=DATE:20240331|DURATION:P2D", head=BERLIN) == ["03-30T23:00/04-01T22:00 busy"]


def test_a_date_whose_midnight_does_not_exist_begins_at_its_first_instant() -> None:
    found = busy("DTSTART;VALUE=DATE:20240908", head="X-WR-TIMEZONE:America/Santiago\n")
    assert found == ["09-08T04:00/09-09T03:00 busy"]


def test_a_duration_in_hours_is_exact_and_in_days_nominal() -> None:
    start = "DTSTART;TZID=Europe/Berlin:20240330T120000|DURATION:"
    assert busy(start + "PT24H") == ["03-30T11:00/03-31T11:00 busy"]
    assert busy(start + "P1D") == ["03-30T11:00/03-31T10:00 busy"]


def test_every_instance_lasts_as_long_as_the_first() -> None:
    rule = (
        "DTSTART;TZID=Europe/Berlin:20240330T013000|DTEND;TZID=Europe/Berlin:20240330T033000|RRULE:FREQ=DAILY;COUNT=2"
    )
    assert busy(rule) == ["03-30T00:30/03-30T02:30 busy", "03-31T00:30/03-31T02:30 busy"]


def test_a_local_time_in_a_gap_or_a_fold_is_placed_as_rfc_5545_says() -> None:
    gap = "DTSTART;TZID=Europe/Berlin:20240331T023000|DURATION:PT1H"
    fold = "DTSTART;TZID=Europe/Berlin:20241027T023000|DURATION:PT1H"
    assert busy(gap, fold) == ["03-31T01:30/03-31T02:30 busy", "10-27T00:30/10-27T01:30 busy"]


@pytest.mark.parametrize(
    "name",
    [
        "Europe/Berlin",
        "europe/berlin",
        "W. Europe Standard Time",
        '"/mozilla.org/20070129_1/Europe/Berlin"',
        '"(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"',
    ],
)
def test_a_known_zone_name_wins_over_the_files_own_rules(name: str) -> None:
    head = ISLAND.format(name=name.strip('"'))
    event = f"DTSTART;TZID={name}:20240105T100000|DURATION:PT1H"
    assert busy(event, head=head) == ["01-05T09:00/01-05T10:00 busy"]


def test_an_unknown_zone_name_is_read_by_its_vtimezone_else_in_the_mailbox_zone() -> None:
    event = "DTSTART;TZID=Island:20240105T100000|DURATION:PT1H"
    assert busy(event, head=BERLIN + ISLAND.format(name="Island")) == ["01-05T05:00/01-05T06:00 busy"]
    assert busy(event, head=BERLIN) == ["01-05T09:00/01-05T10:00 busy"]


@pytest.mark.parametrize(
    "line",
    [
        "EXDATE:20240102T100000Z",
        "EXDATE;VALUE=DATE:20240102",
        "EXDATE:garbage,20240102T100000Z",
        "EXDATE;TZID=Europe/Berlin:20240102T110000",
        "EXRULE:FREQ=WEEKLY;BYDAY=TU",
    ],
)
def test_an_exception_removes_its_instance(line: str) -> None:
    assert busy(f"{DAILY}|{line}") == ["01-01T10:00/01-01T11:00 busy", "01-03T10:00/01-03T11:00 busy"]


def test_an_override_replaces_its_instance_wherever_it_moves() -> None:
    moved = "UID:a|RECURRENCE-ID:20240102T100000Z|DTSTART:20240601T120000Z|DTEND:20240601T123000Z|STATUS:TENTATIVE"
    assert busy(DAILY, moved)[1:] == ["01-03T10:00/01-03T11:00 busy", "06-01T12:00/06-01T12:30 tentative"]
    assert busy(moved) == ["06-01T12:00/06-01T12:30 tentative"]


def test_a_cancelled_override_removes_its_instance() -> None:
    gone = "UID:a|RECURRENCE-ID:20240102T100000Z|DTSTART:20240102T100000Z|DTEND:20240102T110000Z|STATUS:CANCELLED"
    assert len(busy(DAILY, gone)) == 2


def test_this_and_future_moves_all_that_follow() -> None:
    later = "UID:a|RECURRENCE-ID;RANGE=THISANDFUTURE:20240102T100000Z|DTSTART:20240102T120000Z|DTEND:20240102T123000Z"
    assert busy(DAILY, later) == [
        "01-01T10:00/01-01T11:00 busy",
        "01-02T12:00/01-02T12:30 busy",
        "01-03T12:00/01-03T12:30 busy",
    ]


def test_the_highest_sequence_of_one_uid_counts() -> None:
    assert busy(DAILY, f"UID:a|SEQUENCE:1|{HOUR}") == ["01-05T10:00/01-05T11:00 busy"]


def test_rdates_add_instances_and_a_period_brings_its_own_length() -> None:
    event = f"{HOUR}|RDATE:20240106T100000Z|RDATE;VALUE=PERIOD:20240107T100000Z/PT2H,20240108T100000Z/20240108T101500Z"
    assert busy(event)[1:] == [
        "01-06T10:00/01-06T11:00 busy",
        "01-07T10:00/01-07T12:00 busy",
        "01-08T10:00/01-08T10:15 busy",
    ]


@pytest.mark.parametrize("until", ["20240103", "20240103T100000", "20240103T090000Z"])
def test_until_is_inclusive_in_each_of_its_forms(until: str) -> None:
    start = "DTSTART;TZID=Europe/Berlin:20240101T100000|DURATION:PT1H"
    assert len(busy(f"{start}|RRULE:FREQ=DAILY;UNTIL={until}")) == 3


@pytest.mark.parametrize(
    "rule", ["", "garbage", "FREQ=FORTNIGHTLY", "FREQ=DAILY;INTERVAL=0", "RSCALE=CHINESE;FREQ=DAILY"]
)
def test_a_garbage_rule_leaves_one_event(rule: str) -> None:
    assert busy(f"{HOUR}|RRULE:{rule}") == ["01-05T10:00/01-05T11:00 busy"]


@pytest.mark.parametrize(
    ("skip", "february"), [("OMIT", []), ("BACKWARD", ["02-29T09:00"]), ("FORWARD", ["03-01T09:00"])]
)
def test_skip_decides_what_becomes_of_a_missing_day(skip: str, february: list[str]) -> None:
    rule = f"RRULE:RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP={skip}"
    found = busy(f"DTSTART:20240131T090000Z|DURATION:PT1H|{rule}", window="2024-01-01..2024-04-01")
    assert [block.split("/")[0] for block in found] == ["01-31T09:00", *february, "03-31T09:00"]


def test_a_start_the_rule_misses_is_an_instance_that_count_leaves_out() -> None:
    event = "DTSTART:20240102T100000Z|DURATION:PT1H|RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=2"
    assert [block[:5] for block in busy(event)] == ["01-02", "01-08", "01-15"]


def test_a_truncated_component_costs_only_itself() -> None:
    text = f"BEGIN:VCALENDAR\nBEGIN:VTODO\nUID:t\nBEGIN:VEVENT\n{HOUR.replace('|', chr(10))}\nEND:VEVENT\n"
    found = evaluate(text.encode() + b"BEGIN:VEVENT\nDTSTART;VALUE=DATE:20240101\n", 0, seconds_of("2025-01-01"))
    assert [text_of(begin) for begin, _, _ in found] == ["2024-01-05T10:00:00Z"]


def test_only_events_count() -> None:
    head = f"BEGIN:VTODO\n{HOUR.replace('|', chr(10))}\nEND:VTODO\n"
    assert busy(head=head + "BEGIN:VFREEBUSY\nFREEBUSY:20240105T100000Z/PT1H\nEND:VFREEBUSY\n") == []
