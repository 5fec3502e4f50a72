"""What is published and the update log behave alike on SQLite and PostgreSQL."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from services.publisher.news import update
from services.publisher.plan import Found, Outcome
from services.publisher.timeline import Timeline, covered, from_row
from services.publisher.timelines import publish
from shared.contracts.messages import AvailabilitySnapshot
from shared.contracts.policy import Policy
from shared.contracts.public import AvailabilityUpdated, MailboxRemoved
from shared.contracts.values import DAY, Bucket, Coverage, Mailbox, Window
from shared.errors import Retry
from shared.store import Store, open_store
from shared.tables import purges, timelines, updates
from tests.unit.publisher.readings import (
    MONDAY,
    WINDOW,
    Copy,
    busy,
    connect,
    erased,
    event,
    hourly,
    snapshot,
    snapshots,
    told_of,
    unreadable,
)

PUBLISHED, UNCHANGED, OUTDATED, OTHER = (
    Outcome.PUBLISHED,
    Outcome.UNCHANGED,
    Outcome.OUTDATED,
    Outcome.OTHER_GENERATION,
)
LEFT = [Bucket.REMOVED, Bucket.EXCLUDED, Bucket.GUEST, Bucket.NO_MAILBOX, Bucket.ON_PREMISES]
_names = itertools.count()


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.close()


async def put(store: Store, *found: Found) -> tuple[Outcome, ...]:
    return await publish(store, found, now=MONDAY)


async def row(store: Store, org_id: str = "acme", mailbox_id: str = "m-0001") -> Timeline | None:
    query = select(timelines).where(timelines.c.org_id == org_id, timelines.c.mailbox_id == mailbox_id)
    async with store.read() as connection:
        found = (await connection.execute(query)).mappings().one_or_none()
    return None if found is None else from_row(dict(found))


async def held(store: Store) -> Timeline:
    found = await row(store)
    assert found is not None
    return found


async def log(store: Store, org_id: str = "acme") -> list[AvailabilityUpdated | MailboxRemoved]:
    query = select(updates.c.body).where(updates.c.org_id == org_id).order_by(updates.c.position)
    async with store.read() as connection:
        return [told_of(body) for body in (await connection.execute(query)).scalars()]


async def test_a_snapshot_is_published_and_told_whole(store: Store) -> None:
    await connect(store)
    first = snapshot(busy(9, 10))
    assert await put(store, first) == (PUBLISHED,)
    assert await held(store) == covered(first)
    assert await log(store) == [update(covered(first), WINDOW)]


@pytest.mark.parametrize("version", [1, 2])
async def test_a_reading_not_newer_than_what_is_held_is_dropped(store: Store, version: int) -> None:
    await connect(store)
    await put(store, snapshot(busy(9, 10), version=2))
    assert await put(store, snapshot(version=version)) == (OUTDATED,)
    assert (await held(store)).blocks == (busy(9, 10),)
    assert len(await log(store)) == 1


@pytest.mark.parametrize(("generation", "state"), [(2, "connected"), (1, "requested"), (1, "refused")])
async def test_a_reading_of_another_generation_or_of_an_org_not_connected_is_dropped(
    store: Store, generation: int, state: str
) -> None:
    await connect(store, generation=generation, state=state)
    assert await put(store, snapshot(generation=1), unreadable(Bucket.DENIED)) == (OTHER, OTHER)
    assert await row(store) is None
    assert await log(store) == []


async def test_a_reading_of_an_org_nobody_knows_is_dropped(store: Store) -> None:
    assert await put(store, snapshot()) == (OTHER,)
    assert await row(store) is None


async def test_a_reading_without_a_change_is_noted_and_not_told(store: Store) -> None:
    await connect(store)
    await put(store, snapshot(busy(9, 10)))
    assert await put(store, snapshot(busy(9, 10), version=2)) == (UNCHANGED,)
    assert ((await held(store)).version, (await held(store)).as_of) == (2, MONDAY + 2)
    assert len(await log(store)) == 1


async def test_a_new_generation_without_details_replaces_them_and_tells_the_whole_window(store: Store) -> None:
    await connect(store)
    await put(store, snapshot(busy(9, 10), events=(event(9, 10, "plan"),)))
    await connect(store, generation=2)
    await put(store, snapshot(busy(9, 10), version=2, generation=2))
    assert (await held(store)).events is None
    last = (await log(store))[-1]
    assert isinstance(last, AvailabilityUpdated)
    assert (last.privacy, last.events, last.start, last.end) == ("free-busy", None, last.window.start, last.window.end)


@pytest.mark.parametrize("bucket", [Bucket.DENIED, Bucket.FAILING])
async def test_a_mailbox_that_cannot_be_read_is_unknown_never_free(store: Store, bucket: Bucket) -> None:
    await connect(store)
    await put(store, snapshot(busy(9, 10), events=(event(9, 10, "plan"),)))
    assert await put(store, unreadable(bucket, version=2)) == (PUBLISHED,)
    now_held = await held(store)
    assert (now_held.coverage, now_held.bucket, now_held.blocks, now_held.events) == (
        Coverage.UNKNOWN,
        bucket,
        (),
        None,
    )
    last = (await log(store))[-1]
    assert isinstance(last, AvailabilityUpdated)
    assert (last.coverage, last.reason, last.busy) == (Coverage.UNKNOWN, bucket.value, ())
    assert (last.start, last.end) == (last.window.start, last.window.end)


async def test_what_an_older_generation_told_of_a_mailbox_is_kept_no_longer_than_its_timeline(store: Store) -> None:
    await connect(store)
    await put(store, snapshot(busy(9, 10), events=(event(9, 10, "secret plan"),)))
    await put(store, snapshot(mailbox_id="left", events=(event(9, 10, "secret plan"),)))
    await put(store, unreadable(Bucket.REMOVED, mailbox_id="left", version=2))
    await connect(store, generation=2)
    await put(
        store, snapshot(busy(9, 10), generation=2, version=2), snapshot(mailbox_id="left", generation=2, version=3)
    )
    async with store.read() as connection:
        kept = [tuple(found) for found in await connection.execute(select(updates.c.generation, updates.c.type))]
        bodies = b"".join((await connection.execute(select(updates.c.body))).scalars())
    assert sorted(kept) == [(1, "mailbox.removed.v1"), *[(2, "availability.updated.v1")] * 2]
    assert b"secret plan" not in bodies


async def test_of_a_renamed_mailbox_nothing_under_the_old_address_is_kept(store: Store) -> None:
    await connect(store)
    await put(store, snapshot(busy(9, 10)))
    anew = msgspec.structs.replace(
        snapshot(busy(9, 10), version=2), mailbox=Mailbox(mailbox_id="m-0001", address="anew@example.com")
    )
    await put(store, anew)
    (told,) = await log(store)
    assert isinstance(told, AvailabilityUpdated)
    assert (told.mailbox, told.start, told.end) == ("anew@example.com", told.window.start, told.window.end)


async def test_a_mailbox_that_stays_unreadable_is_told_once_until_a_good_reading_heals_it(store: Store) -> None:
    await connect(store)
    await put(store, unreadable(Bucket.DENIED))
    assert await put(store, unreadable(Bucket.DENIED, version=2)) == (UNCHANGED,)
    assert await put(store, snapshot(busy(9, 10), version=3)) == (PUBLISHED,)
    assert [told.coverage for told in await log(store) if isinstance(told, AvailabilityUpdated)] == [
        Coverage.UNKNOWN,
        Coverage.FULL,
    ]


async def test_a_mailbox_never_read_and_unreadable_is_told_with_the_usual_window(store: Store) -> None:
    await connect(store)
    await put(store, unreadable(Bucket.DENIED))
    assert (await held(store)).window == Policy().window_at(MONDAY + 1)


@pytest.mark.parametrize("bucket", LEFT)
async def test_a_mailbox_that_left_is_told_once_and_nothing_of_it_is_kept(store: Store, bucket: Bucket) -> None:
    await connect(store)
    await put(store, snapshot(busy(9, 10), events=(event(9, 10, "plan"),)))
    assert await put(store, unreadable(bucket, version=2)) == (PUBLISHED,)
    assert await put(store, unreadable(Bucket.REMOVED, version=3)) == (UNCHANGED,)
    removed = [told for told in await log(store) if isinstance(told, MailboxRemoved)]
    assert removed == [
        MailboxRemoved(org_id="acme", mailbox_id="m-0001", mailbox="m-0001@example.com", reason=bucket.value)
    ]
    grave = await held(store)
    assert (grave.gone, grave.address, grave.blocks, grave.events) == (True, "", (), None)


@pytest.mark.parametrize("bucket", LEFT)
async def test_what_was_told_of_a_mailbox_before_it_left_is_deleted_with_it(store: Store, bucket: Bucket) -> None:
    await connect(store)
    await put(store, snapshot(events=(event(9, 10, "secret plan"),)), snapshot(mailbox_id="stays"))
    await put(store, snapshot(busy(9, 10), version=2))
    await put(store, unreadable(bucket, version=3))
    assert [(type(told), told.mailbox_id) for told in await log(store)] == [
        (AvailabilityUpdated, "stays"),
        (MailboxRemoved, "m-0001"),
    ]


async def test_of_an_erased_mailbox_only_its_id_is_told_and_kept(store: Store) -> None:
    await connect(store)
    await put(store, snapshot(busy(9, 10), events=(event(9, 10, "secret plan"),)))
    assert await put(store, erased(version=2)) == (PUBLISHED,)
    assert await log(store) == [
        MailboxRemoved(org_id="acme", mailbox_id="m-0001", mailbox="m-0001", reason="erased"),
    ]
    grave = await held(store)
    assert (grave.address, grave.reason, grave.gone) == ("", "erased", True)
    assert await bytes_of(store, b"example.com") == 0


async def test_a_mailbox_is_erased_whatever_generation_has_come_since(store: Store) -> None:
    await put(store, snapshot(busy(1, 2), version=1))
    await connect(store, generation=3)
    await put(store, snapshot(busy(1, 2), version=2, generation=3))
    assert await put(store, unreadable(Bucket.REMOVED, version=3)) == (OTHER,)
    assert await put(store, erased(version=3)) == (PUBLISHED,)
    grave = await held(store)
    assert (grave.address, grave.generation, grave.erased) == ("", 3, True)
    assert await put(store, erased(version=2)) == (OUTDATED,)


async def test_an_erasure_from_before_an_org_left_says_nothing_of_it_connected_anew(store: Store) -> None:
    purge = {"purge_id": "0" * 32, "org_id": "acme", "generation": 2, "actor": "a", "done": "[]", "counts": b"{}"}
    async with store.write() as connection:
        await connection.execute(purges.insert().values(**purge, started_at=0, ended_at=1))
    await connect(store, generation=4)
    await put(store, snapshot(busy(1, 2), generation=4))
    assert await put(store, erased(version=9)) == (OTHER,)
    since = msgspec.structs.replace(erased(version=2), generation=3)
    assert await put(store, since) == (PUBLISHED,)


async def test_no_erasure_of_a_generation_yet_to_come_is_taken(store: Store) -> None:
    await put(store, snapshot(busy(1, 2), version=1))
    early = msgspec.structs.replace(erased(version=2), generation=2)
    assert await put(store, early) == (OTHER,)


async def test_a_mailbox_erased_after_it_left_is_told_once_more_and_its_address_is_forgotten(store: Store) -> None:
    await connect(store)
    await put(store, snapshot(busy(9, 10)))
    await put(store, unreadable(Bucket.REMOVED, version=2))
    assert await bytes_of(store, b"example.com") == 1
    assert await put(store, erased(version=3)) == (PUBLISHED,)
    assert await put(store, erased(version=4)) == (UNCHANGED,)
    assert await bytes_of(store, b"example.com") == 0


async def bytes_of(store: Store, needle: bytes) -> int:
    """Return how many rows of the log hold some bytes."""
    async with store.read() as connection:
        return sum(needle in body for body in (await connection.execute(select(updates.c.body))).scalars())


async def test_a_late_reading_does_not_bring_a_mailbox_back_and_a_newer_one_does(store: Store) -> None:
    await connect(store)
    await put(store, snapshot(version=1))
    await put(store, unreadable(Bucket.REMOVED, version=3))
    assert await put(store, snapshot(busy(9, 10), version=2)) == (OUTDATED,)
    assert (await held(store)).gone
    assert await put(store, snapshot(busy(9, 10), version=4)) == (PUBLISHED,)
    assert (await held(store)).blocks == (busy(9, 10),)


async def test_a_mailbox_that_was_never_published_leaves_without_a_word(store: Store) -> None:
    await connect(store)
    await put(store, unreadable(Bucket.GUEST))
    assert await log(store) == []


async def test_one_batch_holds_many_mailboxes_and_versions(store: Store) -> None:
    await connect(store)
    batch: list[Found] = [snapshot(busy(n, n + 1), mailbox_id=f"m-{n}") for n in range(60)]
    batch += [snapshot(busy(5, 9), mailbox_id="m-5", version=3), snapshot(mailbox_id="m-5", version=2)]
    outcomes = await put(store, *batch)
    assert outcomes == (*[PUBLISHED] * 5, OUTDATED, *[PUBLISHED] * 54, PUBLISHED, OUTDATED)
    assert len(await log(store)) == 60


async def test_orgs_with_equal_mailbox_ids_are_kept_apart(store: Store) -> None:
    await connect(store)
    await connect(store, "beta")
    await put(store, snapshot(busy(9, 10)), snapshot(busy(1, 2), org_id="beta"))
    await put(store, unreadable(Bucket.REMOVED, org_id="beta", version=2))
    assert (await held(store)).blocks == (busy(9, 10),)
    assert len(await log(store)) == 1
    assert [type(told) for told in await log(store, "beta")] == [MailboxRemoved]


async def test_two_ranges_far_apart_are_two_updates_in_order(store: Store) -> None:
    await connect(store)
    await put(store, snapshot())
    await put(store, snapshot(busy(1, 2), busy(500, 501), version=2))
    starts = [told.start for told in await log(store) if isinstance(told, AvailabilityUpdated)]
    assert starts[1:] == ["2026-01-05T01:00:00Z", "2026-01-25T20:00:00Z"]


async def test_a_window_that_moves_tells_the_new_day(store: Store) -> None:
    await connect(store)
    await put(store, snapshot(busy(1, 2)))
    moved = Window(WINDOW.start + DAY, WINDOW.end + DAY)
    await put(store, snapshot(version=2, window=moved))
    last = (await log(store))[-1]
    assert isinstance(last, AvailabilityUpdated)
    assert (last.start, last.end) == ("2026-03-06T00:00:00Z", "2026-03-07T00:00:00Z")


async def test_batches_at_the_same_time_lose_nothing(store: Store) -> None:
    await connect(store)
    readings = [snapshot(busy(n, n + 1), version=n) for n in range(1, 21)]
    random.Random(7).shuffle(readings)
    await asyncio.gather(*(put(store, reading) for reading in readings))
    assert (await held(store)).version == 20
    copy = Copy()
    for told in await log(store):
        copy.apply(told)
    assert copy.line == hourly(update(covered(snapshot(busy(20, 21))), WINDOW).busy)


async def test_a_database_that_cannot_be_reached_is_tried_again_and_not_counted() -> None:
    unreachable = open_store("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Retry) as pause:
        await put(unreachable, snapshot())
    assert (pause.value.reason, pause.value.counted) == ("store_unavailable", False)
    await unreachable.close()


histories = st.lists(
    st.one_of(snapshots(), st.sampled_from([*LEFT, Bucket.DENIED, Bucket.FAILING]).map(unreadable)),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(history=histories, chance=st.randoms(use_true_random=False))
async def test_any_order_and_repetition_ends_in_the_newest_reading(
    store: Store, history: Sequence[Found], chance: random.Random
) -> None:
    org_id = f"org-{next(_names)}"
    await connect(store, org_id)
    numbered: list[Found] = [
        msgspec.structs.replace(item, version=version, org_id=org_id) for version, item in enumerate(history, 1)
    ]
    deliveries = numbered + chance.choices(numbered, k=len(numbered))
    chance.shuffle(deliveries)
    while deliveries:
        size = chance.randint(1, 3)
        await put(store, *deliveries[:size])
        deliveries = deliveries[size:]
    newest, copy = numbered[-1], Copy()
    for told in await log(store, org_id):
        copy.apply(told)
    found = await row(store, org_id)
    assert found is not None
    assert found.version == len(numbered)
    if isinstance(newest, AvailabilitySnapshot):
        assert found == covered(newest)
        assert copy.line == hourly(update(found, found.window).busy)
        assert copy.known
    else:
        assert (found.blocks, found.bucket, copy.known) == ((), newest.bucket, False)
