"""An org that left is deleted from what is published, and only that org, alike on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from sqlalchemy import delete, func, select

from services.publisher import departure
from services.publisher.consumers import add, listed
from services.publisher.departure import depart
from services.publisher.timeline import covered, row_of
from services.publisher.timelines import publish
from shared.contracts.public import OrgRemoved
from shared.errors import Reject
from shared.store import Store, open_store
from shared.tables import orgs, timelines, updates
from tests.unit.publisher.readings import MONDAY, busy, connect, snapshot


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    await connect(opened, "beta")
    both = [snapshot(busy(1, 2), mailbox_id=f"m-{n}", org_id=org_id) for n in range(7) for org_id in ("acme", "beta")]
    await publish(opened, both, now=MONDAY)
    await connect(opened, generation=2, state="disconnecting")
    yield opened
    await opened.close()


async def rows(store: Store, org_id: str = "acme") -> tuple[int, list[tuple[str, int]]]:
    """Return how many timelines an org has, and the type and generation of each of its updates."""
    counted = select(func.count()).select_from(timelines).where(timelines.c.org_id == org_id)
    told = select(updates.c.type, updates.c.generation).where(updates.c.org_id == org_id).order_by(updates.c.position)
    async with store.read() as connection:
        count = (await connection.execute(counted)).scalar_one()
        return count, [(row.type, row.generation) for row in await connection.execute(told)]


async def test_all_of_an_org_goes_but_the_word_that_it_left(store: Store) -> None:
    assert await depart(store, "acme", 2, now=MONDAY) == {"timelines": 7, "updates": 7}
    assert await rows(store) == (0, [("org.removed.v1", 2)])
    count, told = await rows(store, "beta")
    assert (count, len(told)) == (7, 7)


async def test_the_word_is_that_of_the_contract_and_of_no_mailbox(store: Store) -> None:
    await depart(store, "acme", 2, now=MONDAY)
    query = select(updates.c.body, updates.c.mailbox_id).where(updates.c.type == "org.removed.v1")
    async with store.read() as connection:
        body, mailbox_id = (await connection.execute(query)).one()
    assert (msgspec.json.decode(body, type=OrgRemoved), mailbox_id) == (OrgRemoved(org_id="acme"), "")


async def test_doing_it_again_deletes_and_tells_nothing_more(store: Store) -> None:
    await depart(store, "acme", 2, now=MONDAY)
    async with store.write() as connection:
        await connection.execute(delete(orgs).where(orgs.c.org_id == "acme"))
    assert await depart(store, "acme", 2, now=MONDAY) == {"timelines": 0, "updates": 0}
    assert await rows(store) == (0, [("org.removed.v1", 2)])


async def test_twice_at_the_same_time_ends_as_once(store: Store) -> None:
    counts = await asyncio.gather(*(depart(store, "acme", 2, now=MONDAY) for _ in range(3)))
    assert sum(each["timelines"] for each in counts) == 7
    assert await rows(store) == (0, [("org.removed.v1", 2)])


async def test_what_a_newer_generation_published_of_an_org_connected_anew_stays(store: Store) -> None:
    await depart(store, "acme", 2, now=MONDAY)
    await connect(store, generation=3)
    await publish(store, [snapshot(busy(1, 2), generation=3)], now=MONDAY)
    token_of = await add(store, "crm", ["acme"], now=MONDAY)
    assert token_of
    assert await depart(store, "acme", 2, now=MONDAY) == {"timelines": 0, "updates": 0}
    assert await rows(store) == (1, [("org.removed.v1", 2), ("availability.updated.v1", 3)])
    assert [known.orgs for known in await listed(store)] == [("acme",)]


async def test_a_late_purge_does_not_tell_the_end_of_an_org_connected_anew(store: Store) -> None:
    await connect(store, generation=3)
    await depart(store, "acme", 2, now=MONDAY)
    assert await rows(store) == (0, [])


async def test_a_second_departure_is_told_anew_and_replaces_the_word_of_the_first(store: Store) -> None:
    await depart(store, "acme", 2, now=MONDAY)
    await connect(store, generation=4, state="disconnecting")
    await depart(store, "acme", 4, now=MONDAY)
    assert await rows(store) == (0, [("org.removed.v1", 4)])


@pytest.mark.parametrize("state", ["connected", "attention"])
async def test_an_org_in_force_is_refused(store: Store, state: str) -> None:
    await connect(store, generation=2, state=state)
    with pytest.raises(Reject, match="org_in_force"):
        await depart(store, "acme", 2, now=MONDAY)
    assert (await rows(store))[0] == 7


async def test_the_org_leaves_every_tokens_scope_and_no_other_org_does(store: Store) -> None:
    for name, scope in {"one": ["acme"], "two": ["acme", "beta"], "all": ["*"], "near": ["acme2"]}.items():
        await add(store, name, scope, now=MONDAY)
    await depart(store, "acme", 2, now=MONDAY)
    assert {known.name: known.orgs for known in await listed(store)} == {
        "all": ("*",), "near": ("acme2",), "one": (), "two": ("beta",),
    }  # fmt: skip


async def test_a_token_admitted_after_the_purge_keeps_its_scope(store: Store) -> None:
    await depart(store, "acme", 2, now=MONDAY)
    await add(store, "crm", ["acme"], now=MONDAY)
    await connect(store, generation=2, state="requested")  # it comes back, and the purge is delivered once more
    await depart(store, "acme", 2, now=MONDAY)
    assert [known.orgs for known in await listed(store)] == [("acme",)]


async def test_consumers_are_told_in_the_first_of_several_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departure, "PAGE", 3)
    monkeypatch.setattr(departure, "_deleted", broken_after(2))
    with pytest.raises(ZeroDivisionError):
        await depart(store, "acme", 2, now=MONDAY)
    count, told = await rows(store)
    assert (count, told.count(("org.removed.v1", 2))) == (4, 1)
    monkeypatch.undo()
    monkeypatch.setattr(departure, "PAGE", 3)
    assert await depart(store, "acme", 2, now=MONDAY) == {"timelines": 4, "updates": 4}
    assert await rows(store) == (0, [("org.removed.v1", 2)])


def broken_after(statements: int) -> object:
    """Return what deletes, and fails after so many statements: as a process that ends between two pages."""
    deleted, left = departure._deleted, iter(range(statements))

    async def delete_or_fail(*asked: object) -> int:
        if next(left, None) is None:
            raise ZeroDivisionError
        return await deleted(*asked)  # type: ignore[arg-type]

    return delete_or_fail


async def test_thousands_of_timelines_and_updates_go_a_page_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    like = row_of(covered(snapshot(*(busy(n, n + 1) for n in range(0, 400, 2)))))
    many = [{**like, "mailbox_id": f"many-{n}"} for n in range(3_000)]
    told = [
        {"org_id": "acme", "mailbox_id": f"many-{n % 3_000}", "generation": 1, "type": "availability.updated.v1",
         "created_at": MONDAY, "body": b"x" * 1000}
        for n in range(9_000)
    ]  # fmt: skip
    async with store.write() as connection:
        await connection.execute(timelines.insert(), many)
        await connection.execute(updates.insert(), told)
    gone: list[int] = []
    monkeypatch.setattr(departure, "_deleted", noting(gone))
    counts = await depart(store, "acme", 2, now=MONDAY)
    assert counts == {"timelines": 3_007, "updates": 9_007}
    assert (len(gone), max(gone)) == (2 * 10, departure.PAGE)  # ten pages, two statements each


def noting(gone: list[int]) -> object:
    """Return what deletes, and notes how many rows each statement took away."""
    deleted = departure._deleted

    async def delete_and_note(*asked: object) -> int:
        gone.append(await deleted(*asked))  # type: ignore[arg-type]
        return gone[-1]

    return delete_and_note
