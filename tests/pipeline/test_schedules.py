"""Every message of the pipeline repeated, delayed and reordered: the end is the newest reading of each mailbox.

The real services run on the memory broker, in a time of their own; what each queue is given is disturbed on its way.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from deploy.sandbox import SandboxOptions
from shared.broker import topology
from shared.broker.space import Space
from shared.broker.wire import Letter
from shared.contracts.messages import GraphConnection, MailboxEnumerate, OrgConnected
from shared.contracts.policy import Policy
from shared.tables import orgs, updates
from tests.pipeline.embedded import Embedded, Wanted, embedded
from tests.pipeline.scene import said
from tests.soak.stepped import SteppedLoop, stepped

Step = Callable[[Embedded, Random], Awaitable[None]]


async def change(here: Embedded, _: Random) -> None:
    here.scene.stir(3)


async def another_policy(here: Embedded, chance: Random) -> None:
    here.scene.policy = Policy(days_ahead=chance.randrange(30, 200), poll_seconds=30)
    connection = GraphConnection(tenant_id=here.sandbox.tenant_id, credential="acme", cloud="sandbox")
    await here.rim.broker.publish([OrgConnected(org_id="acme", connection=connection, policy=here.scene.policy)])


async def leave(here: Embedded, chance: Random) -> None:
    people = here.scene.people()
    if len(people) > 6:
        here.sandbox.remove_user(chance.choice(people).address)
        await enumerate_anew(here, chance)


async def join(here: Embedded, chance: Random) -> None:
    here.sandbox.add_user(f"joiner.{chance.randrange(10**6)}@sandbox.example")
    await enumerate_anew(here, chance)


async def enumerate_anew(here: Embedded, chance: Random) -> None:
    generation = await _generation(here)
    if generation:
        await here.rim.broker.publish(
            [MailboxEnumerate(org_id="acme", generation=generation, run=f"{chance.getrandbits(128):032x}")]
        )


STEPS: tuple[Step, ...] = (change, change, change, another_policy, leave, join, enumerate_anew)


@pytest.mark.slow
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.floats(0, 8)), min_size=4, max_size=14),
)
def test_any_order_and_number_of_deliveries_ends_in_the_newest_readings(
    seed: int, steps: list[tuple[Step, float]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Space, "put", disturbed(Space.put, Random(seed)))
        with stepped(time.time()) as loop, asyncio.Runner(loop_factory=lambda: loop) as runner:  # noqa: TID251 -- start
            runner.run(_lived(Path(folder), Random(seed), steps))


def disturbed(put: Callable[[Space, Letter], None], chance: Random) -> Callable[[Space, Letter], None]:
    """Return what puts a letter of the pipeline once to three times, each up to some seconds late."""

    def scattered(space: Space, letter: Letter) -> None:
        if letter.exchange != topology.EXCHANGE:
            put(space, letter)
            return
        loop = asyncio.get_running_loop()
        for _ in range(chance.choice((1, 1, 2, 3))):
            loop.call_later(chance.choice((0, 0.1, 1, 5)) * chance.random(), _unless_closed, put, space, letter)

    return scattered


def _unless_closed(put: Callable[[Space, Letter], None], space: Space, letter: Letter) -> None:
    if not space.closed:
        put(space, letter)


async def _lived(folder: Path, chance: Random, steps: list[tuple[Step, float]]) -> None:
    with Path(os.devnull).open("w") as log:  # noqa: ASYNC230 -- it never blocks
        wanted = Wanted(folder=folder, sandbox=SandboxOptions(folder=folder, mailboxes=8, events=6), log=log,
                        policy=Policy(poll_seconds=30))  # fmt: skip
        async with embedded(wanted) as here:
            for step, pause in steps:
                await step(here, chance)
                await asyncio.sleep(pause)
            async with asyncio.timeout(3600):  # of the loop's time
                while found := await here.scene.differences():
                    _loop().leap(10)
                    await asyncio.sleep(1)
            assert not found
            assert said(await here.rim.broker.parked()) == []
            await _told_in_order(here)


def _loop() -> SteppedLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    return loop


async def _told_in_order(here: Embedded) -> None:
    """See that no generation is told after a newer one, and no reading of a mailbox after a newer one of it."""
    query = select(updates).where(updates.c.org_id == "acme").order_by(updates.c.position)
    async with here.rim.store.read() as connection:
        rows = (await connection.execute(query)).all()
    assert all(before.generation <= after.generation for before, after in pairwise(rows))
    versions: dict[str, int] = {}
    for row in rows:
        version: Any = msgspec.json.decode(row.body).get("version", 0)
        assert version == 0 or version >= versions.get(row.mailbox_id, 0)
        versions[row.mailbox_id] = version


async def _generation(here: Embedded) -> int:
    query = select(orgs.c.generation).where(orgs.c.org_id == "acme", orgs.c.state == "connected")
    async with here.rim.store.read() as connection:
        return (await connection.execute(query)).scalar_one_or_none() or 0
