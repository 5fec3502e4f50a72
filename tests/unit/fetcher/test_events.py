from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.events import Moment, Page, PageWithDetails, TimesOnly, WithDetails, raw, seconds
from shared.contracts.messages import RawEvent
from shared.contracts.values import DAY, LATEST


def timed(start: str, end: str, zone: str | None = "UTC", **more: object) -> RawEvent:
    return raw(TimesOnly(start=Moment(start, zone), end=Moment(end, zone), **more))  # type: ignore[arg-type]


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(0, 9))  # noqa: DTZ001 -- naive on purpose
def test_a_printed_time_is_the_instant_it_names(moment: datetime, tenth: int) -> None:
    printed = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}{tenth}"
    exact = moment.replace(tzinfo=UTC).timestamp()
    down = seconds(Moment(printed, "UTC"), up=False)
    up = seconds(Moment(printed, "UTC"), up=True)
    assert down == int(exact // 1)
    assert up - down == (1 if moment.microsecond or tenth else 0)


def test_a_time_without_a_fraction_is_taken() -> None:
    assert seconds(Moment("1970-01-01T00:01:00"), up=True) == 60


@pytest.mark.parametrize(
    "text",
    ["", "2026-01-01", "2026-01-01T00:00:00\n", "2026-13-01T00:00:00", "2026-01-01T24:00:01.0",
     "2026-01-01T00:00:00+01:00", "2026-W01-1T09:00:00", "2026-01-01T00:00:00.", "0000-01-01T00:00:00",
     "٢٠٢٦-01-01T00:00:00"],
)  # fmt: skip
def test_a_time_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        seconds(Moment(text, "UTC"), up=False)


def test_a_time_in_a_windows_zone_is_converted() -> None:
    assert seconds(Moment("2026-07-01T09:00:00.0000000", "Pacific Standard Time"), up=False) == int(
        datetime(2026, 7, 1, 16, tzinfo=UTC).timestamp()
    )


def test_a_time_in_a_zone_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        seconds(Moment("2026-07-01T09:00:00", "tzone://Microsoft/Custom"), up=False)


@pytest.mark.parametrize("zone", [None, "UTC", "Pacific Standard Time", "tzone://Microsoft/Custom"])
def test_an_all_day_event_keeps_its_dates_whatever_zone_is_printed(zone: str | None) -> None:
    event = timed("2026-06-13T00:00:00.0000000", "2026-06-15T00:00:00.0000000", zone, is_all_day=True)
    first = int(datetime(2026, 6, 13, tzinfo=UTC).timestamp())
    assert (event.start, event.end, event.all_day) == (first, first + 2 * DAY, True)


@given(st.integers(0, 10**9), st.integers(0, 10 * DAY))
def test_an_all_day_event_has_whole_days_that_hold_what_is_printed(start: int, length: int) -> None:
    printed = [(datetime(1970, 1, 1) + timedelta(seconds=at)).isoformat() for at in (start, start + length)]  # noqa: DTZ001 -- naive on purpose
    event = timed(printed[0], printed[1], is_all_day=True)
    assert event.start % DAY == event.end % DAY == 0
    assert event.start <= start
    assert event.end >= start + length


def test_the_last_moment_there_is_stays_in_bounds() -> None:
    assert timed("9999-12-31T00:00:00", "9999-12-31T23:59:59.9999999").end == LATEST


def test_words_pass_unjudged_and_missing_ones_are_never_free() -> None:
    body = {"start": {"dateTime": "2026-01-01T00:00:00"}, "end": {"dateTime": "2026-01-01T01:00:00"}}
    page = msgspec.convert({"value": [body, body | {"showAs": "newWord", "isCancelled": True}]}, Page)
    first, second = (raw(event) for event in page.value)
    assert (first.show_as, first.cancelled, first.response, first.details) == ("unknown", False, "", None)
    assert (second.show_as, second.cancelled) == ("newWord", True)


def test_free_busy_does_not_even_decode_what_a_server_sends_unasked() -> None:
    midnight = {"dateTime": "2026-01-01T00:00:00"}
    body = msgspec.json.encode({"value": [{"start": midnight, "end": midnight, "subject": "canary"}]})
    page = msgspec.json.decode(body, type=Page)
    assert "canary" not in repr(page)
    assert raw(page.value[0]).details is None


def test_details_are_texts_and_a_missing_sensitivity_is_private() -> None:
    body = {
        "start": {"dateTime": "2026-01-01T00:00:00"},
        "end": {"dateTime": "2026-01-01T01:00:00"},
        "id": "AAMk=",
        "subject": None,
        "organizer": {"emailAddress": {"name": "Person 0001", "address": "person1@example.org"}},
        "attendees": [{"emailAddress": {"name": "Person 0002"}}, {"emailAddress": None}, {}],
        "location": {"displayName": "Room 1"},
        "bodyPreview": "preview",
        "onlineMeeting": None,
    }
    event = raw(msgspec.convert({"value": [body]}, PageWithDetails).value[0])
    assert event.sensitivity == "private"
    assert event.details is not None
    assert event.details.event_id == "AAMk="
    assert (event.details.subject, event.details.organizer) == ("", "person1@example.org")
    assert event.details.attendees == ("Person 0002",)
    assert (event.details.location, event.details.preview, event.details.join_url) == ("Room 1", "preview", "")


def test_a_join_link_is_taken_where_it_was_asked_for() -> None:
    event = WithDetails(
        start=Moment("2026-01-01T00:00:00"),
        end=Moment("2026-01-01T00:00:00"),
        online_meeting=msgspec.convert(
            {"joinUrl": "https://join.example/1"}, WithDetails.__annotations__["online_meeting"]
        ),
    )
    details = raw(event).details
    assert details is not None
    assert details.join_url == "https://join.example/1"
