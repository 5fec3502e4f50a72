"""What calendarView lists, how it prints it, how it pages and what it refuses."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.sandbox.calendar import Item
from deploy.sandbox.directory import Reach
from deploy.sandbox.rendering import NEVER_SELECTED, PROPERTIES
from shared.contracts.values import DAY, Window
from shared.zones import local_midnight
from tests.unit.sandbox.asking import NOW, WINDOW, Caller, caller

FREE_BUSY = "$select=start,end,showAs,isAllDay,sensitivity,isCancelled"
MIDNIGHT = NOW - NOW % DAY


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=12, events=60)


def view(asking: Caller, query: str = FREE_BUSY, window: str = WINDOW) -> str:
    return f"/users/{asking.user()}/calendarView?{window}&{query}"


def second(printed: dict[str, str]) -> int:
    return int(
        datetime.fromisoformat(printed["dateTime"][:26]).replace(tzinfo=ZoneInfo(printed["timeZone"])).timestamp()
    )


@pytest.mark.parametrize("top", [1, 7, 59, 60, 61, 1000])
async def test_pages_of_any_size_give_every_event_once(asking: Caller, top: int) -> None:
    rows = await asking.all(view(asking, f"{FREE_BUSY}&$top={top}"))
    expected = asking.changes.events("person.0001@sandbox.example")
    assert len(rows) == len({row["id"] for row in rows}) == len(expected) == 60
    assert [row["start"]["dateTime"] for row in rows] == sorted(row["start"]["dateTime"] for row in rows)


async def test_a_page_has_ten_events_unless_asked_otherwise(asking: Caller) -> None:
    assert len((await asking.get(view(asking)))["value"]) == 10
    preferring = await asking.get(view(asking), prefer='outlook.timezone="UTC", odata.maxpagesize=25')
    assert len(preferring["value"]) == 25
    assert len(await asking.all(view(asking), prefer="odata.maxpagesize=25")) == 60


async def test_the_next_link_is_on_every_page_but_the_last(asking: Caller) -> None:
    first = await asking.get(view(asking, f"{FREE_BUSY}&$top=60"))
    assert "@odata.nextLink" not in first
    assert (await asking.get(view(asking, "$top=59")))["@odata.nextLink"].startswith("https://127.0.0.1:8443/v1.0/")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(selected=st.lists(st.sampled_from(sorted(set(PROPERTIES) - NEVER_SELECTED)), min_size=1, unique=True))
async def test_exactly_what_was_selected_is_given(asking: Caller, selected: list[str]) -> None:
    page = await asking.get(view(asking, f"$select={','.join(selected)}&$top=5"))
    assert all(row.keys() == {"id", "@odata.etag", *selected} for row in page["value"])


async def test_without_select_everything_is_given(asking: Caller) -> None:
    row = (await asking.get(view(asking, "$top=1")))["value"][0]
    assert row.keys() == {"id", "@odata.etag", *PROPERTIES}


async def test_what_does_not_support_select_is_left_out(asking: Caller) -> None:
    row = (await asking.get(view(asking, "$select=start,createdDateTime,id")))["value"][0]
    assert row.keys() == {"id", "@odata.etag", "start"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("startDateTime=2026-01-01", "ErrorInvalidParameter"),
        ("startDateTime=yesterday&endDateTime=2026-01-01", "ErrorInvalidParameter"),
        ("startDateTime=2026-02-01&endDateTime=2026-01-01", "ErrorInvalidParameter"),
        ("startDateTime=2026-01-01T00:00:00Z&endDateTime=2031-01-01T00:00:00Z", "ErrorInvalidRequest"),
        (f"{WINDOW}&$select=start,shoeSize", "RequestBroker--ParseUri"),
        (f"{WINDOW}&$top=1001", "Request_UnsupportedQuery"),
        (f"{WINDOW}&$filter=showAs eq 'busy'", "ErrorInvalidUrlQuery"),
        (f"{WINDOW}&$orderby=subject", "ErrorInvalidUrlQuery"),
    ],
)
async def test_a_wrong_query_is_refused_by_its_code(asking: Caller, query: str, code: str) -> None:
    assert await asking.refused(f"/users/{asking.user()}/calendarView?{query}") == (400, code)


async def test_a_window_of_the_most_days_is_accepted(asking: Caller) -> None:
    window = "startDateTime=2026-01-01T00:00:00Z&endDateTime=2030-12-31T00:00:00Z"
    assert len(await asking.all(view(asking, window=window))) == 60


async def test_offsets_in_the_window_count(asking: Caller) -> None:
    utc = "startDateTime=2026-11-01T00:00:00Z&endDateTime=2026-12-01T00:00:00Z"
    for same in (
        "startDateTime=2026-11-01T02:00:00%2B02:00&endDateTime=2026-11-30T16:00:00-08:00",
        "startDateTime=2026-11-01T02:00:00+02:00&endDateTime=2026-12-01T00:00:00.0000000",
        "startDateTime=2026-11-01&endDateTime=2026-12-01",
    ):
        rows = [await asking.all(view(asking, f"{FREE_BUSY}&$top=100", window=window)) for window in (utc, same)]
        assert rows[0] == rows[1]


@pytest.mark.parametrize("name", ["W. Europe Standard Time", "Europe/Berlin", "Asia/Kolkata"])
async def test_times_are_printed_in_the_zone_asked_for(asking: Caller, name: str) -> None:
    plain = await asking.all(view(asking))
    zoned = await asking.all(view(asking), prefer=f'outlook.timezone="{name}"')
    zone = ZoneInfo("Asia/Kolkata" if name == "Asia/Kolkata" else "Europe/Berlin")
    for row, utc in zip(zoned, plain, strict=True):
        assert row["start"]["timeZone"] == name
        if row["isAllDay"]:
            assert row["start"]["dateTime"] == utc["start"]["dateTime"]
        else:
            wall = datetime.fromisoformat(row["start"]["dateTime"][:26]).replace(tzinfo=zone)
            assert int(wall.timestamp()) == second(utc["start"])


async def test_an_unknown_zone_is_refused(asking: Caller) -> None:
    refused = await asking.refused(view(asking), prefer='outlook.timezone="Moon/Base"')
    assert refused == (400, "TimeZoneNotSupportedException")


async def test_preferences_are_confirmed(asking: Caller) -> None:
    answer = await asking.ask("GET", view(asking), prefer='IdType="ImmutableId", outlook.timezone="UTC"')
    assert answer.headers["Preference-Applied"] == 'outlook.timezone="UTC", IdType="ImmutableId"'
    assert "Preference-Applied" not in (await asking.ask("GET", view(asking))).headers


async def test_immutable_ids_are_another_form_of_the_same_ids(asking: Caller) -> None:
    plain = [row["id"] for row in await asking.all(view(asking))]
    immutable = [row["id"] for row in await asking.all(view(asking), prefer='IdType="ImmutableId"')]
    assert not set(plain) & set(immutable)
    event = await asking.get(f"/users/{asking.user()}/events/{immutable[3]}?$select=start")
    assert event["id"] == plain[3]
    assert (await asking.refused(f"/users/{asking.user()}/events/none"))[1] == "ErrorItemNotFound"


async def test_an_all_day_event_is_found_by_its_true_instants(asking: Caller) -> None:
    mailbox, zone = "person.0002@sandbox.example", "Asia/Tokyo"
    asking.changes.change_user(mailbox, time_zone=zone)
    day = MIDNIGHT + 400 * DAY
    asking.changes.add_event(mailbox, Item(item_id="a", all_day=True, start=day, end=day + DAY))
    begins = local_midnight(day, ZoneInfo(zone))
    assert await found(asking, mailbox, begins - 3600, begins) == []
    assert await found(asking, mailbox, begins, begins + 60) == ["a"]
    assert await found(asking, mailbox, day + 15 * 3600, day + 20 * 3600) == []


async def found(asking: Caller, mailbox: str, start: int, end: int) -> list[str]:
    printed = [datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in (start, end)]
    url = f"/users/{mailbox}/calendarView?startDateTime={printed[0]}&endDateTime={printed[1]}&$select=start"
    rows: list[dict[str, Any]] = await asking.all(url)
    items = asking.changes.events(mailbox, window=Window(start, end))
    assert len(rows) == len(items)
    return [item.item_id for item in items]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("guest.0001_visitor.example%23EXT%23@sandbox.example", (404, "MailboxNotEnabledForRESTAPI")),
        ("unlicensed.0001@sandbox.example", (404, "MailboxNotEnabledForRESTAPI")),
        ("premises.0001@sandbox.example", (404, "MailboxNotEnabledForRESTAPI")),
        ("denied.0001@sandbox.example", (403, "ErrorAccessDenied")),
        ("nobody@sandbox.example", (404, "ErrorInvalidUser")),
    ],
)
@pytest.mark.parametrize("what", [f"calendarView?{WINDOW}", "mailboxSettings"])
async def test_who_has_no_calendar_here_is_refused_by_its_code(
    asking: Caller, name: str, what: str, expected: tuple[int, str]
) -> None:
    assert await asking.refused(f"/users/{name}/{what}") == expected


async def test_a_missing_permission_is_refused_and_a_listed_mailbox_let_in(asking: Caller) -> None:
    asking.sign_in("User.Read.All")
    assert await asking.refused(view(asking)) == (403, "ErrorAccessDenied")
    asking.changes.allow_mailboxes("person.0001@sandbox.example")
    assert len(await asking.all(view(asking))) == 60
    other = f"/users/person.0002@sandbox.example/calendarView?{WINDOW}"
    assert await asking.refused(other) == (403, "ErrorAccessDenied")


async def test_basic_permission_hides_bodies(asking: Caller) -> None:
    asking.sign_in("Calendars.ReadBasic.All")
    row = (await asking.get(view(asking, "$top=1")))["value"][0]
    assert {"subject", "start"} <= row.keys()
    assert not {"body", "bodyPreview"} & row.keys()


async def test_settings_print_a_windows_zone_and_the_purpose(asking: Caller) -> None:
    settings_of = {
        person.address: await asking.get(f"/users/{person.user_id}/mailboxSettings?$select=timeZone,userPurpose")
        for person in asking.changes.mailboxes()
        if person.reach is Reach.OPEN
    }
    assert settings_of["person.0001@sandbox.example"]["timeZone"] == "W. Europe Standard Time"
    assert {made["userPurpose"] for made in settings_of.values()} == {"user", "room", "equipment", "shared"}


async def test_what_was_asked_is_counted(asking: Caller) -> None:
    await asking.all(view(asking, f"{FREE_BUSY}&$top=20"))
    await asking.get(view(asking, ""))
    counts = asking.state.counts
    assert counts.views == {"person.0001@sandbox.example": 4}
    assert counts.selects["calendarView"] == {FREE_BUSY.partition("=")[2]: 3, "*": 1}
    assert counts.kinds["calendarView"] == counts.total == 4


async def test_too_many_requests_at_once_are_refused_per_mailbox(tmp_path: Path) -> None:

    asking = caller(tmp_path, latency=0.02)
    answers = await asyncio.gather(*(asking.ask("GET", view(asking)) for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [200] * 4 + [429] * 2
    assert asking.state.counts.peaks == {"person.0001@sandbox.example": 5}
    assert asking.state.counts.in_flight == {}
