"""The directory is followed, against the sandbox: who joins, leaves, comes back, or is called otherwise."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from deploy.sandbox import Fault, FaultKind, Sandbox, SandboxOptions, start
from deploy.sandbox.directory import GROUP_HALF, Hours
from deploy.sandbox.directory import Reach as Reachable
from services.fetcher import enumeration
from services.fetcher.settings import Settings
from shared import clock
from shared.broker import Outgoing
from shared.contracts.policy import Policy, Scope
from shared.contracts.values import Bucket, Kind
from shared.tables import mailboxes
from tests.unit.fetcher.desk import Desk, addresses, opened, reach_of

SHORT = Hours(start=600, end=720)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    started = await start(SandboxOptions(folder=tmp_path / "sandbox", mailboxes=8, events=3))
    yield started
    await started.stop()


@pytest.fixture
async def known(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk whose mailboxes are found and read once."""
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, settings=Settings(directory_page=5)) as desk:
        await follow(desk)
        desk.snapshots.clear()
        yield desk


async def follow(desk: Desk) -> None:
    desk.enumerate()
    await desk.run()


def people(sandbox: Sandbox) -> list[str]:
    return sorted(person.address for person in sandbox.mailboxes() if person.kind is Kind.USER)


def told(desk: Desk) -> list[tuple[str, str, str]]:
    return sorted((each.mailbox.address, each.bucket.value, each.reason) for each in desk.unreadable)


async def test_a_joiner_is_read_at_once_and_nobody_else(sandbox: Sandbox, known: Desk) -> None:
    sandbox.add_user("joiner@example.org", time_zone="Europe/Berlin")
    await follow(known)
    assert addresses(known.snapshots) == ["joiner@example.org"]


async def test_a_room_that_is_added_is_read_as_a_room(sandbox: Sandbox, known: Desk) -> None:
    sandbox.add_user("newroom@example.org", kind=Kind.ROOM)
    await follow(known)
    assert [(each.mailbox.address, each.mailbox.kind) for each in known.snapshots] == [
        ("newroom@example.org", Kind.ROOM)
    ]


async def test_whoever_leaves_ends_in_the_right_bucket_for_the_right_reason(sandbox: Sandbox, known: Desk) -> None:
    gone, guest, closed, moved, *_ = people(sandbox)
    sandbox.remove_user(gone)
    sandbox.change_user(guest, guest=True)
    sandbox.change_user(closed, reach=Reachable.MISSING)
    sandbox.change_user(moved, reach=Reachable.ON_PREMISES)
    await follow(known)
    assert told(known) == sorted(
        [
            (gone, "removed", "left_directory"),
            (guest, "guest", "guest"),
            (closed, "no_mailbox", "no_mailbox"),
            (moved, "on_premises", "hosted_on_premises"),
        ]
    )
    rows = await known.rows()
    assert {(rows[each].bucket, rows[each].reason) for each in (gone, guest, closed, moved)} == {
        (bucket, reason) for _, bucket, reason in told(known)
    }
    assert {(rows[each].due_at, rows[each].lease_id) for each in (gone, guest, closed, moved)} == {(None, None)}
    known.unreadable.clear()
    await follow(known)
    assert (known.unreadable, known.snapshots) == ([], [])


async def test_whoever_comes_back_is_read(sandbox: Sandbox, known: Desk) -> None:
    address = people(sandbox)[0]
    for reach in (Reachable.MISSING, Reachable.OPEN):
        sandbox.change_user(address, reach=reach)
        await follow(known)
    assert addresses(known.snapshots) == [address]
    assert known.snapshots[0].version > known.unreadable[0].version


@pytest.mark.parametrize(
    "change",
    [{"mail": "renamed@example.org"}, {"kind": Kind.SHARED}, {"time_zone": "Asia/Tokyo"}, {"working_hours": SHORT}],
    ids=["address", "kind", "time zone", "hours"],
)
async def test_a_mailbox_that_changes_its_address_kind_zone_or_hours_is_read_once_more_under_the_same_generation(
    sandbox: Sandbox, known: Desk, change: dict[str, Any]
) -> None:
    address = people(sandbox)[0]
    before = (await known.rows())[address]
    person = sandbox.change_user(address, **change)
    await follow(known)
    (snapshot,) = known.snapshots
    assert (snapshot.mailbox.mailbox_id, snapshot.generation) == (before.mailbox_id, 1)
    assert snapshot.mailbox.address == person.address
    mailbox = snapshot.mailbox
    assert (mailbox.kind, mailbox.time_zone) != (before.kind, before.time_zone) or change.keys() & {
        "mail",
        "working_hours",
    }
    assert mailbox.working_hours is not None
    assert {(each.start, each.end) for each in mailbox.working_hours.periods} == (
        {(600, 720)} if "working_hours" in change else {(480, 1020)}
    )
    assert known.unreadable == []
    await follow(known)
    assert len(known.snapshots) == 1


async def test_two_mailboxes_that_swap_their_addresses_are_both_read_again(sandbox: Sandbox, known: Desk) -> None:
    one, other = people(sandbox)[:2]
    rows = await known.rows()
    ids = {one: rows[one].mailbox_id, other: rows[other].mailbox_id}
    sandbox.change_user(ids[one], mail=other)
    sandbox.change_user(ids[other], mail=one)
    await follow(known)
    found = {each.mailbox.mailbox_id: each.mailbox.address for each in known.snapshots}
    assert found == {ids[one]: other, ids[other]: one}
    assert len(await known.rows()) == len(rows)
    assert known.unreadable == []


async def test_a_mailbox_whose_mail_vanishes_is_named_by_its_sign_in(sandbox: Sandbox, known: Desk) -> None:
    address = people(sandbox)[0]
    person = sandbox.change_user(address, mail=None, upn="signin@example.org")
    await follow(known)
    assert [(each.mailbox.address, each.mailbox.mailbox_id) for each in known.snapshots] == [
        ("signin@example.org", person.user_id)
    ]


async def test_a_mailbox_that_no_message_could_name_leaves(sandbox: Sandbox, known: Desk) -> None:
    address = people(sandbox)[0]
    sandbox.change_user(address, mail=None, upn="no sign-in")
    await follow(known)
    assert told(known) == [(address, "no_mailbox", "no_address")]


async def test_an_erased_mailbox_is_never_asked_for_again(sandbox: Sandbox, known: Desk) -> None:
    address = people(sandbox)[0]
    mailbox_id = (await known.rows())[address].mailbox_id
    values = {"bucket": "excluded", "reason": "erased", "address": "", "due_at": None, "lease_id": None}
    async with known.context.store.write() as connection:
        await connection.execute(update(mailboxes).where(mailboxes.c.mailbox_id == mailbox_id).values(values))
    asked = sandbox.requests.mailboxes[address]
    await follow(known)
    sandbox.remove_user(address)
    await follow(known)
    row = (await known.rows())[mailbox_id]
    assert (row.bucket, row.reason, row.address) == ("excluded", "erased", "")
    assert sandbox.requests.mailboxes[address] == asked > 0
    assert (known.snapshots, known.unreadable) == ([], [])


async def test_whoever_leaves_a_scope_group_is_taken_back_and_whoever_enters_it_is_read(
    sandbox: Sandbox, sqlite_url: str, tmp_path: Path
) -> None:
    tenant = sandbox.state.tenants[sandbox.tenant_id]
    group = tenant.groups[GROUP_HALF]
    inside = [person for person in tenant.members(GROUP_HALF) if person.reach is Reachable.OPEN and not person.guest]
    outside = next(person for person in sandbox.mailboxes() if person.user_id not in group.members)
    policy = Policy(scope=Scope(groups=(GROUP_HALF,)))
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, policy=policy) as desk:
        await follow(desk)
        desk.snapshots.clear()
        kept = tuple(name for name in group.members if name != inside[0].user_id)
        tenant.groups[GROUP_HALF] = replace(group, members=(*kept, outside.user_id))
        await follow(desk)
        assert told(desk) == [(inside[0].address, "excluded", "outside_scope_groups")]
        assert addresses(desk.snapshots) == [outside.address]


async def test_a_group_that_a_proxy_calls_missing_empties_no_scope(
    sandbox: Sandbox, sqlite_url: str, tmp_path: Path
) -> None:
    policy = Policy(scope=Scope(groups=(GROUP_HALF,)))
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, policy=policy) as desk:
        await follow(desk)
        sandbox.order(Fault(kind=FaultKind.ERROR, status=404, code="NotFound", match="/groups/", times=2))
        await follow(desk)
        assert [retry.reason for retry in desk.retries] == ["request_refused"] * 2
        assert desk.unreadable == []


async def test_a_known_mailbox_that_refuses_its_settings_alone_goes_on_being_read(
    sandbox: Sandbox, known: Desk
) -> None:
    address = people(sandbox)[0]
    mailbox_id = (await known.rows())[address].mailbox_id
    match = f"{mailbox_id}/mailboxSettings"
    sandbox.order(Fault(kind=FaultKind.ERROR, status=403, code="ErrorAccessDenied", match=match))
    async with known.context.store.write() as connection:
        await connection.execute(update(mailboxes).values(read_at=clock.now() - 10))
    await follow(known)
    assert addresses(known.snapshots) == [address]
    assert ((await known.rows())[address].bucket, known.unreadable) == ("active", [])


async def test_an_enumeration_waits_while_too_many_wait_for_their_first_reading(
    sandbox: Sandbox, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enumeration, "AHEAD", 4)
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, settings=Settings(directory_page=5)) as desk:
        desk.enumerate()
        await desk.step()
        *reads, following = desk.queue
        desk.queue.clear()
        asked = sandbox.requests.total
        waiting = await desk.handle(*following)
        assert [type(each) for each in waiting.messages] == [Outgoing]
        assert [(each.message, each.delay) for each in waiting.messages] == [(following[0], 1.0)]  # type: ignore[union-attr]
        assert sandbox.requests.total == asked
        desk.queue.extend([*reads, following])
        await desk.run(at_once=1)
        assert addresses(desk.snapshots) == sorted(person.address for person in sandbox.mailboxes())


async def test_a_reading_under_way_does_not_bring_a_leaver_back(sandbox: Sandbox, known: Desk) -> None:
    address = people(sandbox)[0]
    mailbox_id = (await known.rows())[address].mailbox_id
    sandbox.change_user(address, guest=True)
    known.enumerate()
    await known.step()
    await known.step()
    known.ask(mailbox_id, since=clock.now() + 1, live=True)
    await known.run()
    assert known.snapshots == []
    assert [each.bucket for each in known.unreadable] == [Bucket.GUEST]
