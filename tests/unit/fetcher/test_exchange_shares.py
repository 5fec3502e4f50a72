import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

import services.fetcher.exchange_shares
from services.fetcher.exchange_fate import SHARED
from services.fetcher.exchange_shares import ALIVE, Share, forget, leave, part, say
from shared.ews.errors import EwsError
from shared.store import Store, open_store
from shared.tables import shares
from tests.waiting import until

NAMES = st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=20)
NOW = 1_790_000_000


@given(st.integers(min_value=1, max_value=100), NAMES)
def test_the_parts_of_all_replicas_are_the_whole_and_as_even_as_can_be(limit: int, names: set[str]) -> None:
    parts = [part(limit, names - {name}, name) for name in names]
    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.close()


async def test_replicas_see_one_another_and_who_is_silent_is_forgotten(store: Store) -> None:
    assert await say(store, "server", "a", now=NOW) == set()
    assert await say(store, "server", "b", now=NOW) == {"a"}
    assert await say(store, "elsewhere", "c", now=NOW) == set()
    assert await say(store, "server", "b", now=NOW + ALIVE) == set(), "a has not been heard of"
    await leave(store, "server", "b", now=NOW + ALIVE)
    async with store.read() as connection:
        assert (await connection.execute(select(shares.c.replica))).all() == [], "nothing stays of who is gone"


async def test_who_died_without_a_word_is_forgotten_and_nobody_else(store: Store) -> None:
    await say(store, "server", "dead", now=NOW - ALIVE)
    await say(store, "server", "alive", now=NOW)
    await forget(store, now=NOW)
    assert await say(store, "server", "me", now=NOW - ALIVE) == {"alive"}


async def test_no_more_requests_than_our_part_are_under_way_at_a_time(store: Store) -> None:
    share = Share(store, "server", replica="a", limit=3)
    most = under_way = 0

    async def ask() -> None:
        nonlocal most, under_way
        async with share:
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1

    await asyncio.gather(*(ask() for _ in range(20)))
    await share.close()
    assert most == 3


async def test_a_newcomer_gets_its_part_and_the_others_make_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.fetcher.exchange_shares, "BEAT", 0.05)
    first, second = (Share(store, "server", replica=name, limit=5) for name in "ab")
    async with first, second:
        await until(lambda: (first._mine, second._mine) == (3, 2))
    await second.close()
    async with first:
        await until(lambda: first._mine == 5)
    await first.close()


async def test_where_others_have_all_there_is_nothing_is_sent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.fetcher.exchange_shares, "BEAT", 0.05)
    first, second = (Share(store, "server", replica=name, limit=1) for name in "ab")
    async with first:
        with pytest.raises(EwsError) as raised:
            await second.__aenter__()
    assert raised.value.code == SHARED
    await first.close()
    await second.close()


async def test_a_request_that_comes_as_we_leave_is_made_by_one_who_is_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.fetcher.exchange_shares, "BEAT", 0.02)
    monkeypatch.setattr(services.fetcher.exchange_shares, "IDLE", 0.0)
    leaving, go_on, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slowly(store: Store, server: str, replica: str, *, now: int) -> None:
        leaving.set()
        await go_on.wait()
        await leave(store, server, replica, now=now)
        left.set()

    monkeypatch.setattr(services.fetcher.exchange_shares, "leave", slowly)
    share = Share(store, "server", replica="a", limit=3)
    async with share:
        pass
    await leaving.wait()
    asking = asyncio.create_task(share.__aenter__())
    await asyncio.sleep(0.05)
    go_on.set()
    await asyncio.gather(asking, left.wait())
    async with store.read() as connection:
        assert (await connection.execute(select(shares.c.replica))).scalars().all() == ["a"]
    await share.__aexit__(None, None, None)
    await share.close()
