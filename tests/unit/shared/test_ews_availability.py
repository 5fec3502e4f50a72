"""GetUserAvailability becomes one answer a person: times and working hours alone, everybody's error apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import moment
from shared.contracts.messages import RawEvent
from shared.contracts.values import WorkPeriod
from shared.ews.availability import availability
from shared.ews.errors import EwsError
from shared.ews.time_zone import zone_name
from tests.unit.shared.exchange_fake import fault, message, soap

NINE = 1_772_355_600
ZONE = (
    "<t:WorkingHours><t:TimeZone><t:Bias>-60</t:Bias>"
    "<t:StandardTime><t:Bias>0</t:Bias><t:Time>03:00:00</t:Time><t:DayOrder>5</t:DayOrder><t:Month>10</t:Month>"
    "<t:DayOfWeek>Sunday</t:DayOfWeek></t:StandardTime>"
    "<t:DaylightTime><t:Bias>-60</t:Bias><t:Time>02:00:00</t:Time><t:DayOrder>5</t:DayOrder><t:Month>3</t:Month>"
    "<t:DayOfWeek>Sunday</t:DayOfWeek></t:DaylightTime></t:TimeZone></t:WorkingHours>"
)


def event(
    start: str = "2026-03-01T09:00:00", end: str = "2026-03-01T10:00:00", word: str = "Busy", more: str = ""
) -> str:
    return (
        f"<t:CalendarEvent><t:StartTime>{start}</t:StartTime><t:EndTime>{end}</t:EndTime>"
        f"<t:BusyType>{word}</t:BusyType>{more}</t:CalendarEvent>"
    )


def person(*events: str, kind: str = "FreeBusy", zone: str = "") -> str:
    array = f"<t:CalendarEventArray>{''.join(events)}</t:CalendarEventArray>" if events else ""
    return (
        '<m:FreeBusyResponse><m:ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        f"</m:ResponseMessage><m:FreeBusyView><t:FreeBusyViewType>{kind}</t:FreeBusyViewType>{array}{zone}"
        "</m:FreeBusyView></m:FreeBusyResponse>"
    )


def refused(code: str, text: str = "") -> str:
    return (
        f'<m:FreeBusyResponse><m:ResponseMessage ResponseClass="Error"><m:MessageText>{text}</m:MessageText>'
        f"<m:ResponseCode>{code}</m:ResponseCode></m:ResponseMessage></m:FreeBusyResponse>"
    )


def answer(*people: str) -> bytes:
    inner = "".join(people)
    return soap(
        f"<m:GetUserAvailabilityResponse><m:FreeBusyResponseArray>{inner}</m:FreeBusyResponseArray>"
        "</m:GetUserAvailabilityResponse>"
    )


def test_events_are_times_and_how_they_count_in_utc() -> None:
    (found,) = availability([answer(person(event(), event("2026-03-01T11:00:00Z", "2026-03-01T11:30:00.5Z", "OOF")))])
    assert found.events == (
        RawEvent(NINE, NINE + 3600, "busy"), RawEvent(NINE + 7200, NINE + 9001, "oof"),
    )  # fmt: skip


def test_details_that_a_server_sends_unasked_go_nowhere() -> None:
    more = (
        "<t:CalendarEventDetails><t:Subject>canary</t:Subject><t:IsPrivate>true</t:IsPrivate></t:CalendarEventDetails>"
    )
    (found,) = availability([answer(person(event(more=more)))])
    assert found.events == (RawEvent(NINE, NINE + 3600, "busy"),)


@pytest.mark.parametrize(
    ("word", "meant"), [("NoData", "unknown"), ("Free", "free"), ("Else", "busy"), (" Free ", "free")]
)
def test_no_data_is_unknown_and_a_strange_word_is_busy(word: str, meant: str) -> None:
    (found,) = availability([answer(person(event(word=word)))])
    assert found.events[0].show_as == meant


def test_everybodys_error_is_their_own() -> None:
    body = answer(
        refused("ErrorNoFreeBusyAccess"),
        person(event()),
        refused("ErrorTimeIntervalTooBig", "The allowed limit = 62 days; the actual limit = 63 days."),
        person(),
    )
    first, second, third, fourth = availability([body])
    assert first.error is not None and first.error.code == "ErrorNoFreeBusyAccess"  # noqa: PT018 -- for the type checker
    assert len(second.events) == 1
    assert third.error is not None and (third.error.code, third.error.value) == ("ErrorTimeIntervalTooBig", "62")  # noqa: PT018 -- the same
    assert fourth.error is None and fourth.events == ()  # noqa: PT018 -- the same


@pytest.mark.parametrize(
    "one",
    [
        person(event("2026-03-01")),
        person("<t:CalendarEvent><t:StartTime>2026-03-01T09:00:00</t:StartTime></t:CalendarEvent>"),
        person(event(end="")),
        person(kind="MergedOnly"),
        person(kind="None"),
        '<m:FreeBusyResponse><m:ResponseMessage ResponseClass="Success"/></m:FreeBusyResponse>',
    ],
)
def test_what_cannot_be_read_of_one_person_is_never_taken_for_a_free_day(one: str) -> None:
    odd, fine = availability([answer(one, person(event()))])
    assert odd.error is not None and odd.error.code == "malformed"  # noqa: PT018 -- for the type checker
    assert len(fine.events) == 1


def test_the_zone_people_work_in_is_read_along() -> None:
    (found,) = availability([answer(person(event(), zone=ZONE))])
    assert found.zone is not None
    assert zone_name(found.zone, 2026) == "W. Europe Standard Time"


def work(*periods: tuple[str, str, str]) -> str:
    shown = "".join(
        f"<t:WorkingPeriod><t:DayOfWeek>{days}</t:DayOfWeek><t:StartTimeInMinutes>{start}</t:StartTimeInMinutes>"
        f"<t:EndTimeInMinutes>{end}</t:EndTimeInMinutes></t:WorkingPeriod>"
        for days, start, end in periods
    )
    return ZONE.replace("</t:WorkingHours>", f"<t:WorkingPeriodArray>{shown}</t:WorkingPeriodArray></t:WorkingHours>")


@pytest.mark.parametrize(
    ("days", "numbers"),
    [
        ("Monday Tuesday Wednesday Thursday Friday", [0, 1, 2, 3, 4]),
        (" Sunday  Saturday ", [6, 5]),
        ("Weekday", [0, 1, 2, 3, 4]),
        ("WeekendDay", [5, 6]),
        ("Day", [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_when_people_work_is_read_along(days: str, numbers: list[int]) -> None:
    (found,) = availability([answer(person(event(), zone=work((days, "480", "720"), ("Monday", "780", "0"))))])
    assert found.work == (*(WorkPeriod(number, 480, 720) for number in numbers), WorkPeriod(0, 780, 1440))
    assert found.zone is not None


@pytest.mark.parametrize(
    "odd",
    [
        ("Someday", "480", "1020"),
        ("Monday", "1020", "480"),
        ("Monday", "", "480"),
        ("Monday", "480", "9999"),
        ("Monday", "8:00", "17:00"),
    ],
)
def test_working_hours_that_make_no_sense_are_none_and_the_times_stand(odd: tuple[str, str, str]) -> None:
    (found,) = availability([answer(person(event(), zone=work(("Monday", "480", "1020"), odd)))])
    assert (found.work, len(found.events), found.error) == ((), 1, None)


def test_working_hours_may_be_of_no_day_or_not_there() -> None:
    found = availability([answer(person(zone=work()), person(zone=ZONE), person(event()))])
    assert [each.work for each in found] == [(), (), ()]


def test_a_whole_answer_may_be_an_error() -> None:
    for body, code in (
        (fault("ErrorServerBusy"), "ErrorServerBusy"),
        (soap(""), "malformed"),
        (message("FindItem"), "malformed"),
    ):
        with pytest.raises(EwsError, match=code):
            availability([body])


@given(st.lists(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)), max_size=6), max_size=6))
def test_everybody_gets_exactly_their_own_events(people: list[list[tuple[int, int]]]) -> None:
    shown = [person(*(event(moment(start), moment(start + more)) for start, more in one)) for one in people]
    found = availability([answer(*shown)])
    assert [[(kept.start, kept.end - kept.start) for kept in one.events] for one in found] == people
