"""What is known of mailboxes and enumerations behaves alike on SQLite and PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, insert, select, text, update

from services.fetcher import census, due, endings, runs
from services.fetcher import mailboxes as known_mailboxes
from services.fetcher.census import Seen
from services.fetcher.context import hours_of
from services.fetcher.directory import Verdict
from services.fetcher.due import Answer, Change, Claim, Claimed, Lease, Row
from services.fetcher.endings import Ending, Pause
from services.fetcher.mailboxes import Due, Mailboxes
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.contracts.values import Bucket, Kind, WorkingHours, WorkPeriod
from shared.store import Store, open_store
from shared.tables import mailboxes, orgs

NOW = 1_790_000_000
LEASE = Lease(generation=1, message_id="m1")


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    for org_id in ("org1", "org2"):
        await connect(opened, org_id)
    yield opened
    await opened.close()


def seen(run: str = "run1", generation: int = 1, org_id: str = "org1") -> Seen:
    return Seen(org_id=org_id, run=run, generation=generation, lease=LEASE.name, due_at=NOW + 3600)


def verdict(number: int, bucket: Bucket = Bucket.ACTIVE, **fields: Any) -> Verdict:
    reason = None if bucket is Bucket.ACTIVE else "excluded_by_list"
    named = {"mailbox_id": f"id-{number}", "address": f"person{number}@example.org"}
    return Verdict(bucket=bucket, reason=reason, **named | fields)


def wish(message_id: str = "m1", since: int = NOW, now: int = NOW, *, live: bool = False) -> Claim:
    return Claim(lease=Lease(generation=1, message_id=message_id), since=since, now=now, seconds=600, live=live)


async def connect(store: Store, org_id: str = "org1", generation: int = 1, state: str = "connected") -> None:
    row = {
        "org_id": org_id,
        "generation": generation,
        "state": state,
        "connection": msgspec.json.encode(GraphConnection(tenant_id="t")),
        "tenant_id": org_id,
        "policy": msgspec.json.encode(Policy()),
    }
    async with store.write() as connection:
        await connection.execute(delete(orgs).where(orgs.c.org_id == org_id))
        await connection.execute(insert(orgs).values(row))


async def claim(table: Mailboxes, number: int, asked: Claim | None = None) -> Answer:
    wished = asked or wish()
    return await table.change("org1", f"id-{number}", lambda row: due.claim(row, wished))


async def all_rows(store: Store) -> dict[str, Any]:
    async with store.read() as connection:
        return {row.mailbox_id: row for row in await connection.execute(select(mailboxes))}


async def test_pages_that_find_the_same_newcomers_in_another_order_do_not_block_each_other(store: Store) -> None:
    found = [verdict(number) for number in range(150)]
    members = [(each.mailbox_id, each.address) for each in reversed(found)]
    async with asyncio.timeout(60):
        await asyncio.gather(
            census.record(store, seen(), found),
            census.mark_scope(store, seen("run2"), members),
            census.record(store, seen("run3"), found[::-1]),
        )
    assert len(await all_rows(store)) == len(found)


async def test_a_claim_is_granted_once(store: Store) -> None:
    table = Mailboxes(store)
    await census.record(store, seen(), [verdict(1)])
    answers = await asyncio.gather(*(claim(table, 1, wish(f"m{number}", live=True)) for number in range(10)))
    granted = [answer for answer in answers if isinstance(answer, Row)]
    assert [row.version for row in granted] == [1]
    assert answers.count(Claimed.HELD) == 9
    assert (await all_rows(store))["id-1"].dirty


async def test_replicas_never_grant_the_same_mailbox_twice(store: Store) -> None:
    replicas = [Mailboxes(store) for _ in range(4)]
    await census.record(store, seen(), [verdict(number) for number in range(20)])
    answers = await asyncio.gather(
        *(claim(table, number, wish(f"r{replica}")) for number in range(20) for replica, table in enumerate(replicas))
    )
    granted = [answer.mailbox_id for answer in answers if isinstance(answer, Row)]
    assert sorted(granted) == sorted({f"id-{number}" for number in range(20)})


async def test_a_row_comes_back_as_it_was_written(store: Store) -> None:
    table = Mailboxes(store)
    hours = WorkingHours(time_zone="Pacific Standard Time", periods=(WorkPeriod(4, 480, 720),))
    found = verdict(1, kind=Kind.ROOM, time_zone="Pacific Standard Time", working_hours=hours)
    await census.record(store, seen(), [found])
    taken = await claim(table, 1)
    assert isinstance(taken, Row)
    ending = Ending(lease=LEASE, version=1, bucket=Bucket.ACTIVE, read_at=NOW, now=NOW + 2, due_at=NOW + 300)
    await table.change("org1", "id-1", lambda row: endings.end(row, ending))
    kept = await table.change("org1", "id-1", lambda row: Change(answer=row or Claimed.UNKNOWN))
    assert isinstance(kept, Row)
    assert (kept.kind, kept.time_zone, kept.bucket) == (Kind.ROOM, "Pacific Standard Time", Bucket.ACTIVE)
    assert hours_of(kept) == hours == (await census.known(store, "org1", ["id-1"]))["id-1"].working_hours
    assert (kept.version, kept.lease_id, kept.read_at, kept.read_generation, kept.due_at) == (
        1,
        None,
        NOW,
        1,
        NOW + 300,
    )


async def test_one_bad_step_spoils_no_other(store: Store) -> None:
    table = Mailboxes(store)
    await census.record(store, seen(), [verdict(1), verdict(2)])

    def broken(_row: Row | None) -> Change:
        raise ValueError("broken")

    results = await asyncio.gather(
        claim(table, 1), table.change("org1", "id-2", broken), claim(table, 2), return_exceptions=True
    )
    assert isinstance(results[0], Row)
    assert isinstance(results[1], ValueError)
    assert isinstance(results[2], Row)


async def test_a_mailbox_nobody_knows_is_told_so(store: Store) -> None:
    assert await claim(Mailboxes(store), 99) is Claimed.UNKNOWN


async def test_a_page_recorded_twice_is_a_page_recorded_once(store: Store) -> None:
    page = [verdict(1), verdict(2, Bucket.EXCLUDED), verdict(3, Bucket.NO_MAILBOX, address="")]
    await census.record(store, seen(), page)
    first = await all_rows(store)
    await census.record(store, seen(), page)
    assert await all_rows(store) == first
    assert {name: row.bucket for name, row in first.items()} == {
        "id-1": "active", "id-2": "excluded", "id-3": "no_mailbox"
    }  # fmt: skip
    assert [first[name].due_at for name in ("id-1", "id-2")] == [NOW + 3600, None]


async def test_recording_leaves_readings_alone_and_keeps_zone_and_hours_not_learned_again(store: Store) -> None:
    table = Mailboxes(store)
    hours = WorkingHours(time_zone="UTC", periods=(WorkPeriod(0, 480, 1020),))
    await census.record(store, seen(), [verdict(1, time_zone="UTC", working_hours=hours)])
    other = wish("reader")
    await claim(table, 1, other)
    ending = Ending(lease=other.lease, version=1, bucket=Bucket.ACTIVE, read_at=NOW, now=NOW, due_at=NOW + 7)
    await table.change("org1", "id-1", lambda row: endings.end(row, ending))
    await claim(table, 1, wish("reader2", since=NOW + 1))
    await census.record(store, seen("run2", 2), [verdict(1, address="new@example.org")])
    row = (await all_rows(store))["id-1"]
    assert (row.address, row.time_zone, row.generation, row.seen_run) == ("new@example.org", "UTC", 2, "run2")
    assert row.working_hours == msgspec.json.encode(hours)
    assert (row.version, row.lease_id, row.read_at, row.due_at) == (2, "1:reader2", NOW, NOW + 600)


async def test_recording_a_mailbox_that_leaves_frees_the_enumerations_own_lease(store: Store) -> None:
    table = Mailboxes(store)
    await census.record(store, seen(), [verdict(1)])
    await table.change("org1", "id-1", lambda row: due.leave(row, wish()))
    await census.record(store, seen("run2"), [verdict(1, Bucket.EXCLUDED)])
    row = (await all_rows(store))["id-1"]
    assert (row.bucket, row.lease_id, row.due_at, row.version) == ("excluded", None, None, 1)


async def test_big_pages_are_recorded_whole(store: Store) -> None:
    await census.record(store, seen(), [verdict(number) for number in range(999)])
    assert len(await all_rows(store)) == 999
    assert len(await census.known(store, "org1", [f"id-{number}" for number in range(1200)])) == 999


async def test_scope_is_remembered_before_and_after_a_mailbox_is_known(store: Store) -> None:
    await census.record(store, seen(), [verdict(1)])
    await census.mark_scope(store, seen("run2"), [("id-1", "person1@example.org"), ("id-2", "person2@example.org")])
    known = await census.known(store, "org1", ["id-1", "id-2", "id-3"])
    assert {name: (found.bucket, found.scope_run) for name, found in known.items()} == {
        "id-1": (Bucket.ACTIVE, "run2"),
        "id-2": (Bucket.EXCLUDED, "run2"),
    }


async def test_rooms_are_marked_by_address_within_their_org(store: Store) -> None:
    await census.record(store, seen(), [verdict(1)])
    await census.record(store, seen(org_id="org2"), [verdict(2, address="person1@example.org")])
    await census.mark_rooms(store, seen(), ["person1@example.org", "elsewhere@example.org"])
    assert {name: row.kind for name, row in (await all_rows(store)).items()} == {"id-1": "room", "id-2": "user"}


async def test_due_mailboxes_are_taken_once_and_again_when_no_reading_came_about(store: Store) -> None:
    await connect(store)
    table = Mailboxes(store)
    await census.record(store, seen(), [verdict(number) for number in range(5)])
    assert not await table.kinds_due(NOW)
    assert await table.take_due(NOW, limit=10, until=NOW) == []
    now, until = NOW + 4000, NOW + 4300
    assert await table.kinds_due(now)
    assert len(await table.take_due(now, limit=3, until=until)) == 3
    assert len(await table.take_due(now, limit=3, until=until)) == 2
    assert await table.take_due(now, limit=3, until=until) == []
    assert len(await table.take_due(until, limit=10, until=until + 300)) == 5


async def test_replicas_that_look_at_once_take_each_mailbox_once(store: Store) -> None:
    for org_id in ("org1", "org2", "org3"):
        await connect(store, org_id)
        await census.record(store, seen(org_id=org_id), [verdict(number) for number in range(150)])
    replicas = [Mailboxes(store) for _ in range(4)]
    now = NOW + 4000
    taken: list[Due] = []
    for _ in range(20):
        pages = await asyncio.gather(*(each.take_due(now, limit=40, until=now + 300) for each in replicas))
        taken += [due for page in pages for due in page]
        if not any(pages):
            break
    assert len(taken) == len(set(taken)) == 450


async def test_every_org_has_its_share_of_a_page(store: Store) -> None:
    await connect(store, "org1")
    await connect(store, "org2")
    async with store.write() as connection:
        await connection.execute(insert(mailboxes), [row_of_a_big_org(number) for number in range(20_000)])
    await census.record(store, seen(org_id="org2"), [verdict(1)])
    found = await Mailboxes(store).take_due(NOW + 9999, limit=500, until=NOW + 19999)
    assert len(found) == 500
    assert [each.mailbox_id for each in found if each.org_id == "org2"] == ["id-1"]
    if not store.is_sqlite:
        await _looks_into_the_index(store)


def row_of_a_big_org(number: int) -> dict[str, Any]:
    return {
        "org_id": "org1",
        "mailbox_id": f"big-{number}",
        "address": f"big{number}@example.org",
        "kind": "user",
        "bucket": "active",
        "time_zone": "",
        "generation": 1,
        "version": 0,
        "dirty": False,
        "failures": 0,
        "due_at": NOW + number % 600,
    }


async def _looks_into_the_index(store: Store) -> None:
    """Look for due mailboxes at 20,001 entries of the index, once for each org, however many are overdue."""
    async with store.engine.connect() as connection:
        await connection.execute(text("ANALYZE"))
        await connection.commit()
    for hinted, most in ((False, 2), (True, 20_001)):
        rows = await _rows_looked_at(store, NOW + 9999, hinted=hinted)
        assert rows <= most
    async with store.write() as connection:
        await connection.execute(update(orgs).values(state="attention"))
    for hinted in (False, True):
        assert await _rows_looked_at(store, NOW + 9999, hinted=hinted) == 0


async def _rows_looked_at(store: Store, now: int, *, hinted: bool) -> int:
    """Return how many rows of mailboxes PostgreSQL reads to find which orgs have due mailboxes."""
    probe = known_mailboxes._PROBES[hinted].params(now=now)
    statement = probe.compile(dialect=store.engine.dialect, compile_kwargs={"literal_binds": True})
    async with store.read() as connection:
        plan = (await connection.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"))).scalar_one()
    return _read_rows(plan[0]["Plan"])


def _read_rows(node: dict[str, Any]) -> int:
    below = sum(_read_rows(each) for each in node.get("Plans", ()))
    if node.get("Relation Name") != "mailboxes":
        return below
    assert node["Node Type"] != "Seq Scan", "the table is not read through"
    return below + int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])


async def test_orgs_take_turns_where_a_page_has_no_room_for_all(store: Store) -> None:
    for number in range(7):
        await connect(store, f"org{number}")
        await census.record(store, seen(org_id=f"org{number}"), [verdict(n) for n in range(3)])
    table = Mailboxes(store)
    pages = [await table.take_due(NOW + 9999, limit=3, until=NOW + 19999) for _ in range(7)]
    assert all(len(page) == 3 for page in pages)
    assert {each.org_id for page in pages[:3] for each in page} == {f"org{number}" for number in range(7)}


async def test_what_one_org_leaves_of_its_share_others_may_have(store: Store) -> None:
    for org_id, count in (("org1", 3), ("org2", 50), ("org3", 20)):
        await connect(store, org_id)
        await census.record(store, seen(org_id=org_id), [verdict(number) for number in range(count)])
    found = await Mailboxes(store).take_due(NOW + 9999, limit=60, until=NOW + 19999)
    assert Counter(each.org_id for each in found) == {"org1": 3, "org2": 37, "org3": 20}


async def test_mailboxes_that_owe_a_hint_a_reading_are_told_apart(store: Store) -> None:
    await connect(store)
    table = Mailboxes(store)
    await census.record(store, seen(), [verdict(number) for number in range(4)])
    async with store.write() as connection:
        await connection.execute(update(mailboxes).where(mailboxes.c.mailbox_id == "id-2").values(dirty=True))
    found = await table.take_due(NOW + 9999, limit=10, until=NOW + 19999, hinted=True)
    assert found == [Due(org_id="org1", mailbox_id="id-2", generation=1, hinted=True)]
    rest = await table.take_due(NOW + 9999, limit=10, until=NOW + 19999)
    assert sorted((each.mailbox_id, each.hinted) for each in rest) == [(f"id-{n}", False) for n in (0, 1, 3)]


async def test_mailboxes_that_the_present_generation_has_not_seen_are_put_off(store: Store) -> None:
    await connect(store, generation=2)
    table = Mailboxes(store)
    await census.record(store, seen(generation=1), [verdict(number) for number in range(5)])
    now = NOW + 9999
    assert await table.take_due(now, limit=10, until=now + 300) == []
    assert not await table.kinds_due(now + 299), "they are not looked at every second"
    async with store.write() as connection:
        await connection.execute(update(mailboxes).values(generation=2))
    assert len(await table.take_due(now + 300, limit=10, until=now + 600)) == 5


async def test_a_row_keeps_what_a_reading_waits_for(store: Store) -> None:
    table = Mailboxes(store)
    await census.record(store, seen(), [verdict(1)])
    await claim(table, 1, wish(now=NOW))
    pause = Pause(reason="throttled", until=NOW + 30)
    await table.change("org1", "id-1", lambda row: endings.postpone(row, LEASE, pause, seconds=600))
    row = (await all_rows(store))["id-1"]
    assert (row.waiting, row.retry_at, row.lease_until, row.started_ms) == (
        "throttled",
        NOW + 30,
        NOW + 630,
        NOW * 1000,
    )


@pytest.mark.parametrize(
    ("generation", "state"), [(2, "connected"), (1, "refused"), (1, "attention"), (1, "disconnecting")]
)
async def test_mailboxes_of_an_org_that_moved_on_are_not_due(store: Store, generation: int, state: str) -> None:
    await connect(store, generation=generation, state=state)
    table = Mailboxes(store)
    await census.record(store, seen(), [verdict(1)])
    assert await table.take_due(NOW + 9999, limit=10, until=NOW + 19999) == []
    if state != "connected":
        assert not await table.kinds_due(NOW + 9999)


async def test_due_knows_under_which_generation(store: Store) -> None:
    await connect(store, generation=3)
    table = Mailboxes(store)
    await census.record(store, seen(generation=3), [verdict(1)])
    found = await table.take_due(NOW + 9999, limit=10, until=NOW + 19999)
    assert found == [Due(org_id="org1", mailbox_id="id-1", generation=3)]


async def test_beginning_anew_frees_leases_and_makes_polled_mailboxes_due(store: Store) -> None:
    table = Mailboxes(store)
    await census.record(store, seen(), [verdict(1), verdict(2, Bucket.EXCLUDED)])
    await claim(table, 1)
    async with store.write() as connection:
        await connection.execute(update(mailboxes).values(sync_state="state"))
    await table.begin_anew(NOW)
    rows = await all_rows(store)
    assert (rows["id-1"].lease_id, rows["id-1"].due_at, rows["id-2"].due_at) == (None, NOW, None)
    assert rows["id-1"].sync_state is None, "the last reading may be lost: that nothing changed since is no answer"


async def test_once_read_and_now_unreadable_mailboxes_are_listed_in_pages(store: Store) -> None:
    table = Mailboxes(store)
    await connect(store)
    await census.record(store, seen(), [verdict(number) for number in range(4)])
    for number in range(3):
        await claim(table, number)
    async with store.write() as connection:
        await connection.execute(
            update(mailboxes).where(mailboxes.c.mailbox_id != "id-0").values(bucket="denied", reason="access_denied")
        )
    first = await table.unreadable_after(("", ""), 1)
    rest = await table.unreadable_after(("org1", "id-1"), 10)
    assert [row.mailbox_id for row, _ in first + rest] == ["id-1", "id-2"]


async def test_a_mailbox_that_left_is_told_of_under_the_orgs_present_generation(store: Store) -> None:
    await connect(store, generation=2)
    table = Mailboxes(store)
    await census.record(store, seen(generation=1), [verdict(1)])
    await claim(table, 1)
    async with store.write() as connection:
        await connection.execute(update(mailboxes).values(bucket="removed", reason="left_directory"))
    told = await table.unreadable_after(("", ""), 10)
    assert [(row.mailbox_id, row.bucket, generation) for row, generation in told] == [("id-1", Bucket.REMOVED, 2)]


async def test_what_is_known_of_a_mailbox_says_that_it_was_read(store: Store) -> None:
    await census.record(store, seen(), [verdict(1)])
    await claim(Mailboxes(store), 1)
    assert (await census.known(store, "org1", ["id-1"]))["id-1"].version == 1


async def test_taking_and_claiming_the_same_mailboxes_never_wait_in_a_circle(store: Store) -> None:
    polling, reading = Mailboxes(store), Mailboxes(store)
    await connect(store)
    await census.record(store, seen(), [verdict(number) for number in range(500)])
    for turn in range(6):
        now = NOW + 1000 * (turn + 4)
        claims = (claim(reading, number, wish(f"m{turn}", since=now, now=now)) for number in range(499, 299, -1))
        takes = (polling.take_due(now, limit=100, until=now + 60) for _ in range(5))
        await asyncio.gather(*takes, *claims)


async def test_recording_and_claiming_the_same_mailboxes_never_wait_in_a_circle(store: Store) -> None:
    table = Mailboxes(store)
    backwards = [verdict(number) for number in sorted(range(400), key=str, reverse=True)]
    await census.record(store, seen(), backwards)
    for turn in range(6):
        claims = (claim(table, number, wish(f"m{turn}", since=NOW + turn, now=NOW + turn)) for number in range(400))
        await asyncio.gather(census.record(store, seen(), backwards), *claims)


async def test_the_run_that_began_last_counts_and_its_troubles_are_its_own(store: Store) -> None:
    await runs.begin(store, "org1", run="a", generation=1, now=NOW)
    await runs.trouble(store, "org1", reason="rooms_forbidden", now=NOW)
    await runs.pause(store, "org1", until=NOW + 60)
    assert await runs.paused_until(store, "org1") == NOW + 60
    await runs.begin(store, "org1", run="b", generation=1, now=NOW + 1)
    assert await runs.paused_until(store, "org1") == NOW + 60
    await runs.finish(store, "org1", run="a", now=NOW + 2)
    present = await runs.present(store, "org1")
    assert present is not None
    assert (present.run, present.finished_at) == ("b", None)
    await runs.finish(store, "org1", run="b", now=NOW + 3)
    present = await runs.present(store, "org1")
    assert present is not None
    assert present.finished_at == NOW + 3
    await runs.begin(store, "org1", run="c", generation=2, now=NOW + 4)
    assert await runs.paused_until(store, "org1") == 0


async def test_an_org_never_enumerated_is_neither_paused_nor_present(store: Store) -> None:
    assert await runs.paused_until(store, "org9") == 0
    assert await runs.present(store, "org9") is None
