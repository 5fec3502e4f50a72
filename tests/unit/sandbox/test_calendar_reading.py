"""What is read of calendar files, well made and not: components, times, zones, statuses, problems."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.sandbox.calendar import Calendar, Item, Person, instances, read_calendar
from shared.contracts.values import Window

EVER = Window(-62_135_596_800, 253_402_300_799)


def at(text: str) -> int:
    return int(datetime.strptime(text, "%Y%m%dT%H%M").replace(tzinfo=UTC).timestamp())


def calendar(*lines: str, zone: str | None = None) -> Calendar:
    return read_calendar("\r\n".join(["BEGIN:VCALENDAR", *lines, "END:VCALENDAR", ""]).encode(), time_zone=zone)


def event(*lines: str) -> list[str]:
    return ["BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT"]


def items(*lines: str, zone: str | None = None) -> list[Item]:
    return instances(calendar(*event(*lines), zone=zone), EVER)[0]


def spans(*lines: str, zone: str | None = None) -> list[tuple[int, int]]:
    return [(item.start, item.end) for item in items(*lines, zone=zone)]


def reasons(read: Calendar) -> list[str]:
    return [problem.reason for problem in read.problems]


NINE, TEN = at("20260105T0900"), at("20260105T1000")
AN_HOUR = ("DTSTART:20260105T090000Z", "DTEND:20260105T100000Z")


@pytest.mark.parametrize(
    "data",
    [
        b"BEGIN:VEVENT\nUID:1\nDTSTART:20260105T090000Z\nDTEND:20260105T100000Z\nEND:VEVENT\n",
        b"\xef\xbb\xbfBEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20260105T090000Z\r\nDURATION:PT1H\r\nEND:VEVENT\r\n",
        "BEGIN:VEVENT\nDTSTART:20260105T090000Z\nDURATION:PT1H\nEND:VEVENT\n".encode("utf-16"),
        b"BEGIN:VEVENT\rDTSTART:20260105T090000Z\rDURATION:PT1H\rEND:VEVENT\r",
        b"BEGIN:VEVENT\r\r\nDTSTART:2026010\r\r\n 5T090000Z\r\r\nDURATION:PT1H\r\r\nEND:VEVENT\r\r\n",
        b"BEGIN:VEVENT\nDTSTART\n :20260105T090000Z\nDTEND\n :20260105T100000Z\nEND:VEVENT\n",
        b"begin:vevent\ndtstart:20260105T090000Z\ndtend:20260105T100000Z\nend:vevent\n",
        b"BEGIN:VEVENT\nDTSTART:20260105T090000Z  \nDTEND:20260105T100000Z\nnonsense\nX-A;=:\xff\nEND:VEVENT\n",
        b"BEGIN:VEVENT\nDTSTART:20260105T090000Z\nDTEND:20260105T100000Z\nBEGIN:VALARM\nDURATION:PT5M\nEND:VEVENT\n",
    ],
)
def test_the_way_lines_are_written_does_not_matter(data: bytes) -> None:
    found, _ = instances(read_calendar(data), EVER)
    assert [(item.start, item.end) for item in found] == [(NINE, TEN)]


def test_a_bad_event_is_skipped_and_reported_and_the_others_stand() -> None:
    read = calendar(*event("DTSTART:nonsense"), *event(*AN_HOUR), *event("SUMMARY:no start"))

    assert [(p.place, p.reason) for p in read.problems] == [
        ("VEVENT 1 (line 2)", "bad_start"),
        ("VEVENT 3 (line 11)", "no_start"),
    ]
    assert len(instances(read, EVER)[0]) == 1


def test_an_event_that_never_ends_is_left_out_and_the_next_one_stands() -> None:
    read = calendar("BEGIN:VEVENT", "DTSTART:20260105T090000Z", *event(*AN_HOUR))
    assert reasons(read) == ["not_closed"]
    assert len(read.series) == 1


def test_several_calendars_in_one_file_are_one() -> None:
    text = "\n".join(["BEGIN:VCALENDAR", *event(*AN_HOUR), "END:VCALENDAR"])
    other = text.replace("UID:1", "UID:2")
    assert len(read_calendar(f"{text}\n{other}\n".encode()).series) == 2


@pytest.mark.parametrize("component", ["VTODO", "VJOURNAL", "VFREEBUSY", "VAVAILABILITY"])
def test_only_events_count(component: str) -> None:
    assert not calendar(f"BEGIN:{component}", *AN_HOUR, f"END:{component}").series


def test_events_without_a_uid_are_each_their_own() -> None:
    nameless = ["BEGIN:VEVENT", *AN_HOUR, "END:VEVENT"]
    found, _ = instances(calendar(*nameless, *nameless), EVER)
    assert len({item.item_id for item in found}) == 2


def test_ids_are_the_same_whenever_a_file_is_read() -> None:
    assert items(*AN_HOUR) == items(*AN_HOUR)


def test_texts_and_people_are_read() -> None:
    [item] = items(
        *AN_HOUR,
        "SUMMARY:One\\, two\\nthree",
        "LOCATION;LANGUAGE=de:Room 0001",
        "DESCRIPTION;ENCODING=QUOTED-PRINTABLE:caf=C3=A9=",
        "s",
        "CATEGORIES:red,blue",
        'ORGANIZER;CN="Person 0001":MAILTO:p0001@example.com',
        "ATTENDEE;CN=Person 0002;PARTSTAT=DECLINED:mailto:p0002@example.com",
        "X-MICROSOFT-SKYPETEAMSMEETINGURL:https://example.com/join",
        "CLASS:CONFIDENTIAL",
    )
    assert (item.subject, item.location, item.body) == ("One, two\nthree", "Room 0001", "cafés")
    assert item.categories == ("red", "blue")
    assert item.organizer == Person("Person 0001", "p0001@example.com")
    assert item.attendees == (Person("Person 0002", "p0002@example.com"),)
    assert item.join_url == "https://example.com/join"
    assert (item.sensitivity, item.response, item.is_organizer) == ("confidential", "none", False)


def test_no_text_and_no_address_holds_a_control_character() -> None:
    lines = (
        "DTSTART:20260301T090000Z",
        "SUMMARY:a\x00b\tc",
        "LOCATION;ENCODING=QUOTED-PRINTABLE:d=01e",
        "ORGANIZER:mailto:f\x07@example.com",
        "CATEGORIES:g\x1fh",
        "CONFERENCE:https://example.com/\x01i",
    )
    (item,) = items(*lines)
    assert (item.subject, item.location, item.categories) == ("ab\tc", "de", ("gh",))
    assert item.organizer == Person("", "f@example.com")
    assert item.join_url == "https://example.com/i"


def test_a_line_in_windows_1252_is_read_beside_lines_in_utf_8() -> None:
    data = b"BEGIN:VEVENT\nDTSTART:20260105T090000Z\nSUMMARY:caf\xe9\nLOCATION:caf\xc3\xa9\nEND:VEVENT\n"
    [item] = instances(read_calendar(data), EVER)[0]
    assert (item.subject, item.location) == ("café", "café")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((), "busy"),
        (("STATUS:CONFIRMED",), "busy"),
        (("STATUS:TENTATIVE",), "tentative"),
        (("TRANSP:TRANSPARENT",), "free"),
        (("TRANSP:OPAQUE", "STATUS:TENTATIVE"), "busy"),
        (("TRANSP:TRANSPARENT", "X-MICROSOFT-CDO-BUSYSTATUS:OOF"), "oof"),
        (("TRANSP:OPAQUE", "X-MICROSOFT-CDO-BUSYSTATUS:FREE"), "free"),
        (("X-MICROSOFT-MSNCALENDAR-BUSYSTATUS:TENTATIVE",), "tentative"),
        (("X-MICROSOFT-CDO-BUSYSTATUS:WORKINGELSEWHERE",), "workingElsewhere"),
        (("X-MICROSOFT-CDO-BUSYSTATUS:NONSENSE", "TRANSP:TRANSPARENT"), "free"),
        (("X-MICROSOFT-CDO-INTENDEDSTATUS:OOF",), "busy"),
        (("TRANSP:0",), "busy"),
        (("TRANSP:1",), "free"),
        (("transp:transparent",), "free"),
    ],
)
def test_the_status_is_outlooks_else_transp_else_status_else_busy(lines: tuple[str, ...], status: str) -> None:
    assert [item.show_as for item in items(*AN_HOUR, *lines)] == [status]


def test_a_cancelled_event_is_cancelled_whatever_else_it_says() -> None:
    [item] = items(*AN_HOUR, "STATUS:CANCELLED", "TRANSP:OPAQUE", "X-MICROSOFT-CDO-BUSYSTATUS:BUSY")
    assert item.cancelled


def test_the_method_of_a_calendar_cancels_nothing() -> None:
    [item] = instances(calendar("METHOD:CANCEL", *event(*AN_HOUR)), EVER)[0]
    assert not item.cancelled


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        (("DTEND:20260105T100000Z",), TEN),
        (("DTEND:20260105T100000Z", "DURATION:PT5H"), TEN),
        (("DURATION:PT1H",), TEN),
        (("DURATION:P1DT1H",), at("20260106T1000")),
        (("DTEND:nonsense",), NINE),
        ((), NINE),
    ],
)
def test_a_timed_event_lasts_until_its_end_or_for_its_duration_or_no_time(lines: tuple[str, ...], end: int) -> None:
    assert spans("DTSTART:20260105T090000Z", *lines) == [(NINE, end)]


@pytest.mark.parametrize(
    ("lines", "days"),
    [((), 1), (("DTEND;VALUE=DATE:20260108",), 3), (("DURATION:P1W",), 7), (("DURATION:PT48H",), 2)],
)
def test_an_all_day_event_lasts_whole_dates(lines: tuple[str, ...], days: int) -> None:
    [item] = items("DTSTART;VALUE=DATE:20260105", *lines, zone="America/New_York")
    assert item.all_day
    assert (item.start, item.end) == (at("20260105T0000"), at("20260105T0000") + days * 86_400)


def test_a_date_that_lasts_hours_is_a_time() -> None:
    [item] = items("DTSTART;VALUE=DATE:20260105", "DURATION:PT5H", zone="Europe/Berlin")
    assert not item.all_day
    assert (item.start, item.end) == (at("20260104T2300"), at("20260105T0400"))


def test_dates_that_end_where_they_start_last_no_time() -> None:
    [item] = items("DTSTART;VALUE=DATE:20260105", "DTEND;VALUE=DATE:20260105")
    assert not item.all_day
    assert item.start == item.end == at("20260105T0000")


@pytest.mark.parametrize("end", ["DTEND:20260105T085959Z", "DURATION:-PT1S"])
def test_an_event_that_ends_before_it_starts_is_skipped(end: str) -> None:
    assert reasons(calendar(*event("DTSTART:20260105T090000Z", end))) == ["ends_before_start"]


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        ("DTSTART;VALUE=DATE:20260105", "DTEND:20260105T100000Z", (at("20260104T2300"), TEN)),
        ("DTSTART:20260105T090000Z", "DTEND;VALUE=DATE:20260106", (NINE, at("20260105T2300"))),
    ],
)
def test_a_date_beside_a_time_is_its_midnight(start: str, end: str, span: tuple[int, int]) -> None:
    read = calendar(*event(start, end), zone="Europe/Berlin")
    assert reasons(read) == ["mixed_kinds"]
    assert [(item.start, item.end) for item in instances(read, EVER)[0]] == [span]


def test_a_floating_end_is_in_the_zone_of_its_start() -> None:
    assert spans("DTSTART;TZID=America/New_York:20260105T040000", "DTEND:20260105T050000") == [(NINE, TEN)]


def test_outlooks_all_day_flag_makes_midnights_dates() -> None:
    times = ("DTSTART;TZID=Europe/Berlin:20260105T000000", "DTEND;TZID=Europe/Berlin:20260107T000000")
    [item] = items(*times, "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE", zone="Asia/Tokyo")
    assert item.all_day
    assert (item.start, item.end) == (at("20260105T0000"), at("20260107T0000"))


def test_outlooks_all_day_flag_says_nothing_of_other_times() -> None:
    [item] = items(*AN_HOUR, "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE")
    assert not item.all_day


def test_floating_times_are_in_the_files_zone_and_the_argument_wins() -> None:
    lines = ["X-WR-TIMEZONE:Nowhere/X", *event("DTSTART:20260105T090000")]
    berlin = calendar(*lines, "END:VCALENDAR", "BEGIN:VCALENDAR", "X-WR-TIMEZONE;VALUE=TEXT:Europe/Berlin")
    tokyo = calendar(*lines, zone="Tokyo Standard Time")

    assert (berlin.time_zone, tokyo.time_zone, calendar(*lines).time_zone) == ("Europe/Berlin", "Asia/Tokyo", "UTC")
    assert instances(berlin, EVER)[0][0].start == at("20260105T0800")
    assert instances(tokyo, EVER)[0][0].start == at("20260105T0000")


@pytest.mark.parametrize(
    "name",
    [
        "America/New_York",
        "america/new_york",
        "Eastern Standard Time",
        '"Eastern Standard Time"',
        "/mozilla.org/20070129_1/America/New_York",
        "/freeassociation.sourceforge.net/Tzfile/America/New_York",
        '"(UTC-05:00) Eastern Time (US & Canada)"',
        '"(GMT-05.00) Eastern Time (US & Canada)"',
        "Eastern Time (US & Canada)",
    ],
)
def test_a_zone_is_known_by_many_spellings_of_its_name(name: str) -> None:
    assert spans(f"DTSTART;TZID={name}:20260705T050000", "DURATION:PT1H") == [
        (at("20260705T0900"), at("20260705T1000")),
    ]


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ('DTSTART;TZID="tzone://Microsoft/Utc":20260105T090000', NINE),
        ("DTSTART;TZID=Greenwich Mean Time:Dublin; Edinburgh; Lisbon; London:20260705T100000", at("20260705T0900")),
        ("DTSTART;TZID=Asia/Tokyo:20260105T090000Z", NINE),
        ("DTSTART;TZID=Asia/Tokyo;VALUE=DATE:20260105", at("20260105T0000")),
    ],
)
def test_odd_zones_of_times_are_understood(line: str, start: int) -> None:
    assert [item.start for item in items(line)] == [start]


def test_an_unknown_zone_is_the_calendars_and_is_reported() -> None:
    read = calendar(*event("DTSTART;TZID=Nowhere/X:20260105T100000"), zone="Europe/Berlin")
    assert reasons(read) == ["unknown_zone"]
    assert instances(read, EVER)[0][0].start == NINE


OWN_ZONE = (
    "BEGIN:VTIMEZONE",
    "TZID:Ours",
    "BEGIN:STANDARD",
    "DTSTART:16010101T020000",
    "RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11",
    "TZOFFSETFROM:-0400",
    "TZOFFSETTO:-0500",
    "END:STANDARD",
    "BEGIN:DAYLIGHT",
    "DTSTART:16010101T020000",
    "RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3",
    "TZOFFSETFROM:-0500",
    "TZOFFSETTO:-0400",
    "END:DAYLIGHT",
    "END:VTIMEZONE",
)


@pytest.mark.parametrize("wall", ["20260105T000000", "20260308T013000", "20260308T023000", "20260308T030000"])
@pytest.mark.parametrize("other", ["20260705T000000", "20261101T003000", "20261101T013000", "20261101T020000"])
def test_a_zone_of_the_file_itself_behaves_like_one_of_the_database(wall: str, other: str) -> None:
    def starts(zone: str) -> list[int]:
        events = [*event(f"DTSTART;TZID={zone}:{wall}"), "BEGIN:VEVENT", f"DTSTART;TZID={zone}:{other}", "END:VEVENT"]
        return [item.start for item in instances(calendar(*events, *OWN_ZONE), EVER)[0]]

    assert starts("Ours") == starts("America/New_York")


def test_the_database_wins_over_the_files_definition_of_a_known_name() -> None:
    wrong = [line.replace("TZID:Ours", "TZID:Europe/Berlin") for line in OWN_ZONE]
    found, _ = instances(calendar(*wrong, *event("DTSTART;TZID=Europe/Berlin:20260105T100000")), EVER)
    assert [item.start for item in found] == [NINE]


def test_a_zone_without_rules_is_reported() -> None:
    assert reasons(calendar("BEGIN:VTIMEZONE", "TZID:Ours", "END:VTIMEZONE")) == ["bad_zone"]


@pytest.mark.parametrize(
    ("wall", "start"),
    [("20070311T023000", "20070311T0730"), ("20071104T013000", "20071104T0530")],
)
def test_clock_changes_are_read_as_rfc_5545_says_and_an_hour_is_an_hour(wall: str, start: str) -> None:
    expected = [(at(start), at(start) + 3_600)]
    assert spans(f"DTSTART;TZID=America/New_York:{wall}", "DURATION:PT1H") == expected


def test_a_duration_in_days_is_nominal_and_one_in_hours_exact() -> None:
    start = "DTSTART;TZID=Europe/Berlin:20260328T120000"
    begins = at("20260328T1100")
    assert spans(start, "DURATION:P1D") == [(begins, begins + 23 * 3_600)]
    assert spans(start, "DURATION:PT24H") == [(begins, begins + 24 * 3_600)]


@pytest.mark.parametrize("year", ["1899", "1954", "2040", "2399"])
def test_events_of_any_time_are_read(year: str) -> None:
    assert spans(f"DTSTART:{year}0105T090000Z", "DURATION:PT1H") == [(at(f"{year}0105T0900"), at(f"{year}0105T1000"))]


JUNK = st.sampled_from([
    "BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "BEGIN:VTIMEZONE", "END:VTIMEZONE", "TZID:a",
    "BEGIN:STANDARD", "END:STANDARD", "TZOFFSETFROM:+0100", "TZOFFSETTO:-1200", "UID:1", "DTSTART:00010101T000000Z",
    "DTSTART:99991231T235959Z", "DTSTART;TZID=a:19970101T000000", "DTEND;VALUE=DATE:19970102", "DURATION:P9999999D",
    "RRULE:FREQ=DAILY", "RRULE:FREQ=YEARLY;BYDAY=53MO", "RRULE:FREQ=MONTHLY;UNTIL=99991231", "RRULE:", "RDATE:1997",
    "RRULE:FREQ=WEEKLY;COUNT=2147483647", "EXRULE:FREQ=HOURLY;COUNT=9", "RDATE;VALUE=PERIOD:19970101T000000Z/P1W",
    "EXDATE;VALUE=DATE:00010101", "RECURRENCE-ID:00010101", "RECURRENCE-ID;RANGE=THISANDFUTURE:99991231T235959Z",
    "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE", "SEQUENCE:x", "X-WR-TIMEZONE:Asia/Tokyo", " folded", 'SUMMARY;X="a:b',
])  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.one_of(JUNK, st.text(max_size=20)), max_size=25), st.binary(max_size=20))
def test_nothing_a_file_holds_makes_reading_fail(lines: list[str], tail: bytes) -> None:
    read = read_calendar("\n".join(lines).encode("utf-8", "surrogatepass") + tail)
    instances(read, Window(852_076_800, 853_000_000))
