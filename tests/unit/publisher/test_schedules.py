"""getSchedule's shape: Microsoft's own documented answers come out of the same calendars, and fit its schema."""

import importlib.util
import json
import sys
from datetime import datetime
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from services.normalizer.merge import merge
from services.publisher.answers import FreeBusyError
from services.publisher.schedules import Clock, Schedules, failed, hours, schedule
from services.publisher.timeline import Timeline, covered
from services.publisher.walls import instant_at
from shared import zones
from shared.contracts.messages import PublicEvent
from shared.contracts.public import WeeklyHours, WeeklyPeriod
from shared.contracts.values import DAY, Block, Status, Window, WorkingHours, WorkPeriod
from tests.unit.publisher.readings import MONDAY, busy, event, snapshot, timelines

GRAPH = Path(__file__).parents[3] / ".." / "shared" / "data" / "graph"
UTC_CLOCK = Clock(zones.resolve("UTC"), "UTC")  # type: ignore[arg-type]
SPAN = Window(MONDAY, MONDAY + DAY)
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
needs_graph = pytest.mark.skipif(not GRAPH.is_dir(), reason="the folder of Microsoft's schemas is not here")


@cache
def microsoft() -> ModuleType:
    """Return Microsoft's schemas, and the functions that judge by them."""
    spec = importlib.util.spec_from_file_location("graph_check", GRAPH / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # that folder is only read
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


def fits(answer: Any) -> None:
    check = microsoft()
    schema = check.op_schema("/users/{user-id}/calendar/getSchedule", "post", 200)
    body = json.loads(msgspec.json.encode(answer))
    assert check.check(body, schema, check.API, "api:") == ([], [])


def documented(name: str) -> list[Any]:
    if not GRAPH.is_dir():
        return [pytest.param(None, None, marks=needs_graph)]
    example = json.loads((GRAPH / "examples" / name).read_text(encoding="utf-8"))
    asked = {key[:1].lower() + key[1:]: value for key, value in example["request"]["body"].items()}
    return [pytest.param(asked, each, id=each["scheduleId"]) for each in example["response"]["body"]["value"]]


def placed(time: dict[str, str]) -> int:
    zone = zones.resolve(time["timeZone"])
    assert zone is not None
    return instant_at(datetime.fromisoformat(time["dateTime"]), zone)


def timeline_of(items: list[dict[str, Any]], span: Window) -> Timeline:
    """Return a timeline of documented items: their events, and the line they merge into."""
    events = tuple(
        PublicEvent(
            start=placed(item["start"]),
            end=placed(item["end"]),
            status=item["status"].lower(),
            private=item.get("isPrivate", False),
            subject=item.get("subject", ""),
            location=item.get("location", ""),
        )
        for item in items
    )
    window = Window(span.start - DAY, span.end + DAY)
    blocks = merge((Block(each.start, each.end, Status(each.status)) for each in events), window)
    weekdays = tuple(WorkPeriod(day, 8 * 60, 17 * 60) for day in range(5))
    hours_of = WorkingHours(time_zone="America/Los_Angeles", periods=weekdays)
    return msgspec.structs.replace(covered(snapshot(*blocks, window=window, events=events)), working_hours=hours_of)


@pytest.mark.parametrize(
    ("asked", "printed"), [*documented("getschedule-two-users.json"), *documented("getschedule-concept-15min.json")]
)
def test_a_documented_schedule_comes_out_of_its_own_items(asked: dict[str, Any], printed: dict[str, Any]) -> None:
    span = Window(placed(asked["startTime"]), placed(asked["endTime"]))
    zone = zones.resolve("Pacific Standard Time")
    assert zone is not None
    timeline = timeline_of(printed["scheduleItems"], span)
    minutes = int(asked["availabilityViewInterval"])
    made = schedule(printed["scheduleId"], timeline, span, minutes, Clock(zone, "Pacific Standard Time"))
    fits(Schedules(value=(made,)))
    body = json.loads(msgspec.json.encode(made))
    items = [{**item, "status": item["status"].lower(), "isPrivate": False} for item in printed["scheduleItems"]]
    assert (body["availabilityView"], body["scheduleItems"]) == (printed["availabilityView"], items)
    told = {key: value for key, value in printed["workingHours"].items() if key != "timeZone"}
    assert body["workingHours"] == told | {"timeZone": {"name": "Pacific Standard Time"}}


@needs_graph
@settings(max_examples=30, deadline=None)
@given(timelines())
def test_every_schedule_fits_microsofts_schema(timeline: Timeline) -> None:
    fits(Schedules(value=(schedule("m-0001", timeline, timeline.window, 1440, UTC_CLOCK),)))


@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [
        (FreeBusyError(code="mailbox_unknown"), "ErrorMailRecipientNotFound", "mailbox_unknown"),
        (
            FreeBusyError(code="availability_unknown", reason="denied"),
            "ErrorFreeBusyGenerationFailed",
            "availability_unknown: denied",
        ),
        (FreeBusyError(code="outside_window"), "ErrorInvalidTimeInterval", "outside_window"),
    ],
)
def test_a_schedule_without_an_answer_has_an_error_and_nothing_to_be_taken_for_free(
    refusal: FreeBusyError, code: str, words: str
) -> None:
    body = json.loads(msgspec.json.encode(failed("a@example.com", refusal)))
    assert set(body) == {"scheduleId", "error"}
    assert body["error"]["responseCode"] == code
    assert words in body["error"]["message"]
    if GRAPH.is_dir():
        fits({"value": [body]})


def test_under_free_busy_items_are_the_blocks_within_the_time_asked_for() -> None:
    line = (busy(-2, 1, Status.ELSEWHERE), busy(9, 10), busy(23, 30, Status.UNKNOWN))
    window = Window(MONDAY - DAY, MONDAY + 5 * DAY)
    made = schedule("m", covered(snapshot(*line, window=window)), SPAN, 60, UTC_CLOCK)
    items = [(each.status, each.start.date_time, each.end.date_time) for each in made.schedule_items or ()]
    assert items == [
        ("workingElsewhere", "2026-01-05T00:00:00.0000000", "2026-01-05T01:00:00.0000000"),
        ("busy", "2026-01-05T09:00:00.0000000", "2026-01-05T10:00:00.0000000"),
        ("unknown", "2026-01-05T23:00:00.0000000", "2026-01-06T00:00:00.0000000"),
    ]
    assert all(each.subject is each.location is each.is_private is None for each in made.schedule_items or ())


def test_of_a_private_event_only_when_and_how_is_told() -> None:
    private = PublicEvent(start=MONDAY, end=MONDAY + 3600, status="busy", private=True)
    plain = PublicEvent(start=MONDAY, end=MONDAY + 3600, status="oof", subject="plan", organizer="o", preview="p")
    made = schedule("m", covered(snapshot(busy(0, 1), events=(private, plain))), SPAN, 60, UTC_CLOCK)
    first, second = json.loads(msgspec.json.encode(made))["scheduleItems"]
    assert set(first) == {"status", "start", "end", "isPrivate"}
    assert set(second) == {"status", "start", "end", "isPrivate", "subject"}


def test_an_event_beside_the_time_asked_for_is_not_an_item() -> None:
    timeline = covered(snapshot(busy(30, 31), events=(event(30, 31, "plan"), event(24, 25), event(-1, 0))))
    made = schedule("m", timeline, SPAN, 60, UTC_CLOCK)
    assert (made.schedule_items, made.availability_view) == ((), "0" * 24)


def test_hours_that_do_not_fit_graphs_shape_are_left_out() -> None:
    weekdays = WeeklyPeriod(days=DAYS, start="08:00", end="12:00")
    afternoon = WeeklyPeriod(days=DAYS, start="13:00", end="17:00")
    night = WeeklyPeriod(days=DAYS, start="16:00", end="24:00")
    assert hours(None) is None
    assert hours(WeeklyHours(time_zone="UTC", periods=(weekdays, afternoon))) is None
    assert hours(WeeklyHours(time_zone="UTC", periods=(night,))) is None
    assert hours(WeeklyHours(time_zone="UTC", periods=())) is None
    kept = hours(WeeklyHours(time_zone="Antarctica/Troll", periods=(afternoon,)))
    assert kept is not None
    assert (kept.start_time, kept.time_zone.name) == ("13:00:00.0000000", "Antarctica/Troll")
