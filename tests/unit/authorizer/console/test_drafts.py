"""What an admin has filled in and not saved: sealed, for their session alone, for half an hour."""

import asyncio

import pytest
from sqlalchemy import func, select

from services.authorizer.console import drafts, sessions
from services.authorizer.console.drafts import KEPT, MOST
from services.authorizer.console.place import Place, SetupSettings, Visit
from services.authorizer.desk import Desk
from services.authorizer.timer import Wakes
from shared.broker import open_broker
from shared.store import Store
from shared.tables import sign_ins
from shared.vault import Vault

NOW = 1_800_000_000
MINE = Visit(org_id="acme", actor="it", return_to="", csrf="", session_hash="a" * 64, created_at=NOW)
OTHERS = Visit(org_id="acme", actor="it", return_to="", csrf="", session_hash="b" * 64, created_at=NOW)


@pytest.fixture
def place(both: Store, desk: Desk, vault: Vault) -> Place:
    settings = SetupSettings(public_url="https://setup.example", link_keys=("k" * 32,))
    return Place(
        store=both, vault=vault, desk=desk, tokens=desk.microsoft.tokens,  # type: ignore[arg-type]  # a fake, not asked
        broker=open_broker("memory://"), wakes=Wakes(), settings=settings,
    )  # fmt: skip


async def test_a_draft_is_found_by_its_session_alone(place: Place) -> None:
    draft_id = await drafts.keep(place, MINE, "kind", b"canary", now=NOW)
    assert await drafts.kept(place, MINE, "kind", draft_id, now=NOW) == b"canary"
    assert await drafts.kept(place, OTHERS, "kind", draft_id, now=NOW) is None
    assert await drafts.kept(place, MINE, "another", draft_id, now=NOW) is None
    assert await drafts.taken(place, OTHERS, "kind", draft_id, now=NOW) is None
    assert not await drafts.put(place, OTHERS, "kind", draft_id, b"forged")
    assert await drafts.kept(place, MINE, "kind", draft_id, now=NOW) == b"canary"


async def test_what_is_kept_is_sealed_and_named_by_a_hash(place: Place) -> None:
    draft_id = await drafts.keep(place, MINE, "kind", b"canary", now=NOW)
    async with place.store.read() as reading:
        row = (await reading.execute(select(sign_ins))).one()
    assert b"canary" not in row.sealed
    assert draft_id not in str(tuple(row))


async def test_after_half_an_hour_a_draft_is_gone(place: Place) -> None:
    draft_id = await drafts.keep(place, MINE, "kind", b"canary", now=NOW)
    assert await drafts.kept(place, MINE, "kind", draft_id, now=NOW + KEPT - 1) == b"canary"
    assert await drafts.kept(place, MINE, "kind", draft_id, now=NOW + KEPT) is None
    await drafts.keep(place, MINE, "kind", b"later", now=NOW + KEPT)
    assert await _count(place) == 1


async def test_a_draft_is_taken_once(place: Place) -> None:
    draft_id = await drafts.keep(place, MINE, "kind", b"canary", now=NOW)
    taken = await asyncio.gather(*(drafts.taken(place, MINE, "kind", draft_id, now=NOW) for _ in range(4)))
    assert sorted(body is not None for body in taken) == [False, False, False, True]
    assert await drafts.kept(place, MINE, "kind", draft_id, now=NOW) is None


async def test_a_session_keeps_a_few_of_each_kind(place: Place) -> None:
    first = await drafts.keep(place, MINE, "kind", b"first", now=NOW)
    other = await drafts.keep(place, MINE, "other", b"other", now=NOW)
    for n in range(MOST):
        last = await drafts.keep(place, MINE, "kind", b"later", now=NOW + 1 + n)
    assert await _count(place) == MOST + 1
    assert await drafts.kept(place, MINE, "kind", first, now=NOW) is None
    assert await drafts.kept(place, MINE, "kind", last, now=NOW) == b"later"
    assert await drafts.kept(place, MINE, "other", other, now=NOW) == b"other"


async def test_a_draft_can_be_written_on(place: Place) -> None:
    draft_id = await drafts.keep(place, MINE, "kind", b"one", now=NOW)
    assert await drafts.put(place, MINE, "kind", draft_id, b"two")
    assert await drafts.kept(place, MINE, "kind", draft_id, now=NOW) == b"two"
    assert not await drafts.put(place, MINE, "kind", "unknown", b"two")


async def test_who_signs_out_leaves_no_draft_behind(place: Place) -> None:
    await drafts.keep(place, MINE, "kind", b"canary", now=NOW)
    await drafts.keep(place, OTHERS, "kind", b"theirs", now=NOW)
    await sessions.end(place.store, MINE.session_hash)
    assert await _count(place) == 1


@pytest.mark.parametrize("odd", ["", "x" * 5000, "\ud800", "../../x"])
async def test_an_id_nobody_gave_finds_nothing(place: Place, odd: str) -> None:
    assert await drafts.kept(place, MINE, "kind", odd, now=NOW) is None


async def _count(place: Place) -> int:
    async with place.store.read() as reading:
        return int((await reading.execute(select(func.count()).select_from(sign_ins))).scalar_one())
