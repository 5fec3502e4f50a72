"""The working hours among a mailbox's settings: read as Graph prints them, or not known."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.directory import MailboxSettings
from services.fetcher.graph_hours import hours_said
from shared.contracts.values import WorkingHours, WorkPeriod

NOW = 1_790_000_000  # 2026
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PACIFIC = {
    "@odata.type": "#microsoft.graph.customTimeZone",
    "name": "Customized Time Zone",
    "bias": 480,
    "standardOffset": {"time": "02:00:00.0000000", "dayOccurrence": 1, "dayOfWeek": "sunday", "month": 11, "year": 0},
    "daylightOffset": {"daylightBias": -60, "time": "02:00:00", "dayOccurrence": 2, "dayOfWeek": "sunday", "month": 3},
}


def printed(**fields: Any) -> dict[str, Any]:
    here = {"daysOfWeek": list(DAYS[:5]), "startTime": "08:00:00.0000000", "endTime": "17:00:00.0000000"}
    return here | {"timeZone": {"name": "Pacific Standard Time"}} | fields


def said(hours: Any) -> WorkingHours | None:
    body = json.dumps({"timeZone": "UTC", "workingHours": hours}).encode()
    return hours_said(msgspec.json.decode(body, type=MailboxSettings).working_hours, NOW)


def test_each_day_named_has_the_one_stretch_that_is_told() -> None:
    periods = tuple(WorkPeriod(day, 480, 1020) for day in range(5))
    assert said(printed()) == WorkingHours(time_zone="Pacific Standard Time", periods=periods)


def test_days_come_in_the_order_of_the_week_each_once() -> None:
    found = said(printed(daysOfWeek=["sunday", "monday", "sunday"]))
    assert found is not None
    assert [each.day for each in found.periods] == [0, 6]


@pytest.mark.parametrize(
    ("start", "end", "minutes"),
    [
        ("09:30:00", "12:15:00.0000000", (570, 735)),
        ("16:00:00.0000000", "00:00:00.0000000", (960, 1440)),
        ("08:00:59", "16:59:01", (480, 1020)),
        ("00:00:00.0000000", "23:59:59.9999999", (0, 1440)),
    ],
)
def test_times_are_whole_minutes_rounded_outward(start: str, end: str, minutes: tuple[int, int]) -> None:
    found = said(printed(startTime=start, endTime=end))
    assert found is not None
    assert {(each.start, each.end) for each in found.periods} == {minutes}


def test_a_zone_told_by_its_rules_is_the_one_that_keeps_them() -> None:
    found = said(printed(timeZone=PACIFIC))
    assert found is not None
    assert found.time_zone == "Pacific Standard Time"


@pytest.mark.parametrize(
    "odd",
    [
        None, 7, [], {}, "08:00",
        printed(daysOfWeek=[]), printed(daysOfWeek=["someday"]), printed(daysOfWeek=None), printed(daysOfWeek="monday"),
        printed(startTime="17:00:00", endTime="08:00:00"), printed(startTime="08:00:00", endTime="08:00:00"),
        printed(startTime="00:00:00", endTime="00:00:00"), printed(endTime="24:00:00"), printed(startTime="8:00"),
        printed(startTime=None), printed(startTime=480), printed(endTime="17:00:00Z"),
        printed(timeZone=None), printed(timeZone={"name": ""}), printed(timeZone={"name": "Customized Time Zone"}),
        printed(timeZone={"name": None}), printed(timeZone=PACIFIC | {"bias": 123}),
        printed(timeZone=PACIFIC | {"bias": 10**9}), printed(timeZone=PACIFIC | {"standardOffset": None}),
        printed(timeZone=PACIFIC | {"standardOffset": PACIFIC["standardOffset"] | {"year": 2026}}),  # type: ignore[operator]
        printed(timeZone=PACIFIC | {"standardOffset": PACIFIC["standardOffset"] | {"month": 13}}),  # type: ignore[operator]
        printed(timeZone=PACIFIC | {"standardOffset": PACIFIC["standardOffset"] | {"time": "2"}}),  # type: ignore[operator]
    ],
)  # fmt: skip
def test_hours_in_which_anything_is_odd_are_not_known_and_spoil_nothing_else(odd: Any) -> None:
    assert said(odd) is None
    body = json.dumps({"timeZone": "UTC", "userPurpose": "room", "workingHours": odd}).encode()
    settings = msgspec.json.decode(body, type=MailboxSettings)
    assert (settings.time_zone, settings.user_purpose) == ("UTC", "room")


def test_settings_that_tell_no_hours_are_settings() -> None:
    assert hours_said(msgspec.json.decode(b"{}", type=MailboxSettings).working_hours, NOW) is None


texts = st.text(max_size=12) | st.sampled_from(["08:00:00", "17:00:00.0000000", "00:00:00", "UTC", "monday"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "daysOfWeek": st.lists(st.sampled_from(DAYS), max_size=9) | anything,
            "startTime": texts | anything,
            "endTime": texts | anything,
            "timeZone": st.fixed_dictionaries({"name": texts}) | st.just(PACIFIC) | anything,
        },
    )
    | anything
)
def test_whatever_is_told_either_keeps_to_the_contract_or_is_not_known(hours: Any) -> None:
    found = said(hours)
    if found is not None:
        assert msgspec.json.decode(msgspec.json.encode(found), type=WorkingHours) == found
