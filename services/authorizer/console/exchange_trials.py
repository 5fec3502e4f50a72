"""Edge: an Exchange server is tried for an admin who waits, step by step; only what passed can be saved, once.

The values tried, the password among them, are kept sealed for as long as a draft is. Each trial signs in once: a
password that is refused is not tried again by itself.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from services.authorizer import audit, orgs
from services.authorizer.console import drafts
from services.authorizer.console.events import HEARTBEAT
from services.authorizer.console.place import Place, Visit
from services.authorizer.console.watching import TooManyViewers
from services.authorizer.exchange import Trial
from services.authorizer.exchange_doors import Question
from services.authorizer.preflight import NEEDED, Step
from shared import clock, logs
from shared.clouds import cloud
from shared.contracts.messages import EwsConnection
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Instant
from shared.errors import Retry
from shared.ews.credential import EwsCredential

LONGEST: Final = 120  # seconds that a trial may take
LOOK: Final = 0.3  # seconds between two looks at one
MOST_VIEWERS: Final = 10  # of one org's trials at a time: each looks for itself
_VALUES: Final = "exchange_test"  # kinds of drafts: what is tried, and what came of it so far
_PROGRESS: Final = "exchange_steps"
_SEAM: Final = 15  # seconds beyond: who has said nothing by then is not at it any more

Cut = Literal["", "timeout", "bug", "lost"]
Saved = Literal["saved", "untested", "overtaken", "leaving"]


class Tested(Struct, frozen=True, kw_only=True):
    """What is tried, and for which policy."""

    connection: EwsConnection
    credential: EwsCredential
    detail: Detail = Detail.FREE_BUSY

    def __repr__(self) -> str:
        return "Tested(***)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


class Progress(Struct, frozen=True, kw_only=True):
    """How far a trial is. `cut` says why it ended before its last step."""

    started_at: Instant
    steps: tuple[Step, ...] = ()
    ended: bool = False
    cut: Cut = ""

    @property
    def passed(self) -> bool:
        """Whether it ended, and nothing that is needed failed."""
        return self.ended and not self.cut and bool(self.steps) and not self.failed

    @property
    def failed(self) -> int:
        """How many steps failed."""
        return sum(step.ok is False for step in self.steps)

    @property
    def warned(self) -> int:
        """How many steps warn."""
        return sum(step.ok is None for step in self.steps)


class Trials:
    """The trials under way in this process; they end with it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.viewers: Counter[str] = Counter()  # by org

    @contextmanager
    def viewed(self, org_id: str) -> Iterator[None]:
        """Count somebody who watches one of an org's trials. Raises TooManyViewers."""
        if self.viewers[org_id] >= MOST_VIEWERS:
            raise TooManyViewers
        self.viewers[org_id] += 1
        try:
            yield
        finally:
            self.viewers -= Counter({org_id: 1})  # nothing is kept of an org that nobody watches

    def start(self, trial: Coroutine[Any, Any, None]) -> None:
        """Have a trial run while nobody waits for it."""
        task = asyncio.create_task(trial)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, _: object = None) -> None:
        """End them all: whoever looks at one sees that it was cut off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


TRIALS: Final = web.AppKey("trials", Trials)


def install(app: web.Application) -> None:
    """Give an application its trials, which end before it does."""
    app[TRIALS] = Trials()
    app.on_shutdown.append(app[TRIALS].close)


async def begin(place: Place, visit: Visit, trials: Trials, tested: Tested) -> str:
    """Begin a trial and return its id, by which the visit's session finds it again."""
    now = clock.now()
    trial_id = await drafts.keep(place, visit, _VALUES, msgspec.json.encode(tested), now=now)
    progress = Progress(started_at=now)
    await drafts.keep(place, visit, _PROGRESS, msgspec.json.encode(progress), now=now, draft_id=trial_id)
    trials.start(_tried(place, visit, trial_id, tested))
    return trial_id


async def progress(place: Place, visit: Visit, trial_id: str) -> Progress | None:
    """Return how far a trial of this session is, None where there is none (any more)."""
    now = clock.now()
    body = await drafts.kept(place, visit, _PROGRESS, trial_id, now=now)
    if body is None:
        return None
    found = msgspec.json.decode(body, type=Progress)
    lost = not found.ended and now > found.started_at + LONGEST + _SEAM
    return replace(found, ended=True, cut="lost") if lost else found


async def watched(place: Place, visit: Visit, trial_id: str) -> AsyncGenerator[Progress]:
    """Yield a trial's progress each time there is more of it, now and then the same again, and at last its end."""
    seen: Progress | None = None
    looks = 0
    while (found := await progress(place, visit, trial_id)) is not None:
        looks = 0 if found != seen else looks + 1
        if looks * LOOK % HEARTBEAT < LOOK:
            yield found
        if found.ended:
            return
        seen = found
        await asyncio.sleep(LOOK)


async def tested(place: Place, visit: Visit, trial_id: str) -> Tested | None:
    """Return what was tried, None where that is known no more."""
    body = await drafts.kept(place, visit, _VALUES, trial_id, now=clock.now())
    return None if body is None else msgspec.json.decode(body, type=Tested)


async def save(place: Place, visit: Visit, trial_id: str) -> Saved:
    """Ask for the org to be connected just as it was tried; once, and only where the trial passed."""
    now, found = clock.now(), await progress(place, visit, trial_id)
    body = await drafts.taken(place, visit, _VALUES, trial_id, now=now) if found and found.passed else None
    if body is None:
        return "untested"
    values = msgspec.json.decode(body, type=Tested)
    name, org_id = orgs.credential_name(visit.org_id), visit.org_id
    act = {"org_id": org_id, "actor": visit.actor}
    await orgs.put_credential(place.store, place.vault, name, values.credential, now=now, **act)
    try:
        state = await orgs.org(place.store, org_id)
        connection, policy = replace(values.connection, credential=name), state.policy if state else Policy()
        asked = await orgs.request(place.store, connection=connection, policy=policy, now=now, **act)
    except Retry:
        return "leaving"
    finally:
        await orgs.forget_unused(place.store, org_id)
    place.wakes.verify.set()
    return "saved" if asked else "overtaken"


async def _tried(place: Place, visit: Visit, trial_id: str, tested: Tested) -> None:
    """Take the steps, and write each down as it ends."""
    told = Progress(started_at=clock.now())
    cut: Cut = ""
    try:
        async with asyncio.timeout(LONGEST), aclosing(_trial(place, tested).steps(clock.now())) as steps:
            async for step in steps:
                told = replace(told, steps=(*told.steps, step))
                await drafts.put(place, visit, _PROGRESS, trial_id, msgspec.json.encode(told))
    except asyncio.CancelledError:  # the page ends: whoever looks on is told at once
        lost = replace(told, ended=True, cut="lost")
        await drafts.put(place, visit, _PROGRESS, trial_id, msgspec.json.encode(lost))
        raise
    except TimeoutError:
        cut = "timeout"
    except Exception as error:  # noqa: BLE001 -- the admin is told that it failed here, the log where
        logs.get("authorizer").error("trial.failed", org_id=visit.org_id, **logs.failure(error))
        cut = "bug"
    told = replace(told, ended=True, cut=cut)
    await _note(place, visit, told)
    await drafts.put(place, visit, _PROGRESS, trial_id, msgspec.json.encode(told))
    log = logs.get("authorizer").bind(org_id=visit.org_id)
    log.info("connection.tested", outcome="passed" if told.passed else "failed", count=len(told.steps))


async def _note(place: Place, visit: Visit, told: Progress) -> None:
    """Write into the audit log that somebody signed in at a server, and what came of it in fixed words."""
    reasons = [step.reason for step in told.steps if step.ok is False]
    details: dict[str, str | int | bool] = {"kind": "ews", "passed": told.passed, "reason": "".join(reasons[:1])}
    act = {"chain": visit.org_id, "actor": visit.actor, "action": "connection.tested"}
    async with place.store.write() as writing:
        await audit.append(place.store, writing, **act, details=details, now=clock.now())


def _trial(place: Place, tested: Tested) -> Trial:
    question = Question(
        connection=tested.connection,
        credential=tested.credential,
        cloud=cloud(tested.connection.cloud, sandbox_url=place.desk.sandbox_url),
        needs=NEEDED[tested.detail],
    )
    return Trial(question, place.desk.exchange)
