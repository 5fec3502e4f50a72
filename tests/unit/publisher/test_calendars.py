"""iCalendar as we write it, read by two other libraries: the very busy time of the JSON answer, and nothing else."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from services.publisher import calendars, news
from services.publisher.moments import instant
from services.publisher.timeline import Timeline, covered
from shared.contracts.values import Status, Window
from tests.node import node
from tests.unit.publisher.readings import MONDAY, WINDOW, busy, event, snapshot, timelines

KINDS = {
    Status.BUSY: "BUSY",
    Status.UNKNOWN: "BUSY",
    Status.TENTATIVE: "BUSY-TENTATIVE",
    Status.OOF: "BUSY-UNAVAILABLE",
}
STATUSES = {"WORKINGELSEWHERE": "elsewhere", "BUSY": "busy", "TENTATIVE": "tentative", "OOF": "oof", "FREE": "free"}
Period = tuple[str, int, int]


def told(timeline: Timeline, span: Window) -> list[Period]:
    """Return the busy time that the JSON answer tells of a span, touching blocks of one kind as one."""
    periods: list[Period] = []
    for block in news.busy(timeline.blocks, span):
        kind, start, end = KINDS.get(block.status), instant(block.start), instant(block.end)
        if kind is not None:
            touching = next((known for known in periods if known[0] == kind and known[2] == start), None)
            if touching is not None:
                periods.remove(touching)
            periods.append((kind, touching[1] if touching is not None else start, end))
    return sorted(periods)


def listed(timeline: Timeline) -> list[Period]:
    """Return what the feed is to list: every block of the JSON answer as it stands there."""
    blocks = news.busy(timeline.blocks, timeline.window)
    return [
        ("busy" if block.status is Status.UNKNOWN else block.status.value, instant(block.start), instant(block.end))
        for block in blocks
    ]


def seconds(moment: datetime) -> int:
    assert moment.utcoffset() == UTC.utcoffset(None)
    return int(moment.timestamp())


def read_free_busy(raw: bytes) -> list[Period]:
    (component,) = Calendar.from_ical(raw).walk("VFREEBUSY")
    found = component.get("FREEBUSY", [])
    return sorted(
        (str(value.params["FBTYPE"]), seconds(start), seconds(end))
        for each in (found if isinstance(found, list) else [found])
        for value in (each if isinstance(each, list) else [each])
        for start, end in [value.dt]
    )


def read_feed(raw: bytes) -> list[Period]:
    return [
        (STATUSES[str(each["X-MICROSOFT-CDO-BUSYSTATUS"])], seconds(each["DTSTART"].dt), seconds(each["DTEND"].dt))
        for each in Calendar.from_ical(raw).walk("VEVENT")
    ]


@st.composite
def asked(draw: st.DrawFn) -> tuple[Timeline, Window]:
    """Return timelines with a span of their window."""
    timeline = draw(timelines())
    first, last = timeline.window.start // 60, timeline.window.end // 60
    start = draw(st.integers(first, last - 1))
    return timeline, Window(start * 60, draw(st.integers(start + 1, last)) * 60)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(asked())
def test_icalendar_reads_the_busy_time_of_the_json_answer(given_: tuple[Timeline, Window]) -> None:
    timeline, span = given_
    assert read_free_busy(calendars.free_busy(timeline, span)) == told(timeline, span)
    assert read_feed(calendars.feed(timeline)) == listed(timeline)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.lists(asked(), min_size=40, max_size=60))
def test_ical_js_reads_the_busy_time_of_the_json_answer(given_: list[tuple[Timeline, Window]]) -> None:
    texts = [calendars.free_busy(*each).decode() for each in given_]
    texts += [calendars.feed(timeline).decode() for timeline, _ in given_]
    answers: list[dict[str, Any]] = node("icaljs.js", texts)
    assert len(answers) == 2 * len(given_)
    for (timeline, span), free_busy, feed in zip(given_, answers[: len(given_)], answers[len(given_) :], strict=True):
        assert sorted(map(tuple, free_busy["periods"])) == told(timeline, span)
        assert [(STATUSES[word], *times) for word, *times in feed["events"]] == listed(timeline)


@given(timelines(), st.booleans())
@settings(max_examples=40)
def test_lines_end_and_fold_as_the_standard_says(timeline: Timeline, whole: bool) -> None:
    raw = calendars.free_busy(timeline, timeline.window) if whole else calendars.feed(timeline)
    assert raw.endswith(b"\r\n")
    pieces = raw[:-2].split(b"\r\n")
    assert all(0 < len(piece) <= 75 and b"\n" not in piece for piece in pieces)
    unfolded = raw.replace(b"\r\n ", b"")
    assert all(re.fullmatch(rb"[A-Z-]+[;:][^\r\n]*", line) for line in unfolded[:-2].split(b"\r\n"))


def test_what_the_standard_wants_of_a_free_busy_component_is_there() -> None:
    (component,) = Calendar.from_ical(calendars.free_busy(covered(snapshot(busy(9, 10))), WINDOW)).walk("VFREEBUSY")
    assert seconds(component["DTSTAMP"].dt) == MONDAY + 1
    assert (seconds(component["DTSTART"].dt), seconds(component["DTEND"].dt)) == (WINDOW.start, WINDOW.end)
    assert str(component["ORGANIZER"]) == "mailto:m-0001@example.com"
    assert len(str(component["UID"])) > 20


def test_an_address_cannot_break_out_of_its_line() -> None:
    timeline = msgspec.structs.replace(covered(snapshot()), address='a"b;c:d,e%\r\nX-EVIL:1@é.example')
    raw = calendars.free_busy(timeline, WINDOW)
    assert b"\nX-EVIL" not in raw
    (component,) = Calendar.from_ical(raw).walk("VFREEBUSY")
    assert str(component["ORGANIZER"]) == "mailto:a%22b%3Bc%3Ad%2Ce%25%0D%0AX-EVIL%3A1@%C3%A9.example"


def test_a_feed_names_events_by_how_the_time_counts_alone() -> None:
    statuses = [Status.BUSY, Status.OOF, Status.TENTATIVE, Status.ELSEWHERE, Status.UNKNOWN, Status.FREE]
    line = tuple(busy(number, number + 1, status) for number, status in enumerate(statuses))
    found = Calendar.from_ical(calendars.feed(covered(snapshot(*line)))).walk("VEVENT")
    assert [str(each["SUMMARY"]) for each in found] == [
        "Busy", "Out of office", "Tentative", "Working elsewhere", "Busy", "Free",
    ]  # fmt: skip
    assert [str(each["TRANSP"]) for each in found] == ["OPAQUE"] * 3 + ["TRANSPARENT", "OPAQUE", "TRANSPARENT"]


def test_no_detail_and_nobodys_name_is_in_a_feed() -> None:
    timeline = covered(snapshot(busy(9, 10), events=(event(9, 10, "secret plan"),)))
    raw = calendars.feed(timeline)
    for private in (b"secret", b"m-0001", b"example.com", b"acme", b"ORGANIZER"):
        assert private not in raw
    assert b"secret" not in calendars.free_busy(timeline, WINDOW)


def test_a_block_keeps_its_uid_from_reading_to_reading_and_no_two_share_one() -> None:
    def uids(timeline: Timeline) -> list[str]:
        return [str(each["UID"]) for each in Calendar.from_ical(calendars.feed(timeline)).walk("VEVENT")]

    first = uids(covered(snapshot(busy(1, 2), busy(9, 10))))
    second = uids(covered(snapshot(busy(1, 2), busy(5, 6), busy(9, 12), version=2)))
    assert (second[0], second[2]) == tuple(first)
    others = uids(covered(snapshot(busy(1, 2), org_id="beta"))) + uids(covered(snapshot(busy(1, 2), mailbox_id="m-2")))
    assert len({*second, *others}) == 5


def test_a_calendar_of_somebody_who_is_free_says_of_when() -> None:
    calendar = Calendar.from_ical(calendars.feed(covered(snapshot())))
    assert str(calendar["METHOD"]) == "PUBLISH"
    assert calendar.walk("VEVENT") == []
    (component,) = calendar.walk("VFREEBUSY")
    assert (seconds(component["DTSTART"].dt), "ORGANIZER" in component) == (WINDOW.start, False)


@pytest.mark.parametrize("length", [74, 75, 76, 149, 150, 223, 224])
def test_folding_loses_nothing_at_any_length(length: int) -> None:
    line = "X" * length
    folded = calendars._folded(line)
    assert folded.replace("\r\n ", "") == line
    assert all(len(piece) <= 75 for piece in folded.split("\r\n"))
