"""A directory that seems to empty itself removes nobody until an operator says so; against the sandbox."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.sandbox import Sandbox, SandboxOptions, start
from deploy.sandbox.directory import GROUP_HALF
from deploy.sandbox.directory import Reach as Reachable
from services.fetcher import runs, sweep
from services.fetcher.settings import Settings
from shared import clock
from shared.contracts.messages import MailboxUnreadable
from shared.contracts.policy import Policy, Scope
from shared.errors import Retry
from tests.unit.fetcher.desk import Desk, addresses, opened, reach_of


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    started = await start(SandboxOptions(folder=tmp_path / "sandbox", mailboxes=20, events=1, others=False))
    yield started
    await started.stop()


@pytest.fixture
async def known(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk whose twenty mailboxes are found and read once."""
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, settings=Settings(directory_page=7)) as desk:
        await follow(desk)
        desk.snapshots.clear()
        yield desk


async def follow(desk: Desk) -> None:
    desk.enumerate()
    await desk.run()


def people(sandbox: Sandbox) -> list[str]:
    return sorted(person.address for person in sandbox.mailboxes())


async def holding(desk: Desk) -> tuple[int | None, int | None]:
    found = await desk.enumeration()
    return found.held, found.held_of


async def test_a_mass_removal_is_held_and_goes_once_it_is_allowed(sandbox: Sandbox, known: Desk) -> None:
    gone = people(sandbox)[:8]
    for address in gone:
        sandbox.remove_user(address)
    await follow(known)
    found = await known.enumeration()
    assert (found.held, found.held_of, found.last_error) == (8, 20, "removal_held")
    assert found.finished_at is not None
    assert known.unreadable == []
    assert {row.bucket for row in (await known.rows()).values()} == {"active"}
    await runs.allow_removal(known.context.store, known.org_id, until=clock.now() + 86_400)
    assert known.unreadable == []
    await follow(known)
    assert addresses(known.unreadable) == gone
    assert await holding(known) == (None, None)
    assert (await known.enumeration()).last_error is None


async def test_an_operators_word_that_has_ended_allows_nothing(sandbox: Sandbox, known: Desk) -> None:
    for address in people(sandbox)[:8]:
        sandbox.remove_user(address)
    await runs.allow_removal(known.context.store, known.org_id, until=clock.now())
    await follow(known)
    assert (await holding(known), known.unreadable) == ((8, 20), [])


async def test_few_removals_go_at_once_and_a_directory_that_recovers_is_held_no_longer(
    sandbox: Sandbox, known: Desk
) -> None:
    for address in people(sandbox)[:8]:
        sandbox.change_user(address, guest=True)
    await follow(known)
    assert await holding(known) == (8, 20)
    back = people(sandbox)[:8]
    for address in back[:5]:
        sandbox.change_user(address, guest=False)
    await follow(known)
    assert await holding(known) == (None, None)
    assert [(each.bucket.value, each.reason) for each in known.unreadable] == [("guest", "guest")] * 3
    assert addresses(known.unreadable) == sorted(
        address for address, row in (await known.rows()).items() if row.bucket == "guest"
    )
    assert len(set(addresses(known.snapshots))) == 5  # what was held is read again: hints went by meanwhile


async def test_everybody_in_a_small_organisation_but_one_may_leave(
    sandbox: Sandbox, sqlite_url: str, tmp_path: Path
) -> None:
    for address in people(sandbox)[3:]:
        sandbox.remove_user(address)
    async with opened(sqlite_url, reach_of(sandbox), tmp_path) as desk:
        await follow(desk)
        gone = people(sandbox)[1:]
        for address in gone:
            sandbox.remove_user(address)
        await follow(desk)
        assert addresses(desk.unreadable) == gone


async def test_removals_of_every_kind_are_counted_together(sandbox: Sandbox, known: Desk) -> None:
    one, two, three, four, five, six, *_ = people(sandbox)
    for address in (one, two):
        sandbox.remove_user(address)
    for address in (three, four):
        sandbox.change_user(address, reach=Reachable.MISSING)
    for address in (five, six):
        sandbox.change_user(address, guest=True)
    await follow(known)
    assert (await holding(known), known.unreadable) == ((6, 20), [])


async def test_nothing_of_a_mailbox_that_is_held_is_published_as_fresh(sandbox: Sandbox, known: Desk) -> None:
    held = people(sandbox)[:8]
    rows = await known.rows()
    for address in held:
        sandbox.change_user(address, guest=True)
    await follow(known)
    for address in held:
        known.ask(rows[address].mailbox_id, since=clock.now() + 1, live=True)
        known.ask(rows[address].mailbox_id, since=clock.now() + 1)
    await known.run()
    assert known.snapshots == []


async def test_an_emptied_scope_group_is_held(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> None:
    tenant = sandbox.state.tenants[sandbox.tenant_id]
    policy = Policy(scope=Scope(groups=(GROUP_HALF,), include=(people(sandbox)[0], people(sandbox)[1])))
    async with opened(sqlite_url, reach_of(sandbox), tmp_path, policy=policy) as desk:
        await follow(desk)
        tenant.groups[GROUP_HALF] = replace(tenant.groups[GROUP_HALF], members=())
        await follow(desk)
        held, of = await holding(desk)
        assert held is not None
        assert 5 < held < (of or 0)
        assert desk.unreadable == []


async def test_a_new_policy_shuts_out_however_many_at_once_and_uncounted(sandbox: Sandbox, known: Desk) -> None:
    out = people(sandbox)[:15]
    await known.change_org(policy=Policy(scope=Scope(exclude=tuple(out))))
    known.enumerate()
    for _ in range(3):
        await known.step()
    assert known.unreadable  # before any sweep
    await known.run()
    assert addresses(known.unreadable) == out
    assert {each.reason for each in known.unreadable} == {"excluded_by_list"}
    assert await holding(known) == (None, None)


async def test_who_is_held_under_an_old_policy_goes_once_a_new_one_shuts_them_out(
    sandbox: Sandbox, known: Desk
) -> None:
    out = people(sandbox)[:8]
    for address in out:
        sandbox.change_user(address, reach=Reachable.MISSING)
    await follow(known)
    assert await holding(known) == (8, 20)
    await known.change_org(policy=Policy(scope=Scope(exclude=tuple(out))))
    await follow(known)
    assert addresses(known.unreadable) == out
    assert {each.reason for each in known.unreadable} == {"excluded_by_list"}
    assert await holding(known) == (None, None)


@pytest.mark.parametrize("crash", ["before publishing", "before remembering", "before acknowledging"])
async def test_a_sweep_that_dies_at_any_page_ends_like_one_that_lives(
    sandbox: Sandbox, known: Desk, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    monkeypatch.setattr(sweep, "SWEPT", 2)
    gone = people(sandbox)[:5]
    for address in gone[:3]:
        sandbox.remove_user(address)
    for address in gone[3:]:
        sandbox.change_user(address, guest=True)
    known.enumerate()
    while known.queue:
        message, delivery = known.queue[0]
        if getattr(message, "stage", "").startswith("sweep"):
            done = await known.handle(message, delivery)
            if crash != "before publishing":
                known.unreadable.extend(each for each in done.messages if isinstance(each, MailboxUnreadable))
            if crash == "before acknowledging" and done.commit is not None:
                await done.commit()
        await known.step()
    assert set(addresses(known.unreadable)) == set(gone)
    rows = await known.rows()
    assert sorted(rows[address].bucket for address in gone) == ["guest"] * 2 + ["removed"] * 3
    assert {(rows[address].lease_id, rows[address].leaving_bucket) for address in gone} == {(None, None)}
    assert (await known.enumeration()).finished_at is not None


async def test_a_late_page_of_a_sweep_that_was_held_removes_nobody(sandbox: Sandbox, known: Desk) -> None:
    for address in people(sandbox)[:8]:
        sandbox.remove_user(address)
    message = known.enumerate()
    await known.run()
    known.enumerate(run=message.run, stage="sweep:0:1:")
    await known.run()
    assert (await holding(known), known.unreadable) == ((8, 20), [])


async def test_an_empty_directory_is_held_back_even_where_removal_is_allowed(sandbox: Sandbox, known: Desk) -> None:
    for address in people(sandbox):
        sandbox.remove_user(address)
    await runs.allow_removal(known.context.store, known.org_id, until=clock.now() + 86_400)
    await follow(known)
    assert (known.unreadable, (await known.enumeration()).last_error) == ([], "directory_empty")
    assert Retry not in map(type, known.retries)
