"""Days of everything in one process: leaps of an hour, life in between, a comparison and a measurement a day."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import func, or_, select

from deploy.sandbox import SandboxOptions
from services.authorizer.settings import Settings as AuthorizerSettings
from shared import clock
from shared.broker import topology
from shared.contracts.policy import Policy
from shared.tables import mailboxes, metadata
from tests.pipeline.embedded import Embedded, Wanted, embedded
from tests.pipeline.scene import said
from tests.soak.life import Life
from tests.soak.stepped import SteppedLoop

HOUR: Final = 3600
FIRST: Final = 600  # seconds for the first reading
AWAKE: Final = 18  # hours a day in which something happens
PATIENCE: Final = 9  # hours without anything new after which all must agree
STEP: Final = 0.5  # seconds between looks whether the work of an hour is done
LOOKS: Final = 120
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Day(Struct, frozen=True, kw_only=True):
    """What was measured at the end of one simulated day."""

    number: int
    hours_to_agree: int
    mailboxes: int
    rows: dict[str, int]
    waiting: dict[str, int]
    resident: float  # MiB
    parked: list[tuple[str, str, str]]
    seconds: float  # of real time


class Soaked(Struct, frozen=True, kw_only=True):
    """A whole soak."""

    days: list[Day]
    happened: dict[str, int]


async def soak(folder: Path, *, days: int, seed: int, told: Callable[[Day], None] = lambda _: None) -> Soaked:
    """Live through so many days on a SteppedLoop. Raises AssertionError where availability stays another."""
    with Path(os.devnull).open("w") as log:  # noqa: ASYNC230 -- it never blocks
        wanted = Wanted(
            folder=folder,
            sandbox=SandboxOptions(folder=folder, mailboxes=40, events=20, seed=seed),
            policy=Policy(poll_seconds=2 * HOUR, poll_seconds_subscribed=6 * HOUR),
            authorizer=AuthorizerSettings(enumerate_every=6 * HOUR),
            hints=True,
            log=log,
        )
        async with embedded(wanted) as here:
            async with asyncio.timeout(FIRST):
                while await here.scene.differences():
                    await asyncio.sleep(STEP)
            life = Life(here.scene, seed)
            found = []
            for number in range(1, days + 1):
                day = await _day(here, life, number)
                found.append(day)
                told(day)
            return Soaked(days=found, happened=life.said)


async def _day(here: Embedded, life: Life, number: int) -> Day:
    started = time.perf_counter()
    for _ in range(AWAKE):
        life.hour()
        await _hour(here)
    life.rest()
    hours = 0
    while differing := await here.scene.differences():
        assert hours < PATIENCE, f"day {number}: {len(differing)} differ: {dict(sorted(differing.items())[:5])}"
        hours += 1
        await _hour(here)
    broker = here.rim.broker
    return Day(
        number=number,
        hours_to_agree=hours,
        mailboxes=len(here.scene.people()),
        rows=await _rows(here),
        waiting={queue: depth for queue in topology.queue_arguments() if (depth := await broker.depth(queue))},
        resident=_resident(),
        parked=said(await broker.parked()),
        seconds=time.perf_counter() - started,
    )


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


async def _hour(here: Embedded) -> None:
    """Leap an hour, then let what became due be done."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    loop.leap(HOUR)
    for _ in range(LOOKS):
        await asyncio.sleep(STEP)
        if await _idle(here):
            return


async def _idle(here: Embedded) -> bool:
    """Say whether nothing waits, rests or is due."""
    for queue in topology.QUEUES:
        if await here.rim.broker.depth(queue):
            return False
    busy = or_(mailboxes.c.dirty, mailboxes.c.due_at <= clock.now(), mailboxes.c.lease_id.is_not(None))
    async with here.rim.store.read() as connection:
        return not (await connection.execute(select(func.count()).select_from(mailboxes).where(busy))).scalar_one()


async def _rows(here: Embedded) -> dict[str, int]:
    counts: dict[str, Any] = {}
    async with here.rim.store.read() as connection:
        for table in metadata.sorted_tables:
            counts[table.name] = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
    return counts
