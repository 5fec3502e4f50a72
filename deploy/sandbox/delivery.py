"""Delivers notifications: what is due to one address within a few milliseconds goes in one POST, in no order.

Whatever is not answered with 2xx within three seconds is sent again after growing pauses, for four hours at most.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import count

from msgspec import Struct, field
from msgspec.structs import replace

from deploy.sandbox.notifications import Notice, collected
from deploy.sandbox.posting import Letter, Post

COLLECTS = 0.005  # seconds
MOST = 50  # notifications in one POST
AT_ONCE = 8  # POSTs in flight to one address
PATIENCE = 3.0  # seconds
GIVES_UP = 4 * 3600
SHORTEST, LONGEST = 10, 600
_JSON = "application/json; charset=utf-8"


class Tally(Struct, kw_only=True):
    """How many notifications, each copy counted, and how many changes of subscriptions.

    What was `due`, `duplicated`, `forged` or of `lifecycle` is `lost`, `delivered`, `failed` or waiting. `sent` counts
    every try, `posts` the POSTs they went in. `withheld` are changes nobody may be told of.
    """

    due: int = 0
    duplicated: int = 0
    forged: int = 0
    lifecycle: int = 0
    lost: int = 0
    delivered: int = 0
    failed: int = 0
    sent: int = 0
    posts: int = 0
    withheld: int = 0
    created: int = 0
    renewed: int = 0
    reauthorized: int = 0
    deleted: int = 0

    @property
    def waiting(self) -> int:
        """How many are on their way, kept back or to be tried again."""
        owed = self.due + self.duplicated + self.forged + self.lifecycle
        return owed - self.lost - self.delivered - self.failed


def pause(waited: float) -> float | None:
    """Return how long (seconds) to wait after a failure, having waited so long in all; None: give up."""
    pause = min(max(SHORTEST, waited), LONGEST)
    return pause if waited + pause <= GIVES_UP else None


class _Lane(Struct, kw_only=True):
    """What goes to one address."""

    url: str
    waiting: deque[Notice] = field(default_factory=deque)
    in_flight: int = 0
    gathering: bool = False


class Delivery:
    """The notifications on their way, one lane per address."""

    def __init__(self, post: Post, tally: Tally, *, admits: Callable[[Notice], bool], scale: float) -> None:
        """Take the door, the counts, who may still be told (asked right before), and what pauses are multiplied by."""
        self._post = post
        self._tally = tally
        self._admits = admits
        self._scale = scale
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._numbers = count(1)
        self._stopped = False

    def push(self, notice: Notice, *, seconds: float = 0.0) -> None:
        """Send a notification so many seconds from now."""
        if seconds > 0:
            self._later(seconds, lambda: self.push(notice))
            return
        lane = self._lanes.get(notice.url)
        if lane is None:
            lane = self._lanes[notice.url] = _Lane(url=notice.url)
        lane.waiting.append(notice)
        self._gather(lane)

    async def stop(self) -> None:
        """Give up everything that is on its way."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        if self._stopped:
            return
        number = next(self._numbers)

        def fire() -> None:
            self._timers.pop(number, None)
            then()

        self._timers[number] = asyncio.get_running_loop().call_later(seconds, fire)

    def _gather(self, lane: _Lane) -> None:
        """Wait for more to go with the first; where enough is in flight, the end of a POST comes back here."""
        if not lane.gathering and lane.in_flight < AT_ONCE:
            lane.gathering = True
            self._later(COLLECTS, lambda: self._flush(lane))

    def _flush(self, lane: _Lane) -> None:
        lane.gathering = False
        while lane.waiting and lane.in_flight < AT_ONCE:
            chosen = [lane.waiting.popleft() for _ in range(min(MOST, len(lane.waiting)))]
            lane.in_flight += 1
            task = asyncio.get_running_loop().create_task(self._send(lane, chosen))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, lane: _Lane, chosen: list[Notice]) -> None:
        try:
            admitted = [notice for notice in chosen if self._admits(notice)]
            if admitted:
                await self._deliver(lane.url, admitted)
        finally:
            lane.in_flight -= 1
            if lane.waiting:
                self._gather(lane)

    async def _deliver(self, url: str, notices: list[Notice]) -> None:
        self._tally.posts += 1
        self._tally.sent += len(notices)
        letter = Letter(url=url, body=collected(notices), content_type=_JSON, seconds=PATIENCE)
        reply = await self._post(letter)
        if 200 <= reply.status < 300:
            self._tally.delivered += len(notices)
            return
        for notice in notices:
            self._again(notice)

    def _again(self, notice: Notice) -> None:
        wait = pause(notice.waited)
        if wait is None:
            self._tally.failed += 1
            return
        self.push(replace(notice, waited=notice.waited + wait), seconds=wait * self._scale)
