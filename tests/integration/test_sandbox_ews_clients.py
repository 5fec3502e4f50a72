"""exchangelib's own objects drive the sandbox's EWS over the network and agree with its calendars, item by item.

Every answer they get is compared with Microsoft's schema.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import exchangelib
import pytest
from exchangelib.errors import ErrorCalendarViewRangeTooBig, ErrorExceededFindCountLimit, ErrorItemNotFound
from exchangelib.items import CalendarItem
from exchangelib.protocol import CachingProtocol
from msgspec.structs import replace

from deploy.sandbox import SandboxOptions, server
from deploy.sandbox.directory import Person, Tenant
from deploy.sandbox.ews.expansions import placed
from deploy.sandbox.rendering import IMMUTABLE_ID, View, event_id
from deploy.sandbox.server import Sandbox
from shared.contracts.values import DAY, Window
from tests.ews_schema import problems
from tests.unit.sandbox.asking import NOW
from tests.waiting import until

PERSON = "person.0001@sandbox.example"
MIDNIGHT = NOW - NOW % DAY
START, END = MIDNIGHT - 40 * DAY, MIDNIGHT + 190 * DAY
VIEW = View(prefix=IMMUTABLE_ID)


@pytest.fixture
async def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    options = SandboxOptions(folder=tmp_path, mailboxes=12, events=400, now=NOW)
    running = await server.start(options, clock=lambda: NOW)
    wrong: list[str] = []
    running.state.ews_seen = lambda body: wrong.extend(problems(body))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.ca_file))
    try:
        yield running
        await until(lambda: not running._runner.server.connections)  # those the client closed a moment ago
    finally:
        await running.stop()
    assert wrong == []


def whose(sandbox: Sandbox) -> tuple[Tenant, Person]:
    tenant = next(iter(sandbox.state.tenants.values()))
    person = tenant.person(PERSON)
    assert person is not None
    return tenant, person


def shown(sandbox: Sandbox) -> dict[str, tuple[int, int, bool]]:
    """Return what a person's calendar holds, by the ids that EWS prints."""
    zone = sandbox.state.book(*whose(sandbox)).zone
    return {
        event_id(item.item_id, VIEW): (*placed(item, zone), item.all_day)
        for item in sandbox.events(PERSON)
        if placed(item, zone)[1] >= START and placed(item, zone)[0] < END
    }


@pytest.fixture(params=["basic", "NTLM"])
async def account(request: pytest.FixtureRequest, sandbox: Sandbox) -> AsyncIterator[exchangelib.Account]:
    credentials = exchangelib.Credentials(sandbox.ews_user, sandbox.ews_password)
    configuration = exchangelib.Configuration(
        service_endpoint=sandbox.ews_url,
        credentials=credentials,
        auth_type=request.param,
        retry_policy=exchangelib.FailFast(),
    )
    made = exchangelib.Account(
        PERSON,
        config=configuration,
        access_type=exchangelib.IMPERSONATION,
        default_timezone=exchangelib.EWSTimeZone("Europe/Berlin"),
    )
    yield made
    await asyncio.to_thread(made.protocol.close)
    CachingProtocol.clear_cache()


def when(instant: int) -> exchangelib.EWSDateTime:
    return exchangelib.EWSDateTime.from_datetime(datetime.fromtimestamp(instant, UTC)).astimezone(exchangelib.UTC)


async def viewed(account: exchangelib.Account, end: int = END, *fields: str, **how: Any) -> list[Any]:
    """Return a view, asked for in a thread: the sandbox answers in this one."""

    def view() -> list[Any]:
        found = account.calendar.view(when(START), when(end), **how)
        return list(found.only(*fields) if fields else found)

    return await asyncio.to_thread(view)


async def test_exchangelib_sees_the_whole_view(sandbox: Sandbox, account: exchangelib.Account) -> None:
    seen = {item.id: item for item in await viewed(account, END, "start", "end", "is_all_day", max_items=1000)}
    expected = shown(sandbox)
    assert len(seen) == len(expected) > 300
    zone = account.default_timezone
    for name, (start, end, all_day) in expected.items():
        item = seen[name]
        if all_day:  # whole dates on the mailbox's clock, the last one named
            dates = [datetime.fromtimestamp(instant, zone).date() for instant in (start, end)]
            assert [item.start, item.end + timedelta(days=1)] == dates
        else:
            assert [item.start.timestamp(), item.end.timestamp()] == [start, end]


async def test_exchangelib_reads_every_field(sandbox: Sandbox, account: exchangelib.Account) -> None:
    items = {item.item_id: item for item in sandbox.state.book(*whose(sandbox)).known(Window(START, END))}
    for seen in await viewed(account, max_items=20):
        item = items[seen.id.removeprefix(IMMUTABLE_ID).removesuffix("AA=")]
        assert (seen.subject, seen.location or "", seen.text_body) == (item.subject, item.location, item.body)
        assert item.organizer is not None
        assert seen.organizer.email_address == item.organizer.address
        attendees = [each.mailbox.email_address for each in seen.required_attendees or ()]
        assert attendees == [person.address for person in item.attendees]


async def test_exchangelib_follows_changes(sandbox: Sandbox, account: exchangelib.Account) -> None:
    def changes() -> list[tuple[str, Any]]:
        return list(account.calendar.sync_items(only_fields=["subject"]))

    things = {item.series_id or item.item_id for item in sandbox.events(PERSON)}
    first = await asyncio.to_thread(changes)
    assert len(first) == len(things)
    assert {kind for kind, _ in first} == {"create"}
    single = next(item for item in sandbox.events(PERSON) if item.series_id is None)
    sandbox.change_event(PERSON, single.item_id, subject="changed")
    ((kind, item),) = await asyncio.to_thread(changes)
    assert (kind, item.subject) == ("update", "changed")
    sandbox.delete_event(PERSON, single.item_id)
    ((kind, gone),) = await asyncio.to_thread(changes)
    assert (kind, gone.id) == ("delete", event_id(single.item_id, VIEW))


async def test_exchangelib_reads_who_is_busy(sandbox: Sandbox, account: exchangelib.Account) -> None:
    zone = account.default_timezone
    start, end = (exchangelib.EWSDateTime(2026, 11, day, tzinfo=zone) for day in (2, 30))

    def ask() -> list[Any]:
        people = [(PERSON, "Required", False), ("nobody@sandbox.example", "Required", False)]
        return list(account.protocol.get_free_busy_info(people, start, end, requested_view="DetailedMerged"))

    busy, nobody = await asyncio.to_thread(ask)
    taking = {item.item_id for item in sandbox.events(PERSON) if not item.cancelled and item.response != "declined"}
    expected = sorted(
        (first, last)
        for name, (first, last, _) in shown(sandbox).items()
        if name.removeprefix(IMMUTABLE_ID).removesuffix("AA=") in taking
        and first < end.timestamp()
        and (last > start.timestamp() or first == start.timestamp())
    )
    assert sorted((each.start.timestamp(), each.end.timestamp()) for each in busy.calendar_events) == expected
    assert busy.working_hours_timezone.bias == -60
    assert "ErrorMailRecipientNotFound" in type(nobody).__name__


async def test_exchangelib_meets_the_limits_as_its_own_errors(sandbox: Sandbox, account: exchangelib.Account) -> None:
    with pytest.raises(ErrorCalendarViewRangeTooBig):
        await viewed(account, START + 900 * DAY, max_items=9)
    ids = [CalendarItem(id=event_id("nothing", VIEW), changekey="x")]
    (missing,) = await asyncio.to_thread(lambda: list(account.fetch(ids)))
    assert isinstance(missing, ErrorItemNotFound)
    sandbox.state.options = replace(sandbox.state.options, ews_items=100)
    with pytest.raises(ErrorExceededFindCountLimit):
        await viewed(account)
