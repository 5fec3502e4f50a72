"""exchangelib's own objects and our decoders see the same at the same server, item by item."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import exchangelib
import pytest
from exchangelib.items import CalendarItem
from exchangelib.protocol import CachingProtocol

from deploy.sandbox import Sandbox, SandboxOptions, start
from shared.contracts.messages import RawEvent
from shared.contracts.values import DAY, Window
from shared.ews import envelopes
from shared.ews.availability import availability
from shared.ews.calendar_view import SHOWS, details, view
from shared.ews.changes import changes
from shared.ews.credential import EwsCredential
from shared.ews.dialling import surroundings
from shared.ews.people import members, names, room_lists, rooms
from shared.ews.sessions import Affinity, Door
from shared.ews.streaming import heard, subscription
from tests.integration.exchange_bench import left
from tests.unit.sandbox.asking import NOW
from tests.waiting import until

PERSON, OTHER, NOBODY = (f"{name}@sandbox.example" for name in ("person.0001", "person.0002", "nobody.here"))
MIDNIGHT = NOW - NOW % DAY
WINDOW = Window(MIDNIGHT - 40 * DAY, MIDNIGHT + 190 * DAY)
MONTH = Window(MIDNIGHT - 10 * DAY, MIDNIGHT + 20 * DAY)
FIELDS = (
    "subject", "start", "end", "is_all_day", "legacy_free_busy_status", "sensitivity", "is_cancelled",
    "my_response_type", "location",
)  # fmt: skip
RESPONSES = {
    "Unknown": "none", "Organizer": "organizer", "Tentative": "tentativelyAccepted", "Accept": "accepted",
    "Decline": "declined", "NoResponseReceived": "notResponded",
}  # fmt: skip


@pytest.fixture
async def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    running = await start(SandboxOptions(folder=tmp_path, mailboxes=12, events=300, now=NOW), clock=lambda: NOW)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.ca_file))
    yield running
    await until(lambda: left(running))
    await running.stop()


@pytest.fixture
async def account(sandbox: Sandbox) -> AsyncIterator[exchangelib.Account]:
    configuration = exchangelib.Configuration(
        service_endpoint=sandbox.ews_url,
        credentials=exchangelib.Credentials(sandbox.ews_user, sandbox.ews_password),
        auth_type=exchangelib.BASIC,
        retry_policy=exchangelib.FailFast(),
        version=exchangelib.Version(build=exchangelib.Build(15, 2, 1748, 10)),
        max_connections=2,  # one of them for a stream
    )
    made = exchangelib.Account(
        PERSON, config=configuration, access_type=exchangelib.IMPERSONATION, default_timezone=exchangelib.UTC
    )
    yield made
    await asyncio.to_thread(made.protocol.close)
    CachingProtocol.clear_cache()


@pytest.fixture
async def door(sandbox: Sandbox) -> AsyncIterator[Door]:
    made = Door(
        endpoint=sandbox.ews_url,
        scheme="basic",
        credential=EwsCredential(username=sandbox.ews_user, password=sandbox.ews_password),
        surroundings=surroundings(str(sandbox.ca_file), "127.0.0.0/8"),
    )
    yield made
    made.close()


def moment(instant: int) -> exchangelib.EWSDateTime:
    return exchangelib.EWSDateTime.from_datetime(datetime.fromtimestamp(instant, UTC)).astimezone(exchangelib.UTC)


def told(event: RawEvent) -> tuple[Any, ...]:
    """Return what our decoder made of an item; of an all-day one the instants are compared apart."""
    assert event.details is not None
    times = () if event.all_day else (event.start, event.end)
    words = (event.show_as, event.sensitivity, event.cancelled, event.response)
    return (*times, event.all_day, *words, event.details.subject, event.details.location)


def seen(item: Any) -> tuple[Any, ...]:
    """Return what exchangelib made of it."""
    times = () if item.is_all_day else (int(item.start.timestamp()), int(item.end.timestamp()))
    words = (
        SHOWS[item.legacy_free_busy_status], item.sensitivity.lower(), bool(item.is_cancelled),
        RESPONSES[item.my_response_type],
    )  # fmt: skip
    return (*times, item.is_all_day, *words, item.subject or "", item.location or "")


async def test_a_view_is_the_same_item_by_item(account: exchangelib.Account, door: Door) -> None:
    def theirs() -> dict[str, tuple[Any, ...]]:
        found = account.calendar.view(moment(WINDOW.start), moment(WINDOW.end), max_items=1000)
        return {item.id: seen(item) for item in found.only(*FIELDS)}

    ours = await door.ask(envelopes.calendar_view(PERSON, WINDOW, details=True), view)
    expected = await asyncio.to_thread(theirs)
    assert ours.complete
    assert {event.details.event_id: told(event) for event in ours.events if event.details} == expected
    assert len(ours.events) == len(expected) > 250
    kinds = {(event.all_day, event.cancelled, event.sensitivity) for event in ours.events}
    assert len(kinds) > 4  # there was something to tell apart


async def test_the_dates_of_all_day_items_are_the_instants_we_read(
    sandbox: Sandbox, account: exchangelib.Account, door: Door
) -> None:
    zone = sandbox.state.book(*_whose(sandbox)).zone

    def theirs() -> dict[str, tuple[Any, Any]]:
        found = account.calendar.view(moment(WINDOW.start), moment(WINDOW.end), max_items=1000)
        chosen = found.only("start", "end", "is_all_day")
        return {item.id: (item.start, item.end) for item in chosen if item.is_all_day}

    account.default_timezone = exchangelib.EWSTimeZone(str(zone))
    ours = await door.ask(envelopes.calendar_view(PERSON, WINDOW, details=True), view)
    dates = {
        event.details.event_id: tuple(datetime.fromtimestamp(at, zone).date() for at in (event.start, event.end - 1))
        for event in ours.events
        if event.all_day and event.details
    }
    assert dates == await asyncio.to_thread(theirs)
    assert len(dates) > 3


async def test_organizers_and_attendees_are_the_same(account: exchangelib.Account, door: Door) -> None:
    listed = (await door.ask(envelopes.calendar_view(PERSON, MONTH, details=True), view)).events
    ids = [event.details.event_id for event in listed if event.details][:20]
    ours = await door.ask(envelopes.item_details(PERSON, ids, conferencing=False), details)

    def theirs() -> dict[str, tuple[str, list[str]]]:
        wanted = [CalendarItem(id=each, changekey="x") for each in ids]
        fields = ("organizer", "required_attendees", "optional_attendees")
        found = list(account.fetch(wanted, only_fields=fields))
        return {item.id: (_organizer(item), _invited(item)) for item in found}

    expected = await asyncio.to_thread(theirs)
    assert ours.keys() == expected.keys()
    for name, found in ours.items():
        assert not isinstance(found, Exception)
        assert (found.organizer, list(found.attendees)) == expected[name]


async def test_the_same_changes_are_followed(sandbox: Sandbox, account: exchangelib.Account, door: Door) -> None:
    async def theirs() -> int:
        return len(await asyncio.to_thread(lambda: list(account.calendar.sync_items(only_fields=["subject"]))))

    async def ours(state: str) -> tuple[str, int]:
        found = await door.ask(envelopes.sync_items(PERSON, state), changes)
        assert found.complete
        return found.state, found.count

    state, count = await ours("")
    assert count == await theirs() > 50
    single = [item for item in sandbox.events(PERSON) if item.series_id is None]
    sandbox.change_event(PERSON, single[0].item_id, subject="changed")
    sandbox.delete_event(PERSON, single[1].item_id)
    state, count = await ours(state)
    assert count == await theirs() == 2
    assert (await ours(state))[1] == await theirs() == 0


async def test_who_is_busy_is_the_same_and_each_one_has_their_own_error(
    account: exchangelib.Account, door: Door
) -> None:
    asked = (PERSON, OTHER, NOBODY)

    def theirs() -> list[Any]:
        people = [(address, "Required", False) for address in asked]
        start, end = moment(MONTH.start), moment(MONTH.end)
        return list(account.protocol.get_free_busy_info(people, start, end, requested_view="FreeBusy"))

    ours = await door.ask(envelopes.free_busy(asked, MONTH), availability)
    expected = await asyncio.to_thread(theirs)
    assert len(ours) == len(expected) == 3
    for answer, known in zip(ours[:2], expected[:2], strict=True):
        events = [
            (int(each.start.timestamp()), int(each.end.timestamp()), SHOWS[each.busy_type])
            for each in known.calendar_events
        ]
        assert [(event.start, event.end, event.show_as) for event in answer.events] == events
        assert len(events) > 10
    assert ours[2].error is not None
    assert ours[2].error.code == type(expected[2]).__name__


async def test_a_change_is_heard_by_both(sandbox: Sandbox, account: exchangelib.Account, door: Door) -> None:
    sandbox.ews.behave(minute=3.0)  # seconds that a connection of a minute lasts
    calendar, group = await asyncio.to_thread(lambda: account.calendar), Affinity()
    theirs_id = await asyncio.to_thread(calendar.subscribe_to_streaming)
    ours_id = await door.ask(envelopes.subscribe(PERSON), subscription, group=group)
    told_us: list[str] = []
    told_them: list[str] = []

    def theirs() -> None:
        for notification in calendar.get_streaming_events(theirs_id, connection_timeout=1):
            told_them.extend(type(event).__name__ for event in notification.events)

    hearing = asyncio.create_task(
        door.hold(
            envelopes.streaming_events([ours_id], minutes=1, mailbox=PERSON),
            lambda chunks: heard(chunks, told_us.append),
            seconds=30,
            group=group,
        )
    )
    their_task = asyncio.create_task(asyncio.to_thread(theirs))
    await until(lambda: sum(sandbox.state.ews.listeners.connected.values()) == 2)
    item = next(item for item in sandbox.events(PERSON) if item.series_id is None)
    sandbox.change_event(PERSON, item.item_id, subject="changed")
    sandbox.delete_event(PERSON, item.item_id)
    ended = await hearing
    await their_task
    assert ended.closed
    assert [name for name in told_them if name != "StatusEvent"] == ["ModifiedEvent", "DeletedEvent"]
    assert set(told_us) == {ours_id}


async def test_names_groups_and_rooms_are_the_same(sandbox: Sandbox, account: exchangelib.Account, door: Door) -> None:
    protocol = account.protocol

    def theirs() -> tuple[Any, ...]:
        people = protocol.resolve_names([PERSON])
        group = [each for each in protocol.expand_dl(sandbox.ews_scope) if each.mailbox_type == "Mailbox"]
        lists = list(protocol.get_roomlists())
        places = [each for one in lists for each in protocol.get_rooms(one.email_address)]
        return tuple(_addresses(each) for each in (people, group, lists, places))

    (one,) = lists = await door.ask(envelopes.room_lists(), room_lists)
    ours = (
        await door.ask(envelopes.resolve_names(PERSON), names),
        (await door.ask(envelopes.expand_group(sandbox.ews_scope), members)).people,
        lists,
        await door.ask(envelopes.rooms(one.address), rooms),
    )
    found = tuple({each.address for each in some} for some in ours)
    assert found == await asyncio.to_thread(theirs)
    assert all(found)


def _whose(sandbox: Sandbox) -> tuple[Any, Any]:
    tenant = next(iter(sandbox.state.tenants.values()))
    return tenant, tenant.person(PERSON)


def _organizer(item: Any) -> str:
    return item.organizer.email_address if item.organizer else ""


def _invited(item: Any) -> list[str]:
    both = (*(item.required_attendees or ()), *(item.optional_attendees or ()))
    return [each.mailbox.email_address for each in both]


def _addresses(some: Any) -> set[str]:
    return {str(each.email_address).lower() for each in some}
