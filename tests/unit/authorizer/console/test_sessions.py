"""Sessions on both databases: one for a link, a new id each time, over when idle or old, gone when signed out."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text

from services.authorizer.console import sessions
from services.authorizer.console.links import Link, LinkRefused
from services.authorizer.console.place import Visit
from services.authorizer.console.sessions import ABSOLUTE, IDLE
from shared.store import Store
from shared.tables import sessions as table
from shared.tables import sign_ins, used_links
from shared.vault import Vault

NOW = 1_800_000_000
OTHER = Vault({"k2": bytes(range(32)), "k1": bytes(32)})
VAULT = Vault({"k1": bytes(32)})


def link(number: int = 1, org_id: str = "acme") -> Link:
    return Link(
        org_id=org_id,
        actor="user-7",
        return_to="https://platform.example/",
        link_hash=f"hash-{number}",
        issued_at=NOW,
        expires_at=NOW + 600,
    )


async def begun(store: Store, number: int = 1, *, former: str = "", now: int = NOW) -> str:
    return (await sessions.begin(store, link(number), former=former, now=now)).session_id


async def visit(store: Store, session_id: str, *, now: int = NOW, seen: bool = True) -> Visit | str:
    return await sessions.visit(store, VAULT, session_id, now=now, seen=seen)


async def test_a_link_opens_a_session_that_knows_org_actor_and_way_back(both: Store) -> None:
    found = await visit(both, await begun(both))
    assert isinstance(found, Visit)
    assert (found.org_id, found.actor, found.return_to, found.created_at) == (
        "acme",
        "user-7",
        "https://platform.example/",
        NOW,
    )


async def test_a_link_opens_one_session_and_no_second(both: Store) -> None:
    await begun(both)
    with pytest.raises(LinkRefused) as caught:
        await begun(both)
    assert caught.value.reason == "used"
    async with both.read() as reading:
        assert len((await reading.execute(select(table))).all()) == 1


async def test_of_two_that_follow_a_link_at_once_one_comes_in(both: Store) -> None:
    found = await asyncio.gather(*(begun(both) for _ in range(4)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["LinkRefused"] * 3 + ["str"]


async def test_the_id_lies_in_no_table(both: Store) -> None:
    session_id = await begun(both)
    async with both.read() as reading:
        (row,) = (await reading.execute(select(table))).all()
    assert session_id not in str(tuple(row))
    assert len(session_id) == 43


async def test_a_link_ends_the_browsers_former_session_and_takes_no_id_given(both: Store) -> None:
    former = await begun(both)
    present = await begun(both, 2, former=former)
    assert present != former
    assert await visit(both, former) == "none"
    assert isinstance(await visit(both, present), Visit)


async def test_a_link_that_is_refused_leaves_the_former_session_as_it_was(both: Store) -> None:
    former = await begun(both)
    with pytest.raises(LinkRefused):
        await begun(both, 1, former=former)
    assert isinstance(await visit(both, former), Visit)


async def test_half_an_hour_without_a_request_ends_a_session(both: Store) -> None:
    session_id = await begun(both)
    assert isinstance(await visit(both, session_id, now=NOW + IDLE - 1), Visit)
    assert isinstance(await visit(both, session_id, now=NOW + 2 * IDLE - 2), Visit)
    assert await visit(both, session_id, now=NOW + 3 * IDLE - 2) == "idle"
    assert await visit(both, session_id, now=NOW + 3 * IDLE - 2) == "none"


async def test_what_a_page_asks_by_itself_keeps_no_session_open(both: Store) -> None:
    session_id = await begun(both)
    assert isinstance(await visit(both, session_id, now=NOW + IDLE - 1, seen=False), Visit)
    assert await visit(both, session_id, now=NOW + IDLE) == "idle"


async def test_twelve_hours_end_a_session_however_busy(both: Store) -> None:
    session_id = await begun(both)
    for now in range(NOW, NOW + ABSOLUTE, IDLE - 1):
        assert isinstance(await visit(both, session_id, now=now), Visit)
    assert await visit(both, session_id, now=NOW + ABSOLUTE) == "idle"


async def test_an_open_session_can_be_asked_after_by_its_hash(both: Store) -> None:
    session_id = await begun(both)
    session_hash = sessions.hashed(session_id)
    assert await sessions.is_open(both, session_hash, now=NOW + IDLE - 1)
    assert not await sessions.is_open(both, session_hash, now=NOW + IDLE)
    assert not await sessions.is_open(both, sessions.hashed("another"), now=NOW)


async def test_signing_out_takes_the_session_and_its_journeys_away(both: Store) -> None:
    session_id = await begun(both)
    async with both.write() as writing:
        await writing.execute(sign_ins.insert().values(**journey("s1", sessions.hashed(session_id), NOW + 600)))
    await sessions.end(both, sessions.hashed(session_id))
    assert await visit(both, session_id) == "none"
    assert await counts(both) == {"sessions": 0, "used_links": 1, "sign_ins": 0}


async def test_what_is_over_is_tidied_away_and_nothing_else(both: Store) -> None:
    await begun(both)
    fresh = await begun(both, 2, now=NOW + 590)
    async with both.write() as writing:
        await writing.execute(sign_ins.insert().values(**journey("s1", "h", NOW + 600)))
        await writing.execute(sign_ins.insert().values(**journey("s2", "h", NOW + 601)))
    await sessions.tidy(both, now=NOW + 600)
    assert await counts(both) == {"sessions": 2, "used_links": 2, "sign_ins": 1}
    await sessions.tidy(both, now=NOW + IDLE)
    assert await counts(both) == {"sessions": 1, "used_links": 0, "sign_ins": 0}
    assert isinstance(await visit(both, fresh, now=NOW + IDLE), Visit)


async def test_a_replica_whose_clock_is_ahead_makes_no_link_good_again(both: Store) -> None:
    await begun(both)
    await sessions.tidy(both, now=NOW + 600 + 60)
    with pytest.raises(LinkRefused):
        await begun(both, now=NOW + 599)


def journey(state: str, session_hash: str, until: int) -> dict[str, Any]:
    row = {"state_hash": state, "session_hash": session_hash, "org_id": "acme", "kind": "consent"}
    return row | {"sealed": b"x", "until": until}


async def counts(store: Store) -> dict[str, int]:
    async with store.read() as reading:
        return {
            name.name: (await reading.execute(text(f"SELECT count(*) FROM {name.name}"))).scalar_one()
            for name in (table, used_links, sign_ins)
        }


@pytest.mark.parametrize("session_id", ["", "x", "ä" * 43, "\ud800" * 43, "x" * 43, "x" * 100_000])
async def test_whatever_lies_in_a_cookie_opens_nothing(both: Store, session_id: str) -> None:
    assert await visit(both, session_id) == "none"


def test_a_forms_token_belongs_to_one_session_and_survives_a_new_key() -> None:
    token = sessions.csrf_token(VAULT, "one")
    assert sessions.is_csrf_token(VAULT, "one", token)
    assert sessions.is_csrf_token(OTHER, "one", token)
    assert not sessions.is_csrf_token(VAULT, "two", token)
    assert not sessions.is_csrf_token(VAULT, "one", "\udcff" + token)
    assert not sessions.is_csrf_token(VAULT, "one", "")
