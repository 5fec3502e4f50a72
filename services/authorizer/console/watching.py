"""Edge: looks at an org's standing for all who watch it: one poller an org however many viewers, the newest look only.

Nothing is queued for a viewer: one that is slow misses what was in between, and takes no memory.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from msgspec import Struct

from services.authorizer.console.phases import Phase, Sample, phase, sampled
from services.authorizer.standing import Standing, standing
from shared import clock, logs
from shared.store import Store

PAUSES: Final = (1.0, 5.0)  # seconds between two looks: while something moves, and otherwise
BREATH: Final = 0.25  # seconds between two looks at least, however many viewers come
MOST_VIEWERS: Final = 40  # of one org at a time
_MOVING: Final = frozenset({Phase.VERIFYING, Phase.SYNCING, Phase.LEAVING})

See = Callable[[str], Awaitable[Standing]]  # how an org stands now


class TooManyViewers(Exception):  # noqa: N818 -- it says what there is
    """So many watch this org already that no more are let in."""


class Look(Struct, frozen=True):
    """One look, the `number`-th: how the org stands, and what was seen in the last minutes."""

    number: int
    found: Standing
    samples: tuple[Sample, ...]


class Watch:
    """One org that is watched by `viewers`. `look` is the newest one, None before the first."""

    def __init__(self, org_id: str, see: See, *, pauses: tuple[float, float] = PAUSES) -> None:
        """Begin to look, until ended; `pauses` are in seconds, while something moves and otherwise."""
        self.look: Look | None = None
        self.viewers = 0
        self.closed = False
        self._see = see
        self._pauses = pauses
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._begun = 0
        self._seeing = self._over = False
        self._looking = asyncio.create_task(self._keep_looking(org_id))

    def look_anew(self) -> int:
        """Have it looked at soon, and return the number of the last look begun: one that is no older than now follows.

        Who has just seen a page must not be told of what was before.
        """
        self._wanted.set()
        return self._begun

    async def news(self, seen: int, *, seconds: float) -> Look | None:
        """Return a look of a higher number, None where there is none for so long, or where it is closed."""
        end = asyncio.get_running_loop().time() + seconds
        while not self.closed:
            if self.look is not None and self.look.number > seen:
                return self.look
            news = self._news
            try:
                await asyncio.wait_for(news.wait(), end - asyncio.get_running_loop().time())
            except TimeoutError:
                return None
        return None

    def close(self) -> None:
        """Let the viewers go at once."""
        self.closed = True
        self._news.set()

    async def end(self) -> None:
        """Look no more. A look under way ends first: one that is cut off leaves its connection to the store behind."""
        self._over = True
        if not self._seeing:
            self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)

    async def _keep_looking(self, org_id: str) -> None:
        samples: tuple[Sample, ...] = ()
        while True:
            pause, self._begun = self._pauses[1], self._begun + 1
            self._wanted.clear()
            self._seeing = True
            try:
                found = await self._see(org_id)
            except Exception as error:  # noqa: BLE001 -- the store may be away for a while: viewers keep what they saw
                logs.get("authorizer").error("setup.look_failed", **logs.failure(error))
            else:
                samples = sampled(samples, found)
                self._tell(Look(self._begun, found, samples))
                pause = self._pauses[0] if phase(found) in _MOVING else pause
            self._seeing = False
            if self._over:
                return
            await asyncio.sleep(min(BREATH, pause))
            await self._until_wanted(pause - BREATH)

    async def _until_wanted(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._wanted.wait(), max(seconds, 0.0))
        except TimeoutError:
            return

    def _tell(self, look: Look) -> None:
        self.look = look
        news, self._news = self._news, asyncio.Event()
        news.set()


class Watches:
    """The orgs that are watched at present."""

    def __init__(self, see: See) -> None:
        """Take how an org's standing is seen."""
        self._see = see
        self.pauses = PAUSES
        self._watches: dict[str, Watch] = {}
        self._closing = False

    @asynccontextmanager
    async def watching(self, org_id: str) -> AsyncIterator[Watch]:
        """Give the org's watch; the last viewer to leave ends it. Raises TooManyViewers."""
        watch = self._watches.get(org_id)
        if watch is None:
            watch = self._watches[org_id] = Watch(org_id, self._see, pauses=self.pauses)
        if watch.viewers >= MOST_VIEWERS or self._closing:
            raise TooManyViewers
        watch.viewers += 1
        try:
            yield watch
        finally:
            watch.viewers -= 1
            if not watch.viewers and self._watches.get(org_id) is watch:
                del self._watches[org_id]
                await watch.end()

    async def close(self, _: object = None) -> None:
        """Let every viewer go: the page is about to end."""
        self._closing = True
        for watch in list(self._watches.values()):
            watch.close()

    @property
    def orgs(self) -> int:
        """How many orgs are watched."""
        return len(self._watches)


WATCHES: Final = web.AppKey("watches", Watches)


def install(app: web.Application, store: Store) -> None:
    """Give an application its watches, which end before it does."""

    async def see(org_id: str) -> Standing:
        return await standing(store, org_id, now=clock.now())

    app[WATCHES] = Watches(see)
    app.on_shutdown.append(app[WATCHES].close)


def watches_of(request: web.Request) -> Watches:
    """Return the application's watches."""
    return request.app[WATCHES]
