"""The audit log on both databases: it only grows, it never forks, and whatever is done to it is found."""

import asyncio
import hashlib
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from services.authorizer import audit
from services.authorizer.audit import DEPLOYMENT, Entry, canonical, sealed, verify
from shared.store import Store, open_store
from shared.tables import audit as table

NOW = 1_800_000_000
words = st.text(max_size=20)
details = st.dictionaries(words, st.booleans() | st.integers(-(2**53), 2**53) | words, max_size=5)


async def append(store: Store, chain: str = "acme", **told: str | int | bool) -> str:
    async with store.write() as writing:
        return await audit.append(
            store, writing, chain=chain, actor="platform", action="org.requested", details=told, now=NOW
        )


async def open_to_changes(store: Store) -> None:
    """Take the triggers away, as somebody with the rights of the database's owner could."""
    async with store.write() as writing:
        if store.is_sqlite:
            for name in ("audit_no_update", "audit_no_delete"):
                await writing.execute(text(f"DROP TRIGGER {name}"))
        else:
            await writing.execute(text("DROP TRIGGER audit_append_only ON audit"))


async def test_entries_are_numbered_chained_and_whole(both: Store) -> None:
    hashes = [await append(both, count=n) for n in range(3)]
    found = await audit.entries(both, "acme")
    assert [entry.number for entry in found] == [1, 2, 3]
    assert [entry.hash for entry in found] == hashes
    assert [entry.previous for entry in found] == ["", *hashes[:2]]
    assert [entry.details for entry in found] == [{"count": n} for n in range(3)]
    assert verify(found, known=hashes) is None


async def test_each_org_has_a_chain_of_its_own_and_the_deployment_has_one(both: Store) -> None:
    for chain in ("b", "a", DEPLOYMENT, "a"):
        await append(both, chain)
    assert set(await audit.chains(both)) == {DEPLOYMENT, "a", "b"}
    assert [entry.number for entry in await audit.entries(both, "a")] == [1, 2]
    assert await audit.entries(both, "nobody") == ()
    assert verify(()) is None


async def test_an_entry_lives_and_dies_with_the_act_it_tells_of(both: Store) -> None:
    async def fail() -> None:
        async with both.write() as writing:
            act = {"chain": "acme", "actor": "platform", "action": "org.requested"}
            await audit.append(both, writing, **act, details={}, now=NOW)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await audit.entries(both, "acme") == ()


async def test_writers_at_once_never_fork_a_chain(store_url: str) -> None:
    stores = [open_store(store_url) for _ in range(3)]
    await asyncio.gather(*(append(stores[n % 3], count=n) for n in range(30)))
    found = await audit.entries(stores[0], "acme")
    assert len(found) == 30
    assert verify(found) is None
    for store in stores:
        await store.close()


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
async def test_the_database_refuses_every_change(both: Store, change: str) -> None:
    await append(both)
    with pytest.raises(DBAPIError, match="append-only"):
        async with both.write() as writing:
            await writing.execute(text(change))
    assert len(await audit.entries(both, "acme")) == 1


async def test_postgresql_refuses_to_empty_it_at_once(migrated_postgres_url: str) -> None:
    store = open_store(migrated_postgres_url)
    with pytest.raises(DBAPIError, match="append-only"):
        async with store.write() as writing:
            await writing.execute(text("TRUNCATE audit"))
    await store.close()


CHANGES: list[Mapping[str, object]] = [
    {"actor": "nobody"},
    {"action": "org.purged"},
    {"at": NOW + 1},
    {"details": b'{"count":8}'},
    {"details": b'{"count": 1}'},
    {"details": b'{"count":1,"count":1}'},
    {"details": b"nonsense"},
    {"details": b"\xff"},
    {"previous": ""},
    {"hash": "0" * 64},
    {"number": 7},
]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_tampered_entry_is_found(both: Store, change: Mapping[str, object]) -> None:
    for n in range(3):
        await append(both, count=n)
    await open_to_changes(both)
    async with both.write() as writing:
        await writing.execute(update(table).where(table.c.number == 2).values(**change))
    assert verify(await audit.entries(both, "acme")) == 2


@pytest.mark.parametrize(("number", "broken"), [(1, 1), (2, 2), (3, None)])
async def test_an_entry_taken_out_is_found_but_for_the_last(both: Store, number: int, broken: int | None) -> None:
    for n in range(3):
        await append(both, count=n)
    await open_to_changes(both)
    async with both.write() as writing:
        await writing.execute(delete(table).where(table.c.number == number))
    assert verify(await audit.entries(both, "acme")) == broken


async def test_a_last_entry_taken_out_is_found_by_its_hash_printed_elsewhere(both: Store) -> None:
    *_, last = [await append(both, count=n) for n in range(3)]
    assert verify(await audit.entries(both, "acme"), known=[last]) is None
    await open_to_changes(both)
    async with both.write() as writing:
        await writing.execute(delete(table).where(table.c.number == 3))
    assert verify(await audit.entries(both, "acme"), known=[last]) == 3


def chain(*told: dict[str, str | int | bool], name: str = "acme") -> list[Entry]:
    made: list[Entry] = []
    for number, each in enumerate(told, 1):
        previous = made[-1].hash if made else ""
        values = {"chain": name, "number": number, "at": NOW, "actor": "a", "action": "b", "details": each}
        entry = Entry(**values, previous=previous, hash="")
        made.append(replace(entry, hash=sealed(entry)))
    return made


@given(st.lists(details, max_size=6))
def test_what_was_chained_is_whole(told: list[dict[str, str | int | bool]]) -> None:
    assert verify(chain(*told)) is None


@given(details, words, words)
def test_the_bytes_that_are_hashed_are_what_any_json_library_writes(
    told: dict[str, str | int | bool], actor: str, action: str
) -> None:
    entry = Entry(chain="acme", number=1, at=NOW, actor=actor, action=action, details=told, previous="", hash="")
    parts = ["acme", 1, NOW, actor, action, told, ""]
    written = json.dumps(parts, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    assert canonical(entry) == written
    assert sealed(entry) == hashlib.sha256(written).hexdigest()


@given(st.data())
def test_entries_in_another_order_are_not_whole(data: st.DataObject) -> None:
    whole = chain({"a": 1}, {"a": 2}, {"a": 3})
    assert (verify(data.draw(st.permutations(whole).filter(lambda other: other != whole)))) is not None


def test_entries_of_two_chains_are_not_one() -> None:
    first, second = chain({"a": 1}, {"a": 2})
    moved = replace(second, chain="other")
    assert verify([first, replace(moved, hash=sealed(moved))]) == 2
