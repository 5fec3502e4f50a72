"""What is kept of the update log, alike on SQLite and PostgreSQL: the last word on everybody, and all that is new."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from services.publisher import retention
from services.publisher.relay import NAME
from services.publisher.retention import forget_old, retain
from shared import clock
from shared.contracts.values import DAY
from shared.store import Store, open_store
from shared.tables import relay, updates
from tests.unit.publisher.readings import MONDAY
from tests.waiting import until

OLD, NEW = MONDAY - 31 * DAY, MONDAY - DAY
BEFORE = MONDAY - 30 * DAY


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.close()


async def fill(store: Store, *told: tuple[str, int], announced: int | None = None) -> None:
    """Write updates of mailboxes (as `org mailbox` and an instant), announced up to a position."""
    rows = [
        {"org_id": name.split()[0], "mailbox_id": name.split()[1], "generation": 1, "type": "availability.updated.v1",
         "created_at": at, "body": b"{}"}
        for name, at in told
    ]  # fmt: skip
    async with store.write() as connection:
        await connection.execute(updates.insert(), rows)
        await connection.execute(
            relay.insert().values(name=NAME, position=len(told) if announced is None else announced)
        )


async def kept(store: Store) -> list[int]:
    async with store.read() as connection:
        return list((await connection.execute(select(updates.c.position).order_by(updates.c.position))).scalars())


async def test_old_news_goes_where_newer_news_of_the_same_mailbox_is_there(store: Store) -> None:
    await fill(store, ("acme a", OLD), ("acme b", OLD), ("beta a", OLD), ("acme a", OLD), ("acme a", NEW))
    assert await forget_old(store, before=BEFORE) == 0
    assert await kept(store) == [2, 3, 5]


async def test_what_is_not_old_stays_though_newer_news_is_there(store: Store) -> None:
    await fill(store, ("acme a", NEW), ("acme a", NEW))
    await forget_old(store, before=BEFORE)
    assert await kept(store) == [1, 2]


async def test_an_old_notice_of_removal_goes_with_the_address_in_it_and_the_word_on_an_org_stays(store: Store) -> None:
    await fill(store, ("acme a", OLD), ("beta b", OLD), ("beta c", NEW))
    async with store.write() as connection:
        for mailbox, kind in (("a", "mailbox.removed.v1"), ("b", "org.removed.v1"), ("c", "mailbox.removed.v1")):
            await connection.execute(updates.update().where(updates.c.mailbox_id == mailbox).values(type=kind))
    await forget_old(store, before=BEFORE)
    assert await kept(store) == [2, 3]


async def test_what_is_not_announced_yet_stays(store: Store) -> None:
    await fill(store, ("acme a", OLD), ("acme a", OLD), ("acme a", OLD), announced=1)
    await forget_old(store, before=BEFORE)
    assert await kept(store) == [2, 3]


async def test_without_a_relay_nothing_was_announced(store: Store) -> None:
    await fill(store, ("acme a", OLD), ("acme a", OLD))
    async with store.write() as connection:
        await connection.execute(relay.delete())
    await forget_old(store, before=BEFORE)
    assert await kept(store) == [1, 2]


async def test_a_long_log_is_gone_through_page_by_page_and_gone_on_with(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 4)
    monkeypatch.setattr(retention, "PAGES", 2)
    await fill(store, *[("acme a", OLD)] * 19, ("acme a", NEW))
    place = await forget_old(store, before=BEFORE)
    assert (place, await kept(store)) == (8, list(range(9, 21)))
    while place := await forget_old(store, before=BEFORE, place=place):
        pass
    assert await kept(store) == [20]


async def run_for_a_pass(store: Store, days: int) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(retain(store, days=days, stop=stop))
    if days:
        await until(lambda: _kept_is(store, [2]))
    else:
        await asyncio.wait({running}, timeout=0.2)
    stop.set()
    await asyncio.wait_for(running, 60)


async def _kept_is(store: Store, positions: list[int]) -> bool:
    return await kept(store) == positions


async def test_the_loop_counts_the_days_from_now_and_ends_when_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: MONDAY)
    await fill(store, ("acme a", OLD), ("acme a", NEW))
    await run_for_a_pass(store, 30)


async def test_with_no_days_all_is_kept_for_ever(store: Store) -> None:
    await fill(store, ("acme a", OLD), ("acme a", NEW))
    await run_for_a_pass(store, 0)
    assert await kept(store) == [1, 2]
