"""Finding time, held against an oracle that looks at every minute, and against plain stories."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.publisher.finding_asks import cases, found_by_us
from tests.unit.publisher.finding_oracle import Person, answer_to

DAY = datetime(2026, 1, 7, tzinfo=UTC)  # a Wednesday
WINDOW = (DAY - timedelta(days=1), DAY + timedelta(days=2))
OFFICE = {"time_zone": "UTC", "periods": [{"days": ["wednesday"], "start": "09:00", "end": "12:00"}]}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases())
def test_every_answer_is_what_looking_at_every_minute_gives(case: tuple[dict[str, Any], dict[str, Person]]) -> None:
    request, people = case
    ours, expected = found_by_us(request, people), answer_to(request, people)
    explained = ours["explanation"]
    assert ours["slots"] == expected["slots"]
    assert (ours["complete"], ours["found"]) == (expected["complete"], expected["found"])
    assert explained["groups"] == expected["groups"]
    assert [without(each, "role", "group") for each in explained["participants"]] == expected["figures"]
    assert [(miss["start"], [barrier(each) for each in miss["missing"]]) for miss in explained["misses"]] == (
        expected["misses"]
    )


def without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}


def barrier(missing: dict[str, Any]) -> str:
    return str(missing.get("mailbox") or missing["group"])


def ask(people: dict[str, Person], **asked: Any) -> dict[str, Any]:
    day = {"periods": [{"from": "2026-01-07T08:00:00Z", "to": "2026-01-07T12:00:00Z"}], "duration_minutes": 60}
    return found_by_us(day | {"step_minutes": 60, "working_hours": "ignored"} | asked, people)


def person(*line: tuple[int, int, str], **rest: Any) -> Person:
    """Return somebody whose blocks are given in hours of the day."""
    blocks = tuple((DAY + timedelta(hours=start), DAY + timedelta(hours=end), status) for start, end, status in line)
    return Person(window=WINDOW, line=blocks) if not rest else Person(**({"window": WINDOW, "line": blocks} | rest))


def begins(answer: dict[str, Any]) -> list[str]:
    return [slot["start"][11:16] for slot in answer["slots"]]


def named(*names: str) -> list[dict[str, str]]:
    return [{"mailbox": name} for name in names]


def test_a_slot_is_where_everybody_required_is_free() -> None:
    people = {"ada": person((8, 9, "busy")), "bob": person((10, 11, "tentative"))}
    assert begins(ask(people, required=named("ada", "bob"))) == ["09:00", "11:00"]


def test_working_elsewhere_blocks_only_where_it_is_asked_to() -> None:
    people = {"ada": person((8, 11, "elsewhere"))}
    assert begins(ask(people, required=named("ada"))) == ["08:00", "09:00", "10:00", "11:00"]
    assert begins(ask(people, required=named("ada"), blocking=["elsewhere"])) == ["11:00"]


def test_what_microsoft_itself_calls_unknown_blocks_whatever_is_asked() -> None:
    assert begins(ask({"ada": person((8, 11, "unknown"))}, required=named("ada"), blocking=[])) == ["11:00"]


def test_buffers_must_be_free_and_may_lie_outside_of_the_period_and_the_working_hours() -> None:
    people = {"ada": person((7, 8, "busy"), hours=OFFICE)}
    asked = {"required": named("ada"), "working_hours": "own", "buffer_before_minutes": 60}
    assert begins(ask(people, **asked)) == ["09:00", "10:00", "11:00"]
    assert begins(ask(people, **asked, buffer_after_minutes=60)) == ["09:00", "10:00", "11:00"]
    assert begins(ask(people, **asked | {"working_hours": "ignored"})) == ["09:00", "10:00", "11:00"]


def test_hours_of_one_participant_hold_instead_of_the_requests() -> None:
    asked = {"required": [{"mailbox": "ada", "working_hours": OFFICE}, {"mailbox": "bob"}], "working_hours": "own"}
    answer = ask({"ada": person(), "bob": person()}, **asked)
    assert begins(answer) == ["09:00", "10:00", "11:00"]
    assert [each["working_hours"] for each in answer["participants"]] == ["applied", "not_known"]


def test_stretches_that_meet_at_midnight_are_one() -> None:
    night = {
        "time_zone": "UTC",
        "periods": [
            {"days": ["wednesday"], "start": "23:00", "end": "24:00"},
            {"days": ["thursday"], "start": "00:00", "end": "01:00"},
        ],
    }
    period = [{"from": "2026-01-07T20:00:00Z", "to": "2026-01-08T06:00:00Z"}]
    answer = ask({"ada": person()}, required=named("ada"), working_hours=night, periods=period, duration_minutes=120)
    assert begins(answer) == ["23:00"]


def test_a_required_mailbox_that_does_not_exist_leaves_no_slot_and_is_named() -> None:
    answer = ask({"ada": person()}, required=named("ada", "nobody"))
    assert (answer["complete"], answer["found"]) == (False, 0)
    assert [each.get("error", {}).get("code") for each in answer["participants"]] == [None, "mailbox_unknown"]
    figures = {each["mailbox"]: each for each in answer["explanation"]["participants"]}
    assert (figures["nobody"]["unknown"], figures["nobody"]["alone"], figures["ada"]["blocks"]) == (4, 4, 0)


def test_who_is_not_known_is_named_in_every_slot_it_is_forgiven_for() -> None:
    asked = {"required": named("ada", "nobody"), "ignore_unknown": True}
    answer = ask({"ada": person((8, 11, "busy"))}, **asked)
    assert (answer["complete"], begins(answer)) == (False, ["11:00"])
    assert answer["slots"][0]["unverified"] == ["nobody"]


def test_nobody_optional_and_no_member_is_called_free_who_is_not_known() -> None:
    group = [{"name": "one", "need": 1, "members": named("bob", "nobody")}]
    people = {"ada": person(), "bob": person(), "eve": person(known=False)}
    answer = ask(people, required=named("ada"), optional=named("eve"), groups=group, ignore_unknown=True)
    assert not answer["complete"]
    assert {(tuple(slot["free"]), tuple(slot["groups"][0]["free"])) for slot in answer["slots"]} == {((), ("bob",))}


def test_time_beyond_a_mailboxs_window_is_no_slot_and_the_window_is_told() -> None:
    short = person(window=(DAY, DAY + timedelta(hours=10)))
    answer = ask({"ada": short}, required=named("ada"))
    assert (begins(answer), answer["complete"]) == (["08:00", "09:00"], False)
    assert answer["participants"][0]["error"] == {
        "code": "outside_window",
        "window": {"start": "2026-01-07T00:00:00Z", "end": "2026-01-07T10:00:00Z"},
    }


def test_so_many_of_a_group_must_be_free_and_one_of_the_rooms() -> None:
    people = {
        "a": person((8, 9, "busy")),
        "b": person((8, 10, "busy")),
        "c": person((11, 12, "busy")),
        "small": person((9, 12, "busy")),
        "large": person((8, 9, "busy"), (10, 12, "busy")),
    }
    group = [{"name": "two", "need": 2, "members": named("a", "b", "c")}]
    answer = ask(people, groups=group, rooms=["small", "large"])
    assert begins(answer) == ["09:00"]
    assert answer["slots"][0]["groups"] == [
        {"group": "two", "free": ["a", "c"]},
        {"group": "rooms", "free": ["large"]},
    ]


def test_slots_with_fewer_optional_conflicts_come_first_and_equal_ones_by_begin() -> None:
    people = {"ada": person(), "x": person((8, 10, "busy")), "y": person((8, 9, "busy"), (11, 12, "oof"))}
    asked = {"required": named("ada"), "optional": named("x", "y")}
    assert begins(ask(people, **asked)) == ["08:00", "09:00", "10:00", "11:00"]
    answer = ask(people, **asked, rank="fewest_conflicts", limit=3)
    assert (answer["found"], begins(answer)) == (4, ["10:00", "09:00", "11:00"])
    assert [slot["free"] for slot in answer["slots"]] == [["x", "y"], ["y"], ["x"]]


def test_an_empty_answer_says_who_blocks_what_and_what_misses_by_the_least() -> None:
    people = {"ada": person((8, 11, "busy"), hours=OFFICE), "bob": person((9, 12, "busy"))}
    answer = ask(people, required=named("ada", "bob"), working_hours="own")
    told = answer["explanation"]
    assert told["starts"] == 4
    assert [(each["mailbox"], each["blocks"], each["alone"]) for each in told["participants"]] == [
        ("ada", 3, 1),
        ("bob", 3, 1),
    ]
    assert told["misses"][:2] == [
        {
            "start": "2026-01-07T08:00:00Z",
            "end": "2026-01-07T09:00:00Z",
            "missing": [{"mailbox": "ada", "causes": ["busy", "hours"]}],
        },
        {
            "start": "2026-01-07T11:00:00Z",
            "end": "2026-01-07T12:00:00Z",
            "missing": [{"mailbox": "bob", "causes": ["busy"]}],
        },
    ]


def test_where_nothing_fits_into_the_periods_that_is_what_is_said() -> None:
    period = [{"from": "2026-01-07T08:10:00Z", "to": "2026-01-07T09:50:00Z"}]
    answer = ask({"ada": person()}, required=named("ada"), periods=period)
    assert (answer["found"], answer["explanation"]["starts"], answer["explanation"]["misses"]) == (0, 0, [])


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("Asia/Kolkata", "2026-01-07T00:00:00Z", ["00:30", "01:30"]),
        ("Asia/Kathmandu", "2026-01-07T00:00:00Z", ["00:15", "01:15"]),
        (
            "Australia/Lord_Howe",
            "2026-04-04T13:00:00Z",
            ["13:00", "14:00", "15:30"],
        ),  # +11 until 15:00Z, +10:30 from then
        ("Europe/Berlin", "2026-03-29T00:00:00Z", ["00:00", "01:00", "02:00"]),
    ],
)
def test_starts_follow_the_clock_of_the_zone_asked_for(zone: str, day: str, expected: list[str]) -> None:
    begin = datetime.fromisoformat(day)
    period = [{"from": day, "to": (begin + timedelta(hours=3)).isoformat()}]
    somebody = Person(window=(begin - timedelta(days=1), begin + timedelta(days=1)))
    answer = ask({"ada": somebody}, required=named("ada"), periods=period, time_zone=zone, duration_minutes=30)
    assert begins(answer)[: len(expected)] == expected


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 7), ("2026-10-25", 9)])
def test_working_hours_over_a_moved_clock_are_an_hour_shorter_or_longer(day: str, hours: int) -> None:
    work = {"time_zone": "Europe/Berlin", "periods": [{"days": ["sunday"], "start": "00:00", "end": "08:00"}]}
    begin = datetime.fromisoformat(f"{day}T00:00:00Z")
    period = [{"from": (begin - timedelta(hours=6)).isoformat(), "to": (begin + timedelta(hours=20)).isoformat()}]
    somebody = Person(window=(begin - timedelta(days=1), begin + timedelta(days=1)))
    answer = ask({"ada": somebody}, required=named("ada"), periods=period, working_hours=work)
    assert answer["found"] == hours
