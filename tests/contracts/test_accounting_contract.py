"""How often each consumer asked, alike on SQLite and PostgreSQL: nothing is lost, and nobody who left is named."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from services.publisher.accounting import HOUR, Access, Tally, _rows, counted, forget_old
from services.publisher.departure import depart
from shared.errors import Retry
from shared.store import Store, open_store
from shared.tables import accesses
from tests.unit.publisher.readings import MONDAY, connect


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    yield opened
    await opened.close()


def ask(tally: Tally, times: int = 1, *, org: str = "acme", status: int = 200, now: int = MONDAY) -> None:
    for _ in range(times):
        tally.count("crm", org, "orgStatus", status=status, now=now)


async def told(store: Store, since: int = 0) -> list[tuple[int, str, int, int]]:
    return [(row.hour, row.org_id, row.status, count) for row, count in await counted(store, "crm", since=since)]


async def test_accesses_add_up_by_the_hour_the_org_and_the_status(store: Store) -> None:
    tally = Tally()
    ask(tally, 3, now=MONDAY + 1)
    ask(tally, 2, now=MONDAY + HOUR)
    await tally.write(store)
    ask(tally, 4, now=MONDAY + HOUR - 1)
    ask(tally, 1, status=429)
    ask(tally, 1, org="")
    await tally.write(store)
    await tally.write(store)
    first = [(MONDAY, "", 200, 1), (MONDAY, "acme", 200, 7), (MONDAY, "acme", 429, 1)]
    assert await told(store) == [*first, (MONDAY + HOUR, "acme", 200, 2)]
    assert await told(store, MONDAY + HOUR + 5) == [(MONDAY + HOUR, "acme", 200, 2)]


async def test_several_replicas_add_to_the_same_rows(store: Store) -> None:
    tallies = [Tally() for _ in range(4)]
    for tally in tallies:
        ask(tally, 10)
        ask(tally, 5, status=404)
    await asyncio.gather(*(tally.write(store) for tally in tallies))
    assert await told(store) == [(MONDAY, "acme", 200, 40), (MONDAY, "acme", 404, 20)]


async def test_what_could_not_be_written_is_written_later(store: Store) -> None:
    tally, nowhere = Tally(), open_store("postgresql://nobody@127.0.0.1:1/none")
    ask(tally, 3)
    with pytest.raises(Retry):
        await tally.write(nowhere)
    await nowhere.close()
    ask(tally)
    await tally.write(store)
    assert [count for *_, count in await told(store)] == [4]


async def test_what_was_counted_last_is_written_at_the_end(store: Store) -> None:
    tally, stop = Tally(), asyncio.Event()
    keeping = asyncio.create_task(tally.keep(store, days=0, stop=stop))
    ask(tally, 3)
    stop.set()
    await keeping
    assert [count for *_, count in await told(store)] == [3]


async def test_an_org_that_left_is_named_by_no_row_not_even_by_one_written_later(store: Store) -> None:
    await connect(store, "beta")
    tally = Tally()
    ask(tally, 2)
    ask(tally, 2, org="beta")
    await tally.write(store)
    await connect(store, generation=2, state="disconnecting")
    await depart(store, "acme", 2, now=MONDAY)
    ask(tally, 5)
    ask(tally, 1, org="")
    await tally.write(store)
    assert await told(store) == [(MONDAY, "", 200, 6), (MONDAY, "beta", 200, 2)]


async def test_old_rows_are_deleted(store: Store) -> None:
    tally = Tally()
    for hour in range(4):
        ask(tally, now=MONDAY + hour * HOUR)
    await tally.write(store)
    await forget_old(store, before=MONDAY + 2 * HOUR)
    async with store.read() as connection:
        hours = (await connection.execute(select(accesses.c.hour).order_by(accesses.c.hour))).scalars().all()
    assert hours == [MONDAY + 2 * HOUR, MONDAY + 3 * HOUR]


ACCESSES = st.builds(
    Access,
    st.sampled_from([0, HOUR]),
    st.sampled_from(["crm", "bi"]),
    st.sampled_from(["", "acme", "beta"]),
    st.just("orgStatus"),
    st.sampled_from([200, 404]),
)


@given(st.lists(ACCESSES), st.sets(st.sampled_from(["acme", "beta"])))
def test_no_access_is_lost_where_an_org_is_not_named(asked: list[Access], gone: set[str]) -> None:
    tally = Tally()
    for each in asked:
        tally.count(each.consumer, each.org_id, each.operation, status=each.status, now=each.hour)
    rows = dict(_rows(tally._counts, gone))
    assert sum(rows.values()) == len(asked)
    assert not {access.org_id for access in rows} & gone
    for access, count in rows.items():
        if access.org_id:
            assert count == asked.count(access)
