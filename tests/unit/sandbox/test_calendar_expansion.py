"""Which instances a calendar has in a window: recurrence sets, overrides, bounds, edits."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from dateutil import rrule
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from deploy.sandbox.calendar import Calendar, Item, instances, read_calendar, with_event, without_event
from shared.contracts.values import Window

DAY = 86_400


def at(text: str) -> int:
    return int(datetime.strptime(text, "%Y%m%dT%H%M").replace(tzinfo=UTC).timestamp())


DECADE = Window(at("20200101T0000"), at("20300101T0000"))


def calendar(*events: tuple[str, ...], zone: str | None = None) -> Calendar:
    lines = [line for event in events for line in ("BEGIN:VEVENT", "UID:1", *event, "END:VEVENT")]
    return read_calendar("\n".join(lines).encode(), time_zone=zone)


def found(*events: tuple[str, ...], zone: str | None = None, window: Window = DECADE) -> list[Item]:
    return instances(calendar(*events, zone=zone), window)[0]


def starts(*events: tuple[str, ...], zone: str | None = None) -> list[str]:
    shown = (datetime.fromtimestamp(item.start, UTC) for item in found(*events, zone=zone) if not item.cancelled)
    return [f"{moment:%m%d}" if moment.time().isoformat() == "09:00:00" else f"{moment:%m%dT%H%M}" for moment in shown]


MONDAY = ("DTSTART:20260105T090000Z", "DURATION:PT1H")
DATES = ("DTSTART;VALUE=DATE:20260105",)
DAILY = (*MONDAY, "RRULE:FREQ=DAILY;COUNT=3")


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        (("RRULE:FREQ=DAILY;COUNT=3",), ["0105", "0106", "0107"]),
        (("RRULE:FREQ=WEEKLY;BYDAY=TU;COUNT=2",), ["0105", "0106", "0113"]),  # DTSTART counts in any case
        (("RRULE:FREQ=DAILY;UNTIL=20260107",), ["0105", "0106", "0107"]),  # a date lets its day through
        (("RRULE:FREQ=DAILY;UNTIL=20260107T090000Z",), ["0105", "0106", "0107"]),
        (("RRULE:FREQ=DAILY;UNTIL=20260107T085959Z",), ["0105", "0106"]),
        (("RRULE:FREQ=DAILY;UNTIL=20260107T090000",), ["0105", "0106", "0107"]),
        (("RRULE:FREQ=DAILY;UNTIL=20260104T000000Z",), []),  # had ended before it began
        (("RRULE:FREQ=DAILY;COUNT=2", "RRULE:FREQ=WEEKLY;COUNT=2"), ["0105", "0106", "0112"]),
        (("RRULE:FREQ=DAILY;COUNT=8", "EXRULE:FREQ=WEEKLY;BYDAY=TU,WE,TH,FR"), ["0105", "0110", "0111", "0112"]),
        (("RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260106T090000Z"), ["0105", "0107"]),
        (("RRULE:FREQ=DAILY;COUNT=3", "EXDATE;TZID=Asia/Tokyo:20260106T180000"), ["0105", "0107"]),
        (("RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260105T090000,20260106T090000"), ["0107"]),
        (("RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE:20260106"), ["0105", "0107"]),
        (("RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260106T100000Z"), ["0105", "0106", "0107"]),
        (("RDATE:20260107T090000Z,20260109T090000Z",), ["0105", "0107", "0109"]),
        (("RDATE;TZID=Asia/Tokyo:20260107T180000",), ["0105", "0107"]),
        (("RDATE;VALUE=DATE:20260107",), ["0105", "0107T0000"]),
        (("RDATE:20260105T090000Z",), ["0105"]),
        (("RRULE:",), ["0105"]),
        (("RRULE:FREQ=NEVER",), ["0105"]),
        (("RRULE:FREQ=DAILY;INTERVAL=0",), ["0105"]),
        (("RRULE:FREQ=YEARLY;BYMONTH=13",), ["0105"]),
        (("RRULE:RSCALE=HEBREW;FREQ=YEARLY",), ["0105"]),
        (("RRULE:W2 TU TH #27",), ["0105"]),
        (("RRULE:RSCALE=GREGORIAN;FREQ=DAILY;COUNT=2;SKIP=OMIT",), ["0105", "0106"]),
        (("EXDATE:20260105T090000Z",), []),
    ],
)
def test_the_recurrence_set_is_what_rfc_5545_says(lines: tuple[str, ...], days: list[str]) -> None:
    assert starts((*MONDAY, *lines)) == days


@pytest.mark.parametrize("rule", ["RRULE:", "RRULE:FREQ=NEVER", "RRULE:W2 TU TH #27", "RRULE:FREQ=DAILY;INTERVAL=0"])
def test_garbage_in_the_place_of_a_rule_is_reported(rule: str) -> None:
    assert [problem.reason for problem in calendar((*MONDAY, rule)).problems] == ["bad_recurrence"]


def test_a_negative_count_is_no_end() -> None:
    assert len(found((*MONDAY, "RRULE:FREQ=YEARLY;COUNT=-1"))) == 4


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        (("RRULE:FREQ=DAILY;UNTIL=20260107",), ["0105T0000", "0106T0000", "0107T0000"]),
        (("RRULE:FREQ=DAILY;UNTIL=20260106T000000Z",), ["0105T0000", "0106T0000"]),
        (("RRULE:FREQ=DAILY;UNTIL=20260106T230000Z",), ["0105T0000", "0106T0000", "0107T0000"]),  # midnight in Berlin
        (("RRULE:FREQ=DAILY;UNTIL=20260106T235959Z",), ["0105T0000", "0106T0000"]),
        (("RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260105T230000Z"), ["0105T0000", "0107T0000"]),
        (("RRULE:FREQ=DAILY;COUNT=3", "EXDATE;TZID=Asia/Tokyo:20260106T000000"), ["0105T0000", "0107T0000"]),
        (("RDATE:20260108T120000",), ["0105T0000", "0108T0000"]),
    ],
)
def test_an_all_day_series_counts_in_dates(lines: tuple[str, ...], days: list[str]) -> None:
    assert starts((*DATES, *lines), zone="Europe/Berlin") == days


@pytest.mark.parametrize(
    ("skip", "days"),
    [
        ("OMIT", ["0131", "0331", "0531"]),
        ("BACKWARD", ["0131", "0228", "0331", "0430", "0531"]),
        ("FORWARD", ["0131", "0301", "0331", "0501", "0531"]),
    ],
)
def test_missing_days_of_a_month_are_skipped_as_the_rule_says(skip: str, days: list[str]) -> None:
    rule = f"RRULE:RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP={skip};UNTIL=20260601"
    assert starts(("DTSTART:20260131T090000Z", rule)) == days


def test_leap_days_move_back_to_february_where_the_rule_says() -> None:
    rule = "RRULE:RSCALE=GREGORIAN;FREQ=YEARLY;SKIP=BACKWARD;COUNT=3"
    assert starts(("DTSTART:20240229T090000Z", rule)) == ["0229", "0228", "0228"]


def test_a_period_lasts_as_long_as_it_says() -> None:
    periods = "RDATE;VALUE=PERIOD:20260105T090000Z/PT3H,20260107T090000Z/20260107T110000Z,20260108T090000Z/PT-1H"
    items = found((*DAILY, periods))
    assert [item.end - item.start for item in items] == [3 * 3_600, 3_600, 2 * 3_600]


def test_wall_time_repeats_and_elapsed_time_lasts() -> None:
    items = found(
        (
            "DTSTART;TZID=Europe/Berlin:20260327T120000",
            "DTEND;TZID=Europe/Berlin:20260328T120000",
            "RRULE:FREQ=DAILY;COUNT=3",
        )
    )
    assert [item.start for item in items] == [at("20260327T1100"), at("20260328T1100"), at("20260329T1000")]
    assert {item.end - item.start for item in items} == {DAY}


def test_a_nominal_day_in_a_series_follows_the_clock() -> None:
    lines = ("DTSTART;TZID=Europe/Berlin:20260327T120000", "DURATION:P1D", "RRULE:FREQ=DAILY;COUNT=3")
    assert [item.end - item.start for item in found(lines)] == [DAY, 23 * 3_600, DAY]


def test_instances_of_a_gap_come_after_it() -> None:
    lines = ("DTSTART;TZID=America/New_York:20260307T023000", "RRULE:FREQ=DAILY;COUNT=2")
    assert [item.start for item in found(lines)] == [at("20260307T0730"), at("20260308T0730")]


MOVED = ("RECURRENCE-ID:20260106T090000Z", "DTSTART:20260110T090000Z", "DURATION:PT2H")


def test_an_override_replaces_the_instance_it_names() -> None:
    items = found(DAILY, (*MOVED, "SUMMARY:moved"))
    assert [(item.type, item.subject) for item in items] == [
        ("occurrence", ""),
        ("occurrence", ""),
        ("exception", "moved"),
    ]
    assert len({item.item_id for item in items}) == 3
    assert len({item.series_id for item in items}) == 1


@pytest.mark.parametrize(
    "name",
    [
        "RECURRENCE-ID;TZID=Asia/Tokyo:20260106T180000",
        "RECURRENCE-ID:20260106T090000",
        "RECURRENCE-ID;VALUE=DATE:20260106",
    ],
)
def test_an_instance_can_be_named_in_many_ways(name: str) -> None:
    assert starts(DAILY, (name, "DTSTART:20260110T090000Z")) == ["0105", "0107", "0110"]


def test_an_instance_of_an_all_day_series_is_named_by_its_date() -> None:
    moved = ("RECURRENCE-ID;TZID=W. Europe Standard Time:20260106T000000", "DTSTART;VALUE=DATE:20260110")
    assert starts((*DATES, "RRULE:FREQ=DAILY;COUNT=3"), moved) == ["0105T0000", "0107T0000", "0110T0000"]


def test_a_timed_override_of_an_all_day_series_is_timed() -> None:
    items = found((*DATES, "RRULE:FREQ=DAILY;COUNT=2"), ("RECURRENCE-ID;VALUE=DATE:20260106", *MONDAY))
    assert [item.all_day for item in items] == [True, False]


def test_a_cancelled_override_leaves_no_busy_instance() -> None:
    assert starts(DAILY, ("RECURRENCE-ID:20260106T090000Z", "STATUS:CANCELLED")) == ["0105", "0107"]


def test_an_exdate_takes_the_override_of_its_instance_with_it() -> None:
    assert starts((*DAILY, "EXDATE:20260106T090000Z"), MOVED) == ["0105", "0107"]
    assert starts((*DAILY, "EXDATE;VALUE=DATE:20260106"), MOVED) == ["0105", "0107"]


def test_overrides_count_without_an_instance_and_without_a_master() -> None:
    far = ("RECURRENCE-ID:20290101T090000Z", "DTSTART:20290102T090000Z")
    assert starts(DAILY, far) == ["0105", "0106", "0107", "0102"]
    assert starts(far, MOVED) == ["0110", "0102"]
    assert {item.type for item in found(far, MOVED)} == {"singleInstance"}


def test_a_bad_override_leaves_the_instance_as_it_was() -> None:
    assert starts(DAILY, ("RECURRENCE-ID:20260106T090000Z", "DTSTART:20260110T090000Z", "DURATION:-PT1H")) == [
        "0105", "0106", "0107",
    ]  # fmt: skip


FUTURE = ("RECURRENCE-ID;RANGE=THISANDFUTURE:20260106T090000Z", "DTSTART:20260106T110000Z", "DURATION:PT3H")


def test_an_override_of_this_and_future_moves_and_lengthens_those_that_follow() -> None:
    later = ("RECURRENCE-ID:20260108T090000Z", "DTSTART:20260108T090000Z", "DURATION:PT1H")
    items = found((*MONDAY, "RRULE:FREQ=DAILY;COUNT=5"), FUTURE, later)
    assert [(item.start - at("20260105T0000"), item.end - item.start) for item in items] == [
        (9 * 3_600, 3_600),
        (DAY + 11 * 3_600, 3 * 3_600),
        (2 * DAY + 11 * 3_600, 3 * 3_600),
        (3 * DAY + 9 * 3_600, 3_600),
        (4 * DAY + 11 * 3_600, 3 * 3_600),
    ]


def test_an_instance_moved_far_is_found_from_a_window_around_where_it_went() -> None:
    future = ("RECURRENCE-ID;RANGE=THISANDFUTURE:20260106T090000Z", "DTSTART:20270106T090000Z")
    window = Window(at("20270107T0000"), at("20270108T0000"))
    assert len(found(DAILY, future, window=window)) == 1


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (("SEQUENCE:2", "DTSTAMP:20200101T000000Z"), ("SEQUENCE:1", "DTSTAMP:20210101T000000Z")),
        (("DTSTAMP:20210101T000000Z",), ("DTSTAMP:20200101T000000Z",)),
        (("LAST-MODIFIED:20220101T000000Z",), ("DTSTAMP:20210101T000000Z",)),
    ],
)
def test_the_newer_of_two_versions_counts(newer: tuple[str, ...], older: tuple[str, ...]) -> None:
    new, old = (*MONDAY, "SUMMARY:new", *newer), (*MONDAY, "SUMMARY:old", *older)
    for order in ((new, old), (old, new)):
        assert [item.subject for item in found(*order)] == ["new"]


def test_of_two_equal_versions_the_later_in_the_file_counts() -> None:
    assert [item.subject for item in found((*MONDAY, "SUMMARY:a"), (*MONDAY, "SUMMARY:b"))] == ["b"]


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [(-1, 0, 0), (0, 1, 1), (3_599, 3_600, 1), (3_600, 3_601, 0), (-10, 10_000, 1)],
)
def test_windows_and_instances_are_half_open(start: int, end: int, count: int) -> None:
    nine = at("20260105T0900")
    assert len(found(MONDAY, window=Window(nine + start, nine + end))) == count


def test_an_instance_of_no_length_is_in_the_window_that_holds_its_start() -> None:
    nine = at("20260105T0900")
    moment = ("DTSTART:20260105T090000Z",)
    assert [len(found(moment, window=Window(nine + s, nine + s + 1))) for s in (-1, 0, 1)] == [0, 1, 0]


def test_an_all_day_item_is_in_the_window_by_its_midnights_in_the_mailboxs_zone() -> None:
    first, last = at("20260104T2300"), at("20260105T2300")
    windows = [Window(first - 9, first), Window(first - 9, first + 1), Window(last - 1, last), Window(last, last + 9)]
    assert [len(found(DATES, zone="Europe/Berlin", window=window)) for window in windows] == [0, 1, 1, 0]


def test_an_endless_rule_of_seconds_is_cut_and_reported() -> None:
    items, problems = instances(calendar(("DTSTART:20200101T000000Z", "RRULE:FREQ=SECONDLY")), DECADE)
    assert len(items) == 20_000
    assert [problem.reason for problem in problems] == ["recurrence_cut"]


def test_too_many_instances_that_touch_are_joined_without_changing_the_busy_time() -> None:
    series = calendar(("DTSTART:20200101T000000Z", "DURATION:P1D", "RRULE:FREQ=MINUTELY;INTERVAL=30"))
    items, problems = instances(series, DECADE)
    assert [item.start for item in items] == [DECADE.start]
    assert items[0].end >= DECADE.end
    assert [problem.reason for problem in problems] == ["recurrence_joined"]


def test_a_rule_that_covers_every_second_covers_the_whole_window() -> None:
    items, _ = instances(calendar(("DTSTART:20200101T000000Z", "DURATION:PT1H", "RRULE:FREQ=SECONDLY")), DECADE)
    assert [item.start for item in items] == [DECADE.start]
    assert items[0].end >= DECADE.end


@pytest.mark.parametrize(
    "rule",
    ["DAILY;BYMONTH=2;BYMONTHDAY=30", "SECONDLY;BYMONTH=2;BYMONTHDAY=30", "WEEKLY;BYMONTH=2;BYMONTHDAY=31"],
)
@pytest.mark.timeout(20)
def test_a_rule_that_never_occurs_ends(rule: str) -> None:
    assert starts((*MONDAY, f"RRULE:FREQ={rule}")) == ["0105"]


def test_a_series_that_runs_out_of_the_calendar_is_reported() -> None:
    _, problems = instances(calendar((*MONDAY[:1], "DURATION:P99999999D")), DECADE)
    assert [problem.reason for problem in problems] == ["out_of_calendar"]


def test_an_item_can_be_added_replaced_and_removed() -> None:
    first = calendar(DAILY)
    own = Item(item_id="own", start=at("20260201T0900"), end=at("20260201T1000"), subject="own")
    added = with_event(first, own)
    replaced = with_event(added, structs.replace(own, subject="new"))

    assert len(instances(first, DECADE)[0]) == 3
    assert [item.subject for item in instances(added, DECADE)[0]] == ["", "", "", "own"]
    assert [item.subject for item in instances(replaced, DECADE)[0]] == ["", "", "", "new"]
    assert instances(without_event(replaced, "own"), DECADE) == instances(first, DECADE)


def test_one_instance_or_a_whole_series_can_be_changed() -> None:
    first = calendar(DAILY)
    items, _ = instances(first, DECADE)
    moved = with_event(first, structs.replace(items[1], start=items[1].start + 60, type="exception"))

    assert [item.start for item in instances(moved, DECADE)[0]] == [items[0].start, items[1].start + 60, items[2].start]
    assert instances(without_event(first, items[0].item_id), DECADE)[0] == items[1:]
    assert instances(without_event(first, items[0].series_id or ""), DECADE)[0] == []


INTERVALS = {  # steps that reach every hour, minute and second, so that dateutil finds an occurrence soon
    "YEARLY": (1, 2, 3),
    "MONTHLY": (1, 5, 7),
    "WEEKLY": (1, 2, 3),
    "DAILY": (1, 2, 5),
    "HOURLY": (1, 5, 7, 25),
    "MINUTELY": (61, 97),
    "SECONDLY": (3_607,),
}
DATE_PARTS = {
    "BYMONTH": st.integers(1, 12),
    "BYMONTHDAY": st.one_of(st.integers(1, 31), st.integers(-31, -1)),
    "BYYEARDAY": st.one_of(st.integers(1, 366), st.integers(-366, -1)),
    "BYDAY": st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]),
}
TIME_PARTS = {"BYHOUR": st.integers(0, 23), "BYMINUTE": st.integers(0, 59), "BYSECOND": st.integers(0, 59)}


@st.composite
def rules(draw: Any) -> str:
    """Draw a rule that occurs at least once in a few years, so that dateutil ends."""

    def some(parts: dict[str, Any]) -> list[str]:
        names = draw(st.lists(st.sampled_from(sorted(parts)), max_size=1))
        held = (draw(st.lists(parts[name], min_size=1, max_size=4, unique=True)) for name in names)
        return [f"{name}={','.join(map(str, numbers))}" for name, numbers in zip(names, held, strict=True)]

    frequency = draw(st.sampled_from(sorted(INTERVALS)))
    interval = draw(st.sampled_from(INTERVALS[frequency]))
    last = draw(st.sampled_from(["WKST=MO", "WKST=SU", "BYSETPOS=1;BYMINUTE=0,30", "BYSETPOS=-1;BYDAY=MO,TU,WE,TH,FR"]))
    parts = some(DATE_PARTS) + some(TIME_PARTS) if last.startswith("WKST") else []
    return ";".join([f"FREQ={frequency}", f"INTERVAL={interval}", *parts, last])


@settings(deadline=None, max_examples=200)
@given(rules(), st.integers(0, 94_000_000), st.integers(0, 900))
def test_rules_occur_when_dateutil_says(rule: str, second: int, later: int) -> None:
    start = datetime(2021, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    begin, end = start + timedelta(days=later), start + timedelta(days=later + 60)
    due = takewhile(lambda wall: wall < end, rrule.rrulestr(rule, dtstart=start))
    expected = {start, *due}
    window = Window(int(begin.timestamp()), int(end.timestamp()))
    items = found((f"DTSTART:{start:%Y%m%dT%H%M%S}Z", f"RRULE:{rule}"), window=window)

    assert [item.start for item in items] == sorted(int(wall.timestamp()) for wall in expected if wall >= begin)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["DAILY", "WEEKLY;BYDAY=MO,WE,FR", "MONTHLY", "YEARLY", "DAILY;COUNT=40", "HOURLY;INTERVAL=5"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    st.integers(0, 5_000),
    st.integers(1, 2_000),
    st.integers(0, 70),
)
def test_a_window_holds_what_a_wider_one_holds_of_it(rule: str, zone: str, first: int, size: int, hours: int) -> None:
    series = calendar((f"DTSTART;TZID={zone}:20260105T090000", f"DURATION:PT{hours}H", f"RRULE:FREQ={rule}"), FUTURE)
    base = at("20260101T0000")
    wide = Window(base - DAY, base + 300 * DAY)
    narrow = Window(base + first * 3_600, base + (first + size) * 3_600)

    inside = [
        item
        for item in instances(series, wide)[0]
        if item.start < narrow.end and (item.end > narrow.start or item.start == item.end == narrow.start)
    ]
    assert instances(series, narrow)[0] == [item for item in inside if item.start < wide.end]
