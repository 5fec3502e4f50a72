"""Whoever follows the update log ends exactly where the publisher is, whatever happens to either, on both databases."""

import random
from collections.abc import AsyncIterator, Sequence

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.publisher import log, sse, tail
from services.publisher.log import PositionGone
from services.publisher.web import served
from shared.health import Health
from shared.store import Store, open_store
from tests.unit.publisher.busy_world import ORGS, STEPS, World
from tests.unit.publisher.followers import Follower, Replica, published
from tests.unit.publisher.readings import erased, snapshot

scenes = st.lists(st.sampled_from([*STEPS, "read", "read", "cut", "away", "anew"]), min_size=3, max_size=24)
SCOPES = st.sampled_from([ORGS, ("*",)])
often = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.close()


@pytest.fixture
async def follower(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["Slow"]:
    monkeypatch.setattr(tail, "POLL", 0.01)
    monkeypatch.setattr(tail, "BEAT", 0.01)
    monkeypatch.setattr(sse, "QUIET", 0.0)
    async with served(store, Health(), host="127.0.0.1", port=0) as port, ClientSession() as session:
        yield Slow(session, f"http://127.0.0.1:{port}", World(store))


class Slow(Follower):
    """A follower to whom, between two pages of a snapshot, the world goes on."""

    def __init__(self, session: ClientSession, url: str, world: World) -> None:
        super().__init__(session, url, "", *ORGS)
        self.world = world

    async def begun(self, scope: Sequence[str], chance: random.Random) -> World:
        """Begin with a world that is empty but for this consumer."""
        await self.world.begin(chance, *scope)
        self.replica = Replica()
        self.bearer = {"Authorization": f"Bearer {self.world.token}"}
        return self.world

    async def between(self) -> None:
        if self.world.chance.random() < 0.5:
            await self.world.step(self.world.chance.choice(STEPS))


@often
@given(scene=scenes, scope=SCOPES, chance=st.randoms(use_true_random=False))
async def test_a_feed_ends_where_the_publisher_is(
    follower: Slow, scene: Sequence[str], scope: Sequence[str], chance: random.Random
) -> None:
    world = await follower.begun(scope, chance)
    for word in scene:
        if word in ("read", "cut"):
            await follower.read(limit=chance.randint(1, 3), keep=word == "read")
        elif word == "anew":
            await follower.begin(limit=chance.randint(1, 2))
        elif word != "away":
            await world.step(word)
    here = await world.settle()
    while await follower.read():
        pass
    assert follower.replica.held() == await published(world.store, *here)


@often
@given(scene=scenes, scope=SCOPES, chance=st.randoms(use_true_random=False))
async def test_a_stream_cut_at_any_byte_ends_where_the_publisher_is(
    follower: Slow, scene: Sequence[str], scope: Sequence[str], chance: random.Random
) -> None:
    world = await follower.begun(scope, chance)
    for word in scene:
        if word in ("read", "cut"):
            await follower.listen(most=chance.choice([1, 50, 300, 700, 5000]))
        elif word == "anew":
            await follower.begin(limit=chance.randint(1, 2))
        elif word != "away":
            await world.step(word)
    here = await world.settle()
    while (follower.replica.position or 0) < await log.head(world.store):  # a heartbeat does not say that all was told
        await follower.listen(most=1 << 30)
    assert follower.replica.held() == await published(world.store, *here)


async def test_a_mailbox_erased_twice_is_still_told_of_to_whoever_has_not_heard(follower: Slow) -> None:
    world = await follower.begun(ORGS, random.Random(1))
    await world.put(snapshot())
    await follower.begin()
    await world.put(erased(version=2))
    await world.put(erased(version=3))
    await follower.read()
    assert follower.replica.held() == {}


async def test_a_position_is_known_once_it_was_given_out_and_until_it_is_forgotten(store: Store) -> None:
    world = World(store)
    await world.begin(random.Random(1))
    with pytest.raises(PositionGone, match="position_unknown"):
        await log.check(store, await given_out(world) + 1)
    await world.put(world.reading("acme", "m-1"))
    await world.put(world.reading("acme", "m-1"))
    last = await log.head(store)
    await log.check(store, last)
    await log.check(store, 0)
    await world.forget()
    with pytest.raises(PositionGone, match="position_forgotten"):
        await log.check(store, last - 2)
    await log.check(store, await log.beginning(store))


async def given_out(world: World) -> int:
    """Return the highest position there ever was, whatever is left of the log."""
    await world.put(world.reading("beta", "m-1"))
    return await log.head(world.store)
