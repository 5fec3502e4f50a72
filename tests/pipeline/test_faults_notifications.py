"""What happens to notifications and subscriptions: how soon, in the loop's own time, consumers are told nevertheless.

One org in one process lives through all of it, one fault after the other; each test looks at one of them. Calendars
are polled every six hours only, so what is told sooner was told by a hint.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import Struct
from sqlalchemy import func, select

from deploy.sandbox import SandboxOptions
from deploy.sandbox.notice_faults import NoticeFault, NoticeFaultKind
from services.fetcher.settings import Settings as FetcherSettings
from shared.contracts.policy import Policy
from shared.tables import mailboxes
from tests.pipeline.embedded import Embedded, Wanted, embedded
from tests.pipeline.scene import said
from tests.soak.stepped import SteppedLoop, stepped

pytestmark = pytest.mark.slow

HOUR = 3600
POLL = 6 * HOUR
SOON = 10.0  # seconds: spacing, retries of one failed reading
LAST = 90.0  # seconds before the time allowed in which there are no leaps: work under way would seem to last as long
Fault = Callable[[Embedded], Awaitable[None]]


class Seen(Struct, frozen=True, kw_only=True):
    """What came of one fault: after how many seconds all agreed (None: never), how many readings, what was parked."""

    seconds: float | None
    readings: int
    parked: list[tuple[str, str, str]]


async def nothing(here: Embedded) -> None:
    here.scene.stir(30)


def ordered(fault: NoticeFault) -> Fault:
    async def order(here: Embedded) -> None:
        here.sandbox.notifications.order(fault)
        here.scene.stir(30)

    return order


async def forged(here: Embedded) -> None:
    for person in here.scene.people():
        here.sandbox.notifications.forge(person.address)
        here.sandbox.notifications.forge(person.address, unknown=True)


def told(event: str) -> Fault:
    async def tell(here: Embedded) -> None:
        for person in here.scene.people():
            here.sandbox.notifications.lifecycle(person.address, event)
        here.scene.stir(30)

    return tell


async def missed(here: Embedded) -> None:
    lost = here.sandbox.notifications.order(NoticeFault(kind=NoticeFaultKind.LOSE))
    here.scene.stir(30)
    here.sandbox.notifications.clear(lost)
    for person in here.scene.people():
        here.sandbox.notifications.lifecycle(person.address, "missed")


async def vanished(here: Embedded) -> None:
    for person in here.scene.people():
        here.sandbox.notifications.drop(person.address)
    here.scene.stir(30)


async def expired(here: Embedded) -> None:
    for person in here.scene.people():
        here.sandbox.notifications.expire(person.address)
    here.scene.stir(30)


# leaps are up to a minute long
ROLL = 600.0  # seconds in which subscriptions are made anew and what happened meanwhile is read
FAULTS: dict[str, tuple[Fault, float]] = {  # with the seconds within which all must agree
    "none": (nothing, SOON),
    "lost": (ordered(NoticeFault(kind=NoticeFaultKind.LOSE)), POLL + SOON),
    "half of them lost": (ordered(NoticeFault(kind=NoticeFaultKind.LOSE, share=0.5)), POLL + SOON),
    "late": (ordered(NoticeFault(kind=NoticeFaultKind.DELAY, seconds=900)), 900 + 60),
    "repeated": (ordered(NoticeFault(kind=NoticeFaultKind.DUPLICATE, copies=20)), SOON),
    "reordered": (ordered(NoticeFault(kind=NoticeFaultKind.REORDER, seconds=60)), 60 + SOON),
    "forged": (forged, SOON),
    "said to be missed": (missed, SOON),
    "to be reauthorized": (told("reauthorizationRequired"), ROLL),
    "subscriptions removed, and said so": (told("subscriptionRemoved"), ROLL),
    "subscriptions vanished": (vanished, POLL + SOON),
    "subscriptions expired": (expired, POLL + SOON),
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """Live through every fault once."""
    folder = tmp_path_factory.mktemp("notifications")
    with stepped(time.time()) as loop, asyncio.Runner(loop_factory=lambda: loop) as runner:  # noqa: TID251 -- the start
        return runner.run(_live(folder))


@pytest.mark.parametrize("fault", FAULTS)
def test_consumers_are_told_however_notifications_fail(seen: dict[str, Seen], fault: str) -> None:
    assert seen[fault].parked == []
    seconds = seen[fault].seconds
    assert seconds is not None
    assert seconds <= FAULTS[fault][1]


def test_forged_notifications_bring_about_no_reading(seen: dict[str, Seen]) -> None:
    assert seen["forged"].readings == 0


def test_repeated_notifications_bring_about_few_readings(seen: dict[str, Seen]) -> None:
    assert seen["repeated"].readings <= 2 * 30  # two of each mailbox that changed at most


async def _live(folder: Path) -> dict[str, Seen]:
    with Path(os.devnull).open("w") as log:  # noqa: ASYNC230 -- it never blocks
        wanted = Wanted(
            folder=folder,
            sandbox=SandboxOptions(folder=folder, mailboxes=40, events=15),
            policy=Policy(poll_seconds=POLL, poll_seconds_subscribed=POLL),
            fetcher=FetcherSettings(subscribe_per_second=200),
            hints=True,
            log=log,
        )
        async with embedded(wanted) as here:
            await _agreed(here, within=600)
            return {name: await _seen(here, *fault) for name, fault in FAULTS.items()}


async def _seen(here: Embedded, fault: Fault, within: float) -> Seen:
    await _subscribed(here)
    await _readings_rest(here)
    before = await _readings(here)
    await fault(here)
    if within >= POLL:
        await asyncio.sleep(30)
        _loop().leap(POLL - 60)
    seconds = await _agreed(here, within=within)
    await asyncio.sleep(SOON)
    here.sandbox.notifications.clear()
    parked = said(await here.rim.broker.parked())
    return Seen(seconds=seconds, readings=await _readings(here) - before, parked=parked)


async def _agreed(here: Embedded, *, within: float) -> float | None:
    """Return after how many seconds all agree; None where that takes longer than allowed and a quarter."""
    start = _loop().time()
    while await here.scene.differences():
        if _loop().time() - start > 1.25 * within + HOUR:
            return None
        await _pass(start, but_slowly=(within - LAST, within))
    return _loop().time() - start


async def _pass(since: float, *, but_slowly: tuple[float, float] = (0.0, 0.0)) -> None:
    """Let time pass, the faster the longer it has been waited; without leaps where what is measured comes about."""
    waited = _loop().time() - since
    leap = min(60.0, waited / 30) if waited > 30 else 0.0
    if waited < but_slowly[1]:
        leap = min(leap, max(but_slowly[0] - waited, 0.0))
    _loop().leap(leap)
    await asyncio.sleep(0.2)


async def _subscribed(here: Embedded) -> None:
    """Wait until every mailbox has a subscription (again)."""
    start = _loop().time()
    while len({one.mailbox for one in here.sandbox.subscriptions()}) < len(here.scene.people()):
        assert _loop().time() - start < 2 * HOUR, "not every mailbox is subscribed"
        await _pass(start)


async def _readings_rest(here: Embedded) -> None:
    """Wait until nothing is being read."""
    count = -1
    while count != (now := await _readings(here)):
        count = now
        await asyncio.sleep(3)


async def _readings(here: Embedded) -> int:
    async with here.rim.store.read() as connection:
        return int((await connection.execute(select(func.sum(mailboxes.c.version)))).scalar_one())


def _loop() -> SteppedLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    return loop
