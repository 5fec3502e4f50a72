"""The fetcher against the sandbox: what it finds, what it asks for, and what it says when Microsoft misbehaves."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from deploy.sandbox import Fault, FaultKind, RetryForm, Sandbox, SandboxOptions, start
from deploy.sandbox.directory import GROUP_HALF
from deploy.sandbox.directory import Reach as Reachable
from services.fetcher.context import Context
from services.fetcher.polling import publish_due
from services.fetcher.restart import recover
from services.fetcher.settings import Settings
from shared import clock
from shared.contracts.messages import ConnectionDoubted, Message
from shared.contracts.policy import Detail, Policy, Scope
from shared.contracts.values import DAY, Bucket, Window
from shared.tables import enumerations
from tests.unit.fetcher.desk import Desk, addresses, opened, reach_of
from tests.waiting import until


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    started = await start(SandboxOptions(folder=tmp_path / "sandbox", mailboxes=8, events=30, canaries=True))
    started.add_user("guest1@example.org", guest=True)
    started.add_user("nobody1@example.org", reach=Reachable.MISSING)
    started.add_user("premises1@example.org", reach=Reachable.ON_PREMISES)
    started.add_user("denied1@example.org", reach=Reachable.DENIED)
    yield started
    await started.stop()


class Hearing(Desk):
    """A desk that keeps the doubts, which the authorizer would settle."""

    def __init__(self, context: Context, org_id: str) -> None:
        super().__init__(context, org_id)
        self.heard: list[ConnectionDoubted] = []

    def put(self, message: Message, *, message_id: str = "", attempt: int = 1) -> None:
        if isinstance(message, ConnectionDoubted):
            self.heard.append(message)
        else:
            super().put(message, message_id=message_id, attempt=attempt)

    async def later(self, seconds: int) -> None:
        """Read what is due by then, the tenant's pause over."""
        async with self.context.store.write() as connection:
            await connection.execute(update(enumerations).values(paused_until=None))
        self.context.tenants._pauses.drop(self.org_id)
        poster = Poster()
        await publish_due(self.context, poster, clock.now() + seconds)  # type: ignore[arg-type]
        for message in poster.sent:
            self.put(message)
        await self.run()


class Poster:
    """Stands where the broker stands for what is published outside of handlers."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def publish(self, messages: list[Message]) -> None:
        self.sent.extend(messages)

    async def depth(self, _queue: str) -> int:
        return 0


@pytest.fixture
async def desk(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Hearing]:
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, settings=Settings(directory_page=5)) as desk:
        yield Hearing(desk.context, desk.org_id)


@pytest.fixture
async def known(desk: Hearing) -> Hearing:
    """A desk whose mailboxes are found and read once."""
    desk.enumerate()
    await desk.run()
    desk.snapshots.clear()
    return desk


def readable(sandbox: Sandbox) -> list[str]:
    return sorted(person.address for person in sandbox.mailboxes() if not person.guest)


async def test_every_readable_mailbox_is_read_once_and_every_object_has_a_bucket(
    sandbox: Sandbox, desk: Hearing
) -> None:
    desk.enumerate()
    await desk.run()
    assert addresses(desk.snapshots) == readable(sandbox)
    rows = await desk.rows()
    assert len(rows) == len(sandbox.mailboxes(readable=False))
    assert {address for address, row in rows.items() if row.bucket == "active"} == set(readable(sandbox))
    assert {"guest", "no_mailbox", "on_premises", "denied"} <= {row.bucket for row in rows.values()}
    assert all(row.reason for row in rows.values() if row.bucket != "active")
    assert (await desk.enumeration()).finished_at is not None
    assert desk.unreadable == []
    assert desk.retries == []


async def test_a_snapshot_holds_the_calendar_of_the_whole_window(sandbox: Sandbox, desk: Hearing) -> None:
    desk.enumerate()
    await desk.run()
    window = Policy().window_at(clock.now())
    for address, snapshot in desk.latest().items():
        assert snapshot.window == window
        timed = sorted((event.start, event.end) for event in snapshot.events if not event.all_day)
        expected = [item for item in sandbox.events(address, window=window) if not item.all_day]
        assert timed == sorted((item.start, item.end) for item in expected)
        assert snapshot.mailbox.time_zone


async def test_only_what_the_policy_allows_is_asked_for(sandbox: Sandbox, desk: Hearing) -> None:
    desk.enumerate()
    await desk.run()
    asked = {name.lower() for names in sandbox.requests.selects["calendarView"] for name in names.split(",")}
    assert asked == {"start", "end", "showas", "isallday", "iscancelled", "responsestatus"}
    assert set(sandbox.requests.selects["mailboxSettings"]) == {"timeZone,userPurpose,workingHours"}
    said = repr(desk.snapshots)
    assert not [canary for canary in sandbox.canaries if canary in said]


async def test_details_hold_what_is_published_and_nothing_else(
    sandbox: Sandbox, sqlite_url: str, tmp_path: Path
) -> None:
    policy = Policy(detail=Detail.DETAILS, days_back=7, days_ahead=30)
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, policy=policy) as desk:
        desk.enumerate()
        await desk.run()
        events = [event for snapshot in desk.snapshots for event in snapshot.events]
        assert events
        assert all(event.details is not None and event.details.event_id for event in events)
        assert not re.search(r"canary-[^'\" ]*(category|join)", repr(events))
        for snapshot in desk.snapshots:
            ids = [event.details.event_id for event in snapshot.events if event.details]
            assert len(ids) == len(set(ids))


async def test_a_second_enumeration_reads_nobody_again(sandbox: Sandbox, known: Hearing) -> None:
    views = sum(sandbox.requests.views.values())
    known.enumerate()
    await known.run()
    assert known.snapshots == []
    assert known.unreadable == []
    assert sum(sandbox.requests.views.values()) == views


async def test_a_page_handled_twice_does_no_harm(desk: Hearing) -> None:
    message = desk.enumerate()
    desk.put(message)
    await desk.run()
    rows = await desk.rows()
    assert sum(row.bucket == "active" for row in rows.values()) == 8
    assert set(addresses(desk.snapshots)) == {address for address, row in rows.items() if row.bucket == "active"}
    assert desk.unreadable == []


async def test_a_newcomer_is_read_and_who_left_is_taken_back(sandbox: Sandbox, known: Hearing) -> None:
    gone = readable(sandbox)[0]
    sandbox.remove_user(gone)
    sandbox.add_user("newcomer@example.org")
    known.enumerate()
    await known.run()
    assert addresses(known.snapshots) == ["newcomer@example.org"]
    assert addresses(known.unreadable) == [gone]
    assert (known.unreadable[0].bucket, known.unreadable[0].reason) == (Bucket.REMOVED, "left_directory")
    assert known.unreadable[0].version == 2
    row = (await known.rows())[gone]
    assert (row.bucket, row.due_at, row.lease_id) == ("removed", None, None)


async def test_who_comes_back_is_read_again(sandbox: Sandbox, known: Hearing) -> None:
    address = readable(sandbox)[0]
    sandbox.change_user(address, guest=True)
    known.enumerate()
    await known.run()
    assert [(each.mailbox.address, each.bucket) for each in known.unreadable] == [(address, Bucket.GUEST)]
    sandbox.change_user(address, guest=False)
    known.enumerate()
    await known.run()
    assert addresses(known.snapshots) == [address]
    assert known.snapshots[0].version > known.unreadable[0].version


async def test_a_stricter_policy_takes_excluded_people_back_and_reads_the_rest_anew(
    sandbox: Sandbox, known: Hearing
) -> None:
    out, rest = readable(sandbox)[0], readable(sandbox)[1:]
    await known.change_org(policy=Policy(scope=Scope(exclude=(out,))))
    known.enumerate()
    await known.run()
    assert [(each.mailbox.address, each.reason) for each in known.unreadable] == [(out, "excluded_by_list")]
    assert addresses(known.snapshots) == rest
    assert {each.generation for each in known.snapshots} | {each.generation for each in known.unreadable} == {2}


@pytest.mark.parametrize("live", [True, False])
async def test_nobody_is_read_under_a_new_policy_before_the_directory_was_searched_under_it(
    sandbox: Sandbox, known: Hearing, live: bool
) -> None:
    out, other = readable(sandbox)[:2]
    rows = await known.rows()
    await known.change_org(policy=Policy(scope=Scope(exclude=(out,))))
    for address in (out, other):  # what a notification or a poll asks for meanwhile
        known.ask(rows[address].mailbox_id, since=clock.now() + 1, live=live)
    await known.run()
    assert known.snapshots == []
    known.enumerate()
    await known.run()
    assert addresses(known.snapshots) == readable(sandbox)[1:]
    assert addresses(known.unreadable) == [out]
    known.ask(rows[other].mailbox_id, since=clock.now() + 1, live=live)
    await known.run()
    assert addresses(known.snapshots).count(other) == 2


async def test_what_was_asked_under_an_older_generation_is_not_read(sandbox: Sandbox, known: Hearing) -> None:
    row = (await known.rows())[readable(sandbox)[0]]
    known.ask(row.mailbox_id, since=clock.now() + 1)
    known.enumerate()
    await known.change_org()
    asked = sandbox.requests.total
    await known.run()
    assert known.snapshots == []
    assert sandbox.requests.total == asked


async def test_a_disconnected_org_is_left_alone(sandbox: Sandbox, known: Hearing) -> None:
    await known.change_org(state="refused")
    known.enumerate()
    asked = sandbox.requests.total
    await known.run()
    assert sandbox.requests.total == asked


async def test_a_message_that_overtook_its_generation_waits(known: Hearing) -> None:
    known.generation = 2
    known.enumerate()
    await known.step()
    assert [retry.reason for retry in known.retries] == ["generation_ahead"]
    known.generation = 1
    await known.change_org()
    await known.run()
    assert len(known.snapshots) == 8


async def test_groups_narrow_the_scope(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> None:
    tenant = sandbox.state.tenants[sandbox.tenant_id]
    group = GROUP_HALF
    members = sorted(person.address for person in tenant.members(group) if person.reach is Reachable.OPEN)
    extra = next(address for address in readable(sandbox) if address not in members)
    policy = Policy(scope=Scope(groups=(group, "99999999-0000-0000-0000-000000000000"), include=(extra,)))
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, policy=policy) as desk:
        desk.enumerate()
        await desk.run()
        guests = [person.address for person in tenant.members(group) if person.guest]
        assert addresses(desk.snapshots) == sorted({*members, extra} - set(guests))
        assert (await desk.enumeration()).last_error == "scope_group_missing"
        assert {row.bucket for row in (await desk.rows()).values()} >= {"active", "excluded"}


async def test_rooms_that_may_not_be_listed_are_skipped_and_told(sandbox: Sandbox, desk: Hearing) -> None:
    sandbox.set_roles("Calendars.Read", "MailboxSettings.Read", "User.Read.All")
    desk.enumerate()
    await desk.run()
    assert addresses(desk.snapshots) == readable(sandbox)
    run = await desk.enumeration()
    assert (run.last_error, run.finished_at is not None) == ("rooms_forbidden", True)


async def test_without_the_permission_for_settings_everybody_is_tried(sandbox: Sandbox, desk: Hearing) -> None:
    sandbox.set_roles("Calendars.Read", "Place.Read.All", "User.Read.All")
    desk.enumerate()
    await desk.run()
    assert addresses(desk.snapshots) == readable(sandbox)
    assert {(each.mailbox.time_zone, each.mailbox.working_hours) for each in desk.snapshots} == {("", None)}
    await desk.later(21)  # a mailbox that turns its first reading away may put the organisation in doubt
    rows = await desk.rows()
    assert {row.bucket for row in rows.values()} >= {"active", "denied", "no_mailbox"}


FAULTS = {
    "429, whole seconds": Fault(kind=FaultKind.THROTTLE, seconds=0, share=0.4, times=20, match="(users|batch)"),
    "429, a fraction": Fault(
        kind=FaultKind.THROTTLE, seconds=0.2, share=0.4, times=20, retry_form=RetryForm.FRACTION, match="users/"
    ),
    "503": Fault(kind=FaultKind.ERROR, status=503, share=0.3, times=12),
    "500 of one page": Fault(kind=FaultKind.ERROR, status=500, match="calendarView", times=3),
    "HTML": Fault(kind=FaultKind.HTML, share=0.3, times=12),
    "truncated": Fault(kind=FaultKind.TRUNCATED, share=0.3, times=12),
    "dropped": Fault(kind=FaultKind.DROP, share=0.3, times=12),
    "401": Fault(kind=FaultKind.UNAUTHORIZED, match="calendarView", times=4),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_whatever_passes_by_ends_in_the_same_snapshots(
    name: str, sandbox: Sandbox, sqlite_url: str, tmp_path: Path
) -> None:
    settings = Settings(directory_page=5, tries=8)
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, settings=settings) as desk:
        sandbox.order(FAULTS[name])
        desk.enumerate()
        await desk.run()
        assert set(addresses(desk.snapshots)) == set(readable(sandbox))
        assert desk.unreadable == []
        window = Policy().window_at(clock.now())
        for address, snapshot in desk.latest().items():
            assert len(snapshot.events) == len(sandbox.events(address, window=window))


async def test_a_mailbox_that_keeps_failing_is_told_once_its_tries_are_over_and_heals(
    sandbox: Sandbox, known: Hearing
) -> None:
    address = readable(sandbox)[0]
    mailbox_id = (await known.rows())[address].mailbox_id
    order = sandbox.order(Fault(kind=FaultKind.ERROR, status=504, mailbox=address))
    known.ask(mailbox_id, since=clock.now() + 1)
    await known.run()
    assert [(each.mailbox.address, each.bucket) for each in known.unreadable] == [(address, Bucket.FAILING)]
    assert len(known.retries) == known.context.settings.tries - 1
    row = (await known.rows())[address]
    assert (row.bucket, row.reason, row.failures, row.lease_id) == ("failing", "server_error", 1, None)
    assert row.due_at > clock.now() + 600
    sandbox.clear_faults(order)
    known.ask(mailbox_id, since=clock.now() + 1)
    await known.run()
    assert addresses(known.snapshots) == [address]
    assert known.snapshots[0].version > known.unreadable[0].version
    assert ((await known.rows())[address].bucket, (await known.rows())[address].failures) == ("active", 0)


async def test_a_mailbox_that_is_denied_puts_the_connection_in_doubt_first_and_is_told_the_second_time(
    sandbox: Sandbox, known: Hearing
) -> None:
    address = readable(sandbox)[0]
    sandbox.change_user(address, reach=Reachable.DENIED)
    known.ask((await known.rows())[address].mailbox_id, since=clock.now() + 1)
    await known.run()
    assert [doubt.reason for doubt in known.heard] == ["access_denied"]
    row = (await known.rows())[address]
    assert (row.bucket, row.failures, known.unreadable) == ("active", 1, [])
    await known.later(21)
    assert [(each.mailbox.address, each.bucket) for each in known.unreadable] == [(address, Bucket.DENIED)]
    assert len(known.heard) == 1
    assert known.retries == []


async def test_a_denied_mailbox_that_leaves_the_scope_is_taken_back(sandbox: Sandbox, known: Hearing) -> None:
    address = readable(sandbox)[0]
    sandbox.change_user(address, reach=Reachable.DENIED)
    known.ask((await known.rows())[address].mailbox_id, since=clock.now() + 1)
    await known.run()
    await known.later(21)
    await known.change_org(policy=Policy(scope=Scope(exclude=(address,))))
    known.enumerate()
    await known.run()
    told = [(each.mailbox.address, each.bucket, each.generation) for each in known.unreadable]
    assert told == [(address, Bucket.DENIED, 1), (address, Bucket.EXCLUDED, 2)]


async def test_throttling_of_one_mailbox_costs_it_no_try(sandbox: Sandbox, known: Hearing) -> None:
    address = readable(sandbox)[0]
    mailbox_id = (await known.rows())[address].mailbox_id
    sandbox.order(Fault(kind=FaultKind.THROTTLE, mailbox=address, seconds=7, times=12))
    known.ask(mailbox_id, since=clock.now() + 1)
    await known.run()
    assert addresses(known.snapshots) == [address]
    assert [(retry.reason, retry.after, retry.counted) for retry in known.retries] == [("throttled", 7.0, False)] * 12


async def test_throttling_of_the_directory_leaves_the_tenant_alone(sandbox: Sandbox, known: Hearing) -> None:
    address = readable(sandbox)[0]
    sandbox.order(Fault(kind=FaultKind.THROTTLE, match=r"/users\?", seconds=30, times=1))
    known.enumerate()
    await known.step()
    asked = sandbox.requests.total
    known.ask((await known.rows())[address].mailbox_id, since=clock.now() + 1)
    await known.step()
    await known.step()
    assert sandbox.requests.total == asked
    assert [retry.reason for retry in known.retries] == ["directory_throttled", "tenant_paused", "tenant_paused"]
    assert not any(retry.counted for retry in known.retries)


async def test_a_lost_consent_puts_the_connection_in_doubt_and_says_nothing_of_the_mailbox(
    sandbox: Sandbox, known: Hearing
) -> None:
    address = readable(sandbox)[0]
    sandbox.revoke()
    known.ask((await known.rows())[address].mailbox_id, since=clock.now() + 1)
    await known.step()
    assert len(known.heard) == 1
    assert (known.retries, known.unreadable, list(known.queue)) == ([], [], [])
    row = (await known.rows())[address]
    assert (row.bucket, row.failures, row.lease_id) == ("active", 0, None)
    assert 15 < row.due_at - clock.now() <= 20


async def test_hints_during_a_reading_become_one_more_reading(sandbox: Sandbox, known: Hearing) -> None:
    address = readable(sandbox)[0]
    mailbox_id = (await known.rows())[address].mailbox_id
    sandbox.order(Fault(kind=FaultKind.SLOW, mailbox=address, seconds=0.4, times=1))
    since = clock.now() + 1
    known.ask(mailbox_id, since=since)
    for _ in range(20):
        known.ask(mailbox_id, since=since, live=True)
    await known.run(at_once=21)
    assert len(known.snapshots) == 1
    poster = Poster()
    await publish_due(known.context, poster, clock.now() + 1)  # type: ignore[arg-type]
    assert [(message.mailbox_id, message.live) for message in poster.sent] == [(mailbox_id, True)]


async def test_due_mailboxes_are_read_behind_hints_and_once(known: Hearing) -> None:
    poster = Poster()
    later = clock.now() + DAY
    await publish_due(known.context, poster, later)  # type: ignore[arg-type]
    await publish_due(known.context, poster, later + 1)  # type: ignore[arg-type]
    assert [(message.live, message.since) for message in poster.sent] == [(False, later)] * 8


async def test_a_crash_between_publishing_and_remembering_repeats_the_reading(sandbox: Sandbox, known: Hearing) -> None:
    address = readable(sandbox)[0]
    mailbox_id = (await known.rows())[address].mailbox_id
    message = known.ask(mailbox_id, since=clock.now() + 1)
    _, delivery = known.queue.popleft()
    first = await known.handle(message, delivery)
    again = await known.handle(message, delivery)
    await known.settle(again)
    versions = [snapshot.version for snapshot in (first.messages[0], again.messages[0])]  # type: ignore[union-attr]
    assert versions == [2, 3]
    assert first.commit is not None
    await first.commit()
    row = (await known.rows())[address]
    assert (row.version, row.lease_id) == (3, None)


async def test_a_mailbox_leaving_while_it_is_read_is_not_published_by_that_reading(
    sandbox: Sandbox, known: Hearing
) -> None:
    address = readable(sandbox)[0]
    mailbox_id = (await known.rows())[address].mailbox_id
    sandbox.order(Fault(kind=FaultKind.SLOW, match="calendarView", mailbox=address, seconds=0.5, times=1))
    sandbox.change_user(address, guest=True)
    message = known.ask(mailbox_id, since=clock.now() + 1)
    _, delivery = known.queue.popleft()
    reading = asyncio.create_task(known.handle(message, delivery))

    async def is_claimed() -> bool:
        return (await known.rows())[address].lease_id is not None

    await until(is_claimed)
    known.enumerate()
    await known.run()
    await known.settle(await reading)
    assert known.snapshots[0].version < known.unreadable[0].version
    assert (await known.rows())[address].bucket == "guest"


async def test_an_empty_directory_is_not_believed(sandbox: Sandbox, known: Hearing) -> None:
    for person in sandbox.mailboxes(readable=False):
        sandbox.remove_user(person.address or person.upn)
    known.enumerate()
    await known.run()
    assert known.unreadable == []
    assert (await known.enumeration()).last_error == "directory_empty"


async def test_a_process_with_a_forgetful_broker_begins_anew(sandbox: Sandbox, known: Hearing) -> None:
    address = readable(sandbox)[0]
    sandbox.change_user(address, guest=True)
    known.enumerate()
    await known.run()
    poster = Poster()
    await recover(known.context, poster, clock.now())  # type: ignore[arg-type]
    assert [(message.mailbox.address, message.version) for message in poster.sent] == [(address, 3)]
    poster.sent.clear()
    await publish_due(known.context, poster, clock.now())  # type: ignore[arg-type]
    assert len(poster.sent) == 7


async def test_a_window_of_many_years_is_read_in_spans_and_no_event_twice(
    sandbox: Sandbox, sqlite_url: str, tmp_path: Path
) -> None:
    today = clock.now() - clock.now() % DAY
    window = Window(today - 3650 * DAY + 3600, today + 1900 * DAY)
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, policy=Policy(window=window)) as desk:
        desk.enumerate()
        await desk.run()
        for address, snapshot in desk.latest().items():
            items = sandbox.events(address, window=window)
            assert len(snapshot.events) == len(items)
        assert max(sandbox.requests.views.values()) == 4
