"""Consumers' scopes and their end, alike on SQLite and PostgreSQL, and what the command says of their accesses."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select, text

from deploy.command.main import main
from services.publisher.accounting import HOUR, Tally
from services.publisher.consumers import add, bearer_of, listed, named, remove, rescope
from services.publisher.departure import depart
from shared import tables
from shared.errors import Reject
from shared.store import Store, open_store
from tests.unit.publisher.readings import MONDAY, connect
from tests.waiting import until


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    yield opened
    await opened.close()


async def test_a_new_scope_is_in_force_at_once_and_the_last_word_on_an_org_that_left_stays(store: Store) -> None:
    token = await add(store, "crm", ["acme", "beta"], now=MONDAY)
    await connect(store, generation=2, state="disconnecting")
    await depart(store, "acme", 2, now=MONDAY)
    before = await rescope(store, "crm", ["new", "new"])
    after = await bearer_of(store, token)
    assert before is not None
    assert after is not None
    assert (before.orgs, after.orgs) == (("beta",), ("new",))
    assert after.departed == before.departed
    assert list(after.departed) == ["acme"]
    assert await rescope(store, "nobody", ["new"]) is None


@pytest.mark.parametrize("orgs", [[], ["a.b"], ["acme\n"], ["#"]])
async def test_a_scope_that_is_none_changes_nothing(store: Store, orgs: list[str]) -> None:
    await add(store, "crm", ["acme"], now=MONDAY)
    with pytest.raises(Reject) as refusal:
        await rescope(store, "crm", orgs)
    assert refusal.value.reason == "orgs_invalid"
    assert [known.orgs for known in await listed(store)] == [("acme",)]


async def test_whoever_bears_a_name_next_finds_nothing_of_the_one_before(store: Store) -> None:
    await add(store, "crm", ["acme"], now=MONDAY)
    await add(store, "bi", ["acme"], now=MONDAY)
    for name in ("crm", "bi"):
        await own(store, name)
    assert await remove(store, "crm")
    assert await named(store, "crm") is None
    assert await counts(store) == {"webhooks": 1, "webhook_waits": 1, "deliveries": 1, "feeds": 1}
    assert not await remove(store, "crm")


async def test_what_is_being_made_for_a_consumer_goes_with_it(store: Store) -> None:
    await add(store, "crm", ["acme"], now=MONDAY)
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def waits() -> bool:
        async with store.read() as connection:
            return bool((await connection.execute(waiting)).scalar_one())

    async with store.write() as connection:  # as a feed is made
        await connection.execute(select(tables.consumers).where(tables.consumers.c.name == "crm").with_for_update())
        feed = {"feed_id": "f", "secret_hash": "h", "consumer": "crm", "org_id": "acme", "mailbox_id": "m"}
        await connection.execute(tables.feeds.insert().values(feed | {"created_at": MONDAY}))
        removing = asyncio.create_task(remove(store, "crm"))
        if not store.is_sqlite:
            await until(waits, 30)
    assert await removing
    assert (await counts(store))["feeds"] == 0


async def own(store: Store, name: str) -> None:
    """Put one of all that a consumer can own into the store."""
    hook = {"webhook_id": name, "consumer": name, "url": "u", "orgs": "[]", "secret": b"", "position": 0}
    wait = {"webhook_id": name, "org_id": "acme", "mailbox_id": "m", "position": 1, "attempts": 1, "first_at": 0}
    sent = {"webhook_id": name, "position": 1, "at": 0, "attempt": 1, "outcome": "delivered", "duration_ms": 1}
    feed = {"feed_id": name, "secret_hash": name, "consumer": name, "org_id": "acme", "mailbox_id": "m"}
    rows = (
        (tables.webhooks, hook | {"state": "enabled", "created_at": 0, "failures": 0}),
        (tables.webhook_waits, wait | {"next_at": 0}),
        (tables.deliveries, sent),
        (tables.feeds, feed | {"created_at": 0}),
    )
    async with store.write() as connection:
        for table, row in rows:
            await connection.execute(table.insert().values(row))


async def counts(store: Store) -> dict[str, int]:
    owned = (tables.webhooks, tables.webhook_waits, tables.deliveries, tables.feeds)
    async with store.read() as connection:
        return {
            table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in owned
        }


async def test_the_command_tells_how_often_a_consumer_asked(store: Store, store_url: str, tmp_path: Path) -> None:
    await add(store, "crm", ["acme"], now=MONDAY)
    tally = Tally()
    for now, status in ((MONDAY, 200), (MONDAY + 1, 200), (MONDAY + HOUR, 429)):
        tally.count("crm", "acme", "orgStatus", status=status, now=now)
    await tally.write(store)
    settings = {"BUSYLINE_DATABASE_URL": store_url, "BUSYLINE_KEYS_FILE": str(tmp_path / "keys"), "COLUMNS": "120"}

    async def says(*words: str, code: int = 0) -> list[str]:
        result = await asyncio.to_thread(CliRunner().invoke, main, ["consumers", "access", *words], env=settings)
        assert result.exit_code == code, result.output
        return [" ".join(line.split()) for line in result.output.splitlines()]

    assert (await says("crm", "--since", "2026-01-05"))[1:] == [
        "2026-01-05T00:00:00Z acme orgStatus 200 2",
        "2026-01-05T01:00:00Z acme orgStatus 429 1",
        "3 accesses",
    ]
    assert "1 accesses" in await says("crm", "--since", "2026-01-05T01:00:00Z")
    assert "0 accesses" in await says("crm")
    await remove(store, "crm")
    assert "3 accesses" in await says("crm", "--since", "2026-01-05")  # what was asked stays on record
    assert "no consumer" in (await says("nobody", code=1))[0]
