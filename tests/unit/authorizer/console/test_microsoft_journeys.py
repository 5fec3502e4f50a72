"""Journeys to Microsoft in the store: sealed, for one session, one return, ten minutes; on both databases."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from sqlalchemy import select, update

from services.authorizer.console.microsoft_journeys import LASTS, Journey, keep, new_state, take
from services.authorizer.console.microsoft_rules import JourneyRefused
from services.authorizer.console.place import Place, Visit
from services.authorizer.desk import Desk
from shared.broker import open_broker
from shared.store import Store
from shared.tables import sign_ins
from tests.unit.authorizer.acting import NOW
from tests.unit.authorizer.console.visiting import place_with

VISIT = Visit(org_id="acme", actor="x", return_to="", csrf="c", session_hash="session-1", created_at=NOW)
OTHER = replace(VISIT, session_hash="session-2")
JOURNEY = Journey(kind="sign_in", cloud="global", client_id="app", flow={"code_verifier": "canary"})


@pytest.fixture
async def place(desk: Desk, both: Store) -> AsyncIterator[Place]:
    broker = open_broker("memory://")
    yield replace(place_with(desk, broker), store=both)
    await broker.close()


async def begun(place: Place) -> str:
    state = new_state()
    await keep(place, VISIT, state, JOURNEY, now=NOW)
    return state


async def refusal(place: Place, state: str, *, visit: Visit = VISIT, now: int = NOW, kind: str = "sign_in") -> str:
    with pytest.raises(JourneyRefused) as caught:
        await take(place, visit, state, kind, now=now)  # type: ignore[arg-type]  # a kind of the test's
    return caught.value.reason


async def test_a_journey_comes_back_once(place: Place) -> None:
    state = await begun(place)
    assert await take(place, VISIT, state, "sign_in", now=NOW + LASTS - 1) == JOURNEY
    assert await refusal(place, state) == "state_unknown"


async def test_of_two_returns_at_once_one_counts(place: Place) -> None:
    state = await begun(place)
    found = await asyncio.gather(
        *(take(place, VISIT, state, "sign_in", now=NOW) for _ in range(4)), return_exceptions=True
    )
    assert found.count(JOURNEY) == 1
    assert all(isinstance(one, JourneyRefused) for one in found if one != JOURNEY)


async def test_one_of_another_session_or_sort_is_unknown_and_stays(place: Place) -> None:
    state = await begun(place)
    assert await refusal(place, state, visit=OTHER) == "state_unknown"
    assert await refusal(place, state, kind="consent") == "state_unknown"
    assert await take(place, VISIT, state, "sign_in", now=NOW) == JOURNEY


async def test_one_that_took_too_long_is_over(place: Place) -> None:
    state = await begun(place)
    assert await refusal(place, state, now=NOW + LASTS) == "state_expired"
    assert await refusal(place, state) == "state_unknown"


@pytest.mark.parametrize("state", ["", "x", "ü" * 43, "x" * 129, "x" * 100_000])
async def test_what_is_no_state_is_unknown(place: Place, state: str) -> None:
    assert await refusal(place, state) == "state_unknown"


async def test_neither_state_nor_journey_lies_in_the_clear(place: Place) -> None:
    state = await begun(place)
    async with place.store.read() as reading:
        row = (await reading.execute(select(sign_ins))).one()
    assert state not in str(row)
    assert b"canary" not in row.sealed


async def test_a_journey_moved_to_another_state_is_not_opened(place: Place) -> None:
    first, second = await begun(place), await begun(place)
    async with place.store.write() as writing:
        rows = (await writing.execute(select(sign_ins.c.state_hash, sign_ins.c.sealed))).all()
        for row, other in zip(rows, reversed(rows), strict=True):
            here = update(sign_ins).where(sign_ins.c.state_hash == row.state_hash)
            await writing.execute(here.values(sealed=other.sealed))
    assert await refusal(place, first) == "state_unknown"
    assert await refusal(place, second) == "state_unknown"
