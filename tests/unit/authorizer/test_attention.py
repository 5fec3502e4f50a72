"""An org that Microsoft turns away, on both databases: doubted, verified, kept but not read, and taken up again."""

import pytest
from sqlalchemy import update

from services.authorizer import due, requests, verdicts
from shared.connections import generations
from shared.store import Store
from shared.tables import orgs as table
from tests.unit.authorizer.acting import (
    NOW,
    ONE,
    OPEN,
    OTHER,
    STRICT,
    accepted,
    acts,
    connect,
    refused,
    row,
    said,
    state,
)

LATER = NOW + 1000


async def doubt(store: Store, *, generation: int = 1, now: int = LATER) -> bool:
    return await requests.doubt(store, "acme", generation=generation, now=now)


async def turned_away(store: Store) -> None:
    """Bring a connected org to need attention at LATER."""
    await connect(store)
    await due.remember(store, await due.claim(store, now=NOW), next_at=NOW + 86_400)
    assert await doubt(store)
    assert await refused(store, now=LATER) == "attention"


async def test_a_doubt_has_a_connected_org_verified_now(both: Store) -> None:
    await connect(both)
    assert await verdicts.claim(both, now=LATER, limit=1) == ()
    assert await doubt(both)
    assert not (await state(both)).pending
    assert await accepted(both, now=LATER) == "unchanged"
    assert await acts(both) == [("platform", "org.requested"), ("authorizer", "org.connected")]


async def test_many_doubts_are_one(both: Store) -> None:
    await connect(both)
    assert [await doubt(both, now=LATER) for _ in range(3)] == [True, False, False]
    (claimed,) = await verdicts.claim(both, now=LATER, limit=10)
    assert not await doubt(both, now=LATER + 15)  # its verification is under way, and goes on
    assert await verdicts.refuse(both, claimed, reason="secret_expired", times=_times(LATER + 16)) == "attention"


def _times(now: int) -> verdicts.Times:
    return verdicts.Times(now=now, connected=now + 86_400, attention=now + 60, refused=None)


async def test_a_doubt_of_another_generation_or_state_changes_nothing(both: Store) -> None:
    assert not await doubt(both)
    await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said())
    assert not await doubt(both, generation=1)
    await accepted(both, now=NOW)
    assert not await doubt(both, generation=2)
    assert await doubt(both, generation=1)
    assert await refused(both, now=LATER) == "attention"
    assert not await doubt(both, now=LATER + 1)
    assert await verdicts.claim(both, now=LATER + 59, limit=1) == ()


async def test_an_org_whose_change_was_refused_is_doubted_all_the_same(both: Store) -> None:
    await connect(both)
    await requests.connect(both, "acme", connection=OTHER, policy=OPEN, word=said())
    assert await refused(both, now=NOW) == "kept"
    assert await doubt(both)
    assert await refused(both, now=LATER) == "attention"


async def test_a_doubt_does_not_shorten_a_pause_that_was_ordered(both: Store) -> None:
    await connect(both)
    await doubt(both)
    (claimed,) = await verdicts.claim(both, now=LATER, limit=1)
    await verdicts.put_off(both, claimed, reason="graph_throttled", until=LATER + 600)
    assert not await doubt(both, now=LATER + 1)
    assert await verdicts.claim(both, now=LATER + 599, limit=1) == ()


async def test_an_org_turned_away_keeps_connection_and_policy_and_says_why(both: Store) -> None:
    await turned_away(both)
    found = await state(both)
    assert (found.state, found.generation, found.connection, found.policy) == ("attention", 1, ONE, OPEN)
    assert (found.reason, found.pending, found.connected_at) == ("secret_expired", False, NOW)
    assert found.sentence is not None
    async with both.read() as reading:
        assert await generations(reading, ["acme"]) == {"acme": 1}
    assert (await acts(both))[-1] == ("authorizer", "org.attention")


async def test_nothing_is_searched_in_an_org_that_needs_attention(both: Store) -> None:
    await turned_away(both)
    await due.everything(both, now=LATER)
    assert await due.claim(both, now=NOW + 10**6) == ()


async def test_it_is_tried_again_and_told_of_once(both: Store) -> None:
    await turned_away(both)
    before = await acts(both)
    for turn in range(1, 4):
        assert await verdicts.claim(both, now=LATER + 60 * turn - 1, limit=1) == ()
        assert await refused(both, now=LATER + 60 * turn) == "attention"
    assert await acts(both) == before
    assert await refused(both, now=LATER + 240, reason="directory_permission_missing") == "attention"
    assert (await state(both)).reason == "directory_permission_missing"
    assert await acts(both) == [*before, ("authorizer", "org.attention")]


async def test_once_good_it_is_connected_and_searched_under_the_same_generation(both: Store) -> None:
    await turned_away(both)
    assert await accepted(both, now=LATER + 60) == "restored"
    found = await state(both)
    assert (found.state, found.generation, found.reason, found.sentence) == ("connected", 1, None, None)
    assert (found.enumerate_at, found.connected_at) == (LATER + 60, NOW)
    assert [each.generation for each in await due.claim(both, now=LATER + 60)] == [1]
    assert (await acts(both))[-1] == ("authorizer", "org.restored")
    assert (await row(both)).verify_at == LATER + 60 + 86_400


@pytest.mark.parametrize("before", ["connected", "attention"])
async def test_a_verification_that_cannot_be_made_changes_nothing_but_is_shown(both: Store, before: str) -> None:
    if before == "attention":
        await turned_away(both)
    else:
        await connect(both)
        await doubt(both)
    (claimed,) = await verdicts.claim(both, now=LATER + 60, limit=1)
    await verdicts.put_off(both, claimed, reason="graph_unreachable", until=LATER + 65)
    found = await state(both)
    assert (found.state, found.generation, found.policy) == (before, 1, OPEN)
    assert found.reason == "graph_unreachable"
    assert "tried again" in str(found.sentence)


async def test_another_connection_asked_for_in_attention_is_put_in_force_once_verified(both: Store) -> None:
    await turned_away(both)
    await requests.connect(both, "acme", connection=OTHER, policy=OPEN, word=said(LATER + 1))
    found = await state(both)
    assert (found.state, found.pending, found.connection, found.reason) == ("attention", True, ONE, "secret_expired")
    assert await accepted(both, now=LATER + 1, tenant_id="guid-2") == "connected"
    found = await state(both)
    assert (found.state, found.generation, found.connection, found.reason) == ("connected", 2, OTHER, None)
    assert found.enumerate_at == LATER + 1


async def test_another_connection_refused_in_attention_leaves_it_there_to_be_tried_again(both: Store) -> None:
    await turned_away(both)
    await requests.connect(both, "acme", connection=OTHER, policy=OPEN, word=said(LATER + 1))
    assert await refused(both, now=LATER + 1, reason="tenant_unknown") == "kept"
    found = await state(both)
    assert (found.state, found.pending, found.connection, found.reason) == ("attention", False, ONE, "tenant_unknown")
    assert await accepted(both, now=LATER + 61) == "restored"


async def test_the_same_connection_asked_for_in_attention_is_verified_at_once(both: Store) -> None:
    await turned_away(both)
    await requests.connect(both, "acme", connection=ONE, policy=OPEN, word=said(LATER + 1))
    assert (await state(both)).pending
    assert await accepted(both, now=LATER + 1) == "restored"
    assert ((await state(both)).generation, (await state(both)).pending) == (1, False)


async def test_a_stricter_policy_in_attention_is_in_force_at_once(both: Store) -> None:
    await turned_away(both)
    assert await requests.change_policy(both, "acme", STRICT, word=said(LATER))
    found = await state(both)
    assert (found.state, found.generation, found.policy, found.reason) == ("attention", 2, STRICT, "secret_expired")
    assert (await row(both)).shown_from == 2


async def test_an_org_in_attention_holds_its_tenant(both: Store) -> None:
    await turned_away(both)
    await requests.connect(both, "thief", connection=OTHER, policy=OPEN, word=said())
    assert await accepted(both, now=NOW) == "tenant_taken"


@pytest.mark.parametrize("good", [True, False])
async def test_a_connected_org_that_nobody_reads_is_verified_every_day(both: Store, good: bool) -> None:
    await connect(both)
    day = NOW + 86_400
    assert await verdicts.claim(both, now=day - 1, limit=1) == ()
    if good:
        assert await accepted(both, now=day) == "unchanged"
        assert (await row(both)).verify_at == day + 86_400
    else:
        assert await refused(both, now=day) == "attention"


async def test_an_org_connected_by_an_earlier_release_is_watched_from_now_on(both: Store) -> None:
    await connect(both)
    async with both.write() as writing:
        await writing.execute(update(table).values(verify_at=None))
    await due.watch(both, verify_at=NOW + 9)
    assert await accepted(both, now=NOW + 9) == "unchanged"
    await due.watch(both, verify_at=NOW + 10)
    assert (await row(both)).verify_at == NOW + 9 + 86_400
