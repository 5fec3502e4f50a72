"""Who leaves, what pauses, and what is in doubt is remembered alike on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import delete, insert, select, update

from services.fetcher import census, due, leaving, runs
from services.fetcher.census import Seen
from services.fetcher.directory import Verdict
from services.fetcher.due import Claim, Claimed, Lease, Row
from services.fetcher.guard import Removals
from services.fetcher.mailboxes import Mailboxes
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.contracts.values import Bucket, Kind, WorkingHours, WorkPeriod
from shared.store import Store, open_store
from shared.tables import enumerations, mailboxes, orgs

NOW = 1_790_000_000
LEASE = Lease(generation=1, message_id="sweep")
HOURS = WorkingHours(time_zone="UTC", periods=(WorkPeriod(0, 480, 1020),))
GUEST = {"bucket": Bucket.GUEST, "reason": "guest"}


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    yield opened
    await opened.close()


def seen(run: str = "run1", generation: int = 1) -> Seen:
    return Seen(org_id="org1", run=run, generation=generation, lease=LEASE.name, due_at=NOW + 3600)


def verdict(number: int, **fields: Any) -> Verdict:
    here = {"mailbox_id": f"id-{number}", "address": f"person{number}@example.org", "bucket": Bucket.ACTIVE}
    return Verdict(**here | fields)


async def put(store: Store, number: int = 1, **values: Any) -> None:
    """Put a mailbox there that was found, read and told of, with other values where given."""
    await census.record(store, seen(), [verdict(number)])
    read = {"version": 1, "read_at": NOW, "read_generation": 1}
    async with store.write() as connection:
        here = mailboxes.c.mailbox_id == f"id-{number}"
        await connection.execute(update(mailboxes).where(here).values(read | values))


async def row(store: Store, number: int = 1) -> Any:
    query = select(mailboxes).where(mailboxes.c.mailbox_id == f"id-{number}")
    async with store.read() as connection:
        return (await connection.execute(query)).one()


async def connect(store: Store, state: str = "connected") -> None:
    values = {
        "org_id": "org1",
        "generation": 1,
        "state": state,
        "connection": msgspec.json.encode(GraphConnection(tenant_id="t")),
        "tenant_id": "t",
        "policy": msgspec.json.encode(Policy()),
    }
    async with store.write() as connection:
        await connection.execute(delete(orgs))
        await connection.execute(insert(orgs).values(values))


async def gone(store: Store, state: str | None) -> None:
    async with store.write() as connection:
        await connection.execute(delete(orgs) if state is None else update(orgs).values(state=state))


@pytest.mark.parametrize("state", [None, "disconnecting", "requested"], ids=["purged", "leaving", "asked for anew"])
async def test_a_page_in_hand_while_its_org_left_brings_no_address_back(store: Store, state: str | None) -> None:
    await gone(store, state)
    await census.record(store, seen(), [verdict(1)])
    await census.mark_scope(store, seen(), [("id-2", "person2@example.org")])
    async with store.read() as connection:
        assert (await connection.execute(select(mailboxes))).all() == []


async def enumeration(store: Store) -> Any:
    async with store.read() as connection:
        return (await connection.execute(select(enumerations))).one_or_none()


async def claim(store: Store, *, live: bool = True, generation: int = 1) -> Any:
    lease = Lease(generation=generation, message_id="reader")
    wish = Claim(lease=lease, since=NOW + 60, now=NOW + 60, seconds=600, live=live)
    return await Mailboxes(store).change("org1", "id-1", lambda found: due.claim(found, wish))


async def sweep(store: Store, run: str) -> None:
    """Remove who leaves, as the sweep does."""
    found = await leaving.leavers(store, seen(run), 100)
    wish = Claim(lease=LEASE, since=NOW, now=NOW, seconds=600)
    for each in found:
        if each.told:
            await Mailboxes(store).change("org1", each.mailbox_id, lambda held: due.leave(held, wish))
    await leaving.remove(store, seen(run), found)


async def test_a_marked_mailbox_keeps_its_bucket_and_is_not_read(store: Store) -> None:
    await put(store)
    await leaving.mark(store, seen("run2"), [verdict(1, **GUEST)])
    kept = await row(store)
    assert (kept.bucket, kept.reason, kept.seen_run, kept.due_at) == ("active", None, "run2", None)
    assert await claim(store, live=False) is Claimed.HELD
    assert await claim(store) is Claimed.HELD


async def test_a_reading_under_way_ends_for_nobody_once_its_mailbox_is_marked(store: Store) -> None:
    await put(store)
    taken = await claim(store)
    assert isinstance(taken, Row)
    await leaving.mark(store, seen("run2"), [verdict(1, **GUEST)])
    kept = await row(store)
    assert kept.lease_id != taken.lease_id
    assert kept.version > taken.version


async def test_marking_twice_ends_like_marking_once(store: Store) -> None:
    await put(store)
    for _ in range(2):
        await leaving.mark(store, seen("run2"), [verdict(1, **GUEST)])
    await sweep(store, "run2")
    assert ((await row(store)).bucket, (await row(store)).reason) == ("guest", "guest")


async def test_the_sweep_puts_the_marked_where_they_belong_and_the_unseen_among_the_removed(store: Store) -> None:
    for number in range(4):
        await put(store, number)
    out = {"bucket": Bucket.EXCLUDED, "reason": "outside_scope_groups"}
    await census.record(store, seen("run2"), [verdict(0)])
    await leaving.mark(store, seen("run2"), [verdict(1, **GUEST), verdict(2, **out)])
    assert await leaving.removals(store, seen("run2")) == Removals(going=3, known=4)
    await sweep(store, "run2")
    ended = [await row(store, number) for number in range(4)]
    assert [(each.bucket, each.reason) for each in ended] == [
        ("active", None), ("guest", "guest"), ("excluded", "outside_scope_groups"), ("removed", "left_directory")
    ]  # fmt: skip
    assert {(each.lease_id, each.due_at, each.leaving_bucket) for each in ended[1:]} == {(None, None, None)}
    assert await leaving.leavers(store, seen("run2"), 10) == []


async def test_who_was_marked_by_an_earlier_run_and_is_gone_by_now_has_left_the_directory(store: Store) -> None:
    await put(store)
    await leaving.mark(store, seen("run2"), [verdict(1, **GUEST)])
    await sweep(store, "run3")
    assert ((await row(store)).bucket, (await row(store)).reason) == ("removed", "left_directory")


async def test_who_stays_after_all_is_free_and_due_again(store: Store) -> None:
    await put(store)
    await leaving.mark(store, seen("run2"), [verdict(1, **GUEST)])
    assert await claim(store) is Claimed.HELD
    assert (await census.known(store, "org1", ["id-1"]))["id-1"].leaving
    await census.record(store, seen("run3"), [verdict(1)])
    kept = await row(store)
    assert (kept.leaving_bucket, kept.lease_id, kept.due_at, kept.read_generation) == (None, None, NOW + 3600, None)
    assert isinstance(await claim(store), Row)
    assert await leaving.leavers(store, seen("run3"), 10) == []


async def test_a_mark_binds_no_reading_of_a_later_generation_that_has_found_the_mailbox(store: Store) -> None:
    await put(store)
    await leaving.mark(store, seen("run2"), [verdict(1, **GUEST)])
    assert await claim(store, generation=2) is Claimed.NOT_READ
    await census.record(store, replace(seen("run3"), generation=2), [verdict(1)])
    assert isinstance(await claim(store, generation=2), Row)


async def test_only_mailboxes_that_consumers_know_of_are_counted(store: Store) -> None:
    await put(store, 1)
    await put(store, 2, bucket="denied", reason="access_denied", version=3)
    await put(store, 3, bucket="denied", reason="access_denied", version=0)
    await put(store, 4, bucket="excluded", reason="excluded_by_list")
    await put(store, 5, bucket="removed", reason="left_directory")
    await put(store, 6, bucket="guest", reason="guest")
    assert await leaving.removals(store, seen("run2")) == Removals(going=2, known=2)
    found = {each.mailbox_id: each.told for each in await leaving.leavers(store, seen("run2"), 10)}
    assert found == {"id-1": True, "id-2": True, "id-3": False, "id-4": False, "id-6": False}


async def test_a_leaver_whose_lease_was_lost_meanwhile_is_left_alone(store: Store) -> None:
    await put(store)
    found = await leaving.leavers(store, seen("run2"), 10)
    await claim(store)
    await leaving.remove(store, seen("run2"), found)
    assert (await row(store)).bucket == "active"


async def test_nothing_touches_what_is_erased(store: Store) -> None:
    erased: dict[str, Any] = {"bucket": "excluded", "reason": "erased", "address": "", "version": 2}
    await put(store, **erased)
    await census.record(store, seen("run2"), [verdict(1)])
    await leaving.mark(store, seen("run2"), [verdict(1, **GUEST)])
    await census.mark_scope(store, seen("run2"), [("id-1", "person1@example.org")])
    await census.mark_rooms(store, seen("run2"), ["person1@example.org", ""])
    assert await leaving.leavers(store, seen("run3"), 10) == []
    kept = await row(store)
    assert (kept.bucket, kept.reason, kept.address, kept.version) == ("excluded", "erased", "", 2)


@pytest.mark.parametrize(
    "fields",
    [{"address": "new@example.org"}, {"kind": Kind.ROOM}, {"time_zone": "UTC"}, {"working_hours": HOURS}],
    ids=["address", "kind", "time zone", "hours"],
)
async def test_what_was_read_under_another_name_no_longer_counts(store: Store, fields: dict[str, Any]) -> None:
    await put(store)
    await census.record(store, seen("run2"), [verdict(1)])
    assert (await row(store)).read_generation == 1
    await census.record(store, seen("run2"), [verdict(1, **fields)])
    assert ((await row(store)).read_generation, (await row(store)).dirty) == (None, False)


async def test_a_reading_that_began_under_another_name_is_followed_by_one_more(store: Store) -> None:
    await put(store)
    assert isinstance(await claim(store), Row)
    await census.record(store, seen("run2"), [verdict(1, address="new@example.org")])
    assert (await row(store)).dirty


async def test_a_room_found_by_the_list_of_places_is_read_again(store: Store) -> None:
    await put(store, 1)
    await put(store, 2, bucket="excluded", reason="excluded_by_list")
    places = ["person1@example.org", "person2@example.org"]
    assert await census.mark_rooms(store, seen(), places) == ["id-1"]
    assert ((await row(store)).kind, (await row(store)).read_generation) == ("room", None)
    assert await census.mark_rooms(store, seen(), places) == []


async def test_only_mailboxes_found_and_not_read_under_this_generation_wait_for_their_first_reading(
    store: Store,
) -> None:
    await put(store, 1, read_generation=None)
    await put(store, 2)
    await put(store, 3, read_generation=None, leaving_bucket="guest", leaving_reason="guest")
    await put(store, 4, read_generation=None, bucket="denied", reason="access_denied")
    assert await census.unread(store, "org1", 1, limit=10) == 1
    assert await census.unread(store, "org1", 2, limit=10) == 0  # not found under the new one yet: nobody reads them
    await census.record(store, seen("run2", 2), [verdict(1), verdict(2)])
    assert await census.unread(store, "org1", 2, limit=10) == 2
    assert await census.unread(store, "org1", 2, limit=1) == 1


async def test_a_longer_pause_is_never_shortened_and_a_shorter_one_lengthened(store: Store) -> None:
    await runs.begin(store, "org1", run="a", generation=1, now=NOW)
    await runs.pause(store, "org1", until=NOW + 60)
    await runs.pause(store, "org1", until=NOW + 15)
    assert await runs.paused_until(store, "org1") == NOW + 60
    await runs.pause(store, "org1", until=NOW + 90)
    assert await runs.paused_until(store, "org1") == NOW + 90


async def test_a_pause_further_off_than_any_ever_set_is_replaced(store: Store) -> None:
    await runs.begin(store, "org1", run="a", generation=1, now=NOW)
    await runs.pause(store, "org1", until=NOW + 365 * 86_400)
    await runs.pause(store, "org1", until=NOW + 15)
    assert await runs.paused_until(store, "org1") == NOW + 15


async def test_a_pause_before_the_first_enumeration_holds_and_outlives_its_beginning(store: Store) -> None:
    await connect(store)
    await runs.pause(store, "org1", until=NOW + 60)
    assert await runs.paused_until(store, "org1") == NOW + 60
    await runs.begin(store, "org1", run="a", generation=1, now=NOW)
    assert await runs.paused_until(store, "org1") == NOW + 60


@pytest.mark.parametrize("state", ["disconnecting", None])
async def test_an_org_that_is_gone_or_going_gets_no_row_by_a_pause_or_a_doubt(store: Store, state: str | None) -> None:
    await gone(store, state)
    await runs.pause(store, "org1", until=NOW + 60)
    assert not await runs.doubt(store, "org1", now=NOW)
    assert await enumeration(store) is None


@pytest.mark.parametrize("begun", [True, False])
async def test_fifty_doubts_at_once_are_one(store: Store, begun: bool) -> None:
    await connect(store)
    if begun:
        await runs.begin(store, "org1", run="a", generation=1, now=NOW)
    assert sum(await asyncio.gather(*(runs.doubt(store, "org1", now=NOW) for _ in range(50)))) == 1
    assert await runs.paused_until(store, "org1") == NOW + 15
    assert not await runs.doubt(store, "org1", now=NOW + 14)
    assert await runs.doubt(store, "org1", now=NOW + 15)


async def test_two_replicas_whose_clocks_differ_by_minutes_doubt_at_most_twice(store: Store) -> None:
    await connect(store)
    raised = [await runs.doubt(store, "org1", now=NOW + 300 * (number % 2)) for number in range(20)]
    assert sum(raised) == 2


async def test_a_doubt_shortens_no_pause_but_the_next_run_begins_when_the_doubts_own_is_over(store: Store) -> None:
    await runs.begin(store, "org1", run="a", generation=1, now=NOW)
    await runs.pause(store, "org1", until=NOW + 500)
    assert await runs.doubt(store, "org1", now=NOW)
    assert await runs.paused_until(store, "org1") == NOW + 500
    await runs.begin(store, "org1", run="b", generation=1, now=NOW + 5)
    assert await runs.paused_until(store, "org1") == NOW + 15


async def test_a_pause_ordered_after_a_doubt_outlives_the_next_beginning(store: Store) -> None:
    await runs.begin(store, "org1", run="a", generation=1, now=NOW)
    assert await runs.doubt(store, "org1", now=NOW)
    await runs.pause(store, "org1", until=NOW + 500)
    await runs.begin(store, "org1", run="b", generation=1, now=NOW + 20)
    assert await runs.paused_until(store, "org1") == NOW + 500


async def test_what_is_held_back_stays_so_until_a_sweep_has_counted_anew(store: Store) -> None:
    await runs.begin(store, "org1", run="a", generation=1, now=NOW)
    await runs.hold(store, "org1", run="a", removals=Removals(going=60, known=100), now=NOW + 1)
    found = await enumeration(store)
    assert (found.held, found.held_of, found.finished_at, found.last_error) == (60, 100, NOW + 1, "removal_held")
    await runs.allow_removal(store, "org1", until=NOW + 86_400)
    await runs.begin(store, "org1", run="b", generation=1, now=NOW + 2)
    present = await runs.present(store, "org1")
    assert present is not None
    assert (present.held, present.allowed_until) == (60, NOW + 86_400)
    await runs.unhold(store, "org1", run="a")  # a superseded run changes nothing
    assert (await enumeration(store)).held == 60
    await runs.unhold(store, "org1", run="b")
    assert ((await enumeration(store)).held, (await enumeration(store)).held_of) == (None, None)
