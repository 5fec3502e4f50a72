"""The end of the update log, read once for all who follow it in this process and kept for a moment.

It refuses to serve from memory what was read more than a second ago: the policy may be stricter since, so that is read
from the log anew. What it keeps is bounded by that second, and by bytes.
"""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import Final

from services.publisher import log
from services.publisher.bell import Bell
from services.publisher.envelope import Told, announcement
from services.publisher.log import Scope
from shared import logs
from shared.errors import Retry
from shared.store import Store

FRESH: Final = 1.0  # seconds a batch is served from memory
POLL: Final = 0.5  # seconds until the log is looked at without having been woken
LINGER: Final = 0.025  # seconds more is waited for, unless a live update came
BEAT: Final = 1.0  # seconds after which followers are woken though nothing came
PAGE: Final = 300
HEAVIEST: Final = 128 << 10  # bytes of bodies in a batch of more than one update
KEPT: Final = 16 << 20  # bytes of bodies in memory
EVERYTHING: Final = Scope(None)


class Batch:
    """What lies in the log after one position up to another: rows in order, written once for all who hear them."""

    def __init__(self, rows: tuple[Told, ...], *, after: int, position: int, read_at: float) -> None:
        """Take the rows, the positions they lie between, and when they were read by the loop's clock."""
        self.rows = rows
        self.after = after
        self.position = position
        self.read_at = read_at
        self.weight = sum(len(told.body) for told in rows)
        self._orgs = frozenset(told.org_id for told in rows)
        self._frames: dict[int, bytes] = {}
        self._joined: dict[Scope, bytes] = {}

    def heard(self, scope: Scope) -> list[Told]:
        """Return the updates within a scope."""
        if scope.orgs is not None and self._orgs.isdisjoint(scope.orgs) and not scope.last_words:
            return []
        return [told for told in self.rows if scope.hears(told)]

    def frames(self, scope: Scope) -> bytes:
        """Return the updates within a scope as server-sent events, one after the other."""
        if scope not in self._joined:
            self._joined[scope] = b"".join(map(self._frame, self.heard(scope)))
        return self._joined[scope]

    def _frame(self, told: Told) -> bytes:
        if told.position not in self._frames:
            self._frames[told.position] = frame(told)
        return self._frames[told.position]


class Tail:
    """One reader of the log. Those who follow wait for its `turn`, and look for the batch after their position."""

    def __init__(self, store: Store, bell: Bell) -> None:
        """Take the store, and the bell that whoever writes the log in this process rings."""
        self.position: int | None = None  # read up to here; None before it began
        self.turn = asyncio.Event()  # set as soon as something came, or a second is over; then there is another
        self.ended = False
        self._store = store
        self._bell = bell
        self._wanted = asyncio.Event()
        self._batches: OrderedDict[int, Batch] = OrderedDict()
        self._weight = 0
        self._turned_at = 0.0

    async def run(self) -> None:
        """Read on until it is ended; nothing is read before the first one follows."""
        await self._wanted.wait()
        while not self.ended:
            self._bell.hush()
            full = False
            try:
                full = await self._read_on()
            except Retry as pause:
                logs.get("publisher").warning("tail.paused", reason=pause.reason)
            except Exception as error:  # noqa: BLE001 -- whoever follows would wait for ever; logged by type
                logs.get("publisher").error("tail.failed", **logs.failure(error))
            if _clock() - self._turned_at >= BEAT:
                self._forget()
                self._take_turn()
            if not full:
                await self._rest()
        self._take_turn()

    def end(self) -> None:
        """Let everybody go who follows."""
        self.ended = True
        self._wanted.set()
        self._bell.ring(hurry=True)
        self._take_turn()

    def want(self) -> None:
        """Have it begin, where it has not: somebody follows."""
        self._wanted.set()

    def batch(self, after: int) -> Batch | None:
        """Return the batch that lies after a position, or None: not kept (any more), or not come yet."""
        found = self._batches.get(after)
        return found if found is not None and _clock() - found.read_at <= FRESH else None

    async def _read_on(self) -> bool:
        """Read what came, and have it taken batch by batch. True where more may follow at once."""
        if self.position is None:
            self.position = await log.head(self._store)
            self._take_turn()
            return False
        page = await log.page(self._store, EVERYTHING, after=self.position, limit=PAGE)
        read_at = _clock()
        for rows, position in split(page):
            if position > self.position:
                self._keep(Batch(rows, after=self.position, position=position, read_at=read_at))
                await asyncio.sleep(0)  # those who follow have their turn: memory does not grow ahead of them
        return page.full

    def _keep(self, batch: Batch) -> None:
        self._batches[batch.after] = batch
        self._weight += batch.weight
        self._forget()
        self.position = batch.position
        self._take_turn()

    def _forget(self) -> None:
        now = _clock()
        while self._batches:
            first = next(iter(self._batches.values()))
            if now - first.read_at <= FRESH and (self._weight <= KEPT or len(self._batches) == 1):
                break
            del self._batches[first.after]
            self._weight -= first.weight

    def _take_turn(self) -> None:
        self._turned_at = _clock()
        turn, self.turn = self.turn, asyncio.Event()
        turn.set()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bell.woken.wait(), POLL)
            await asyncio.wait_for(self._bell.hurried.wait(), LINGER)


def split(page: log.LogPage) -> list[tuple[tuple[Told, ...], int]]:
    """Return a page's rows in order, in parts that are not too heavy, each with the position reached with it."""
    parts: list[tuple[tuple[Told, ...], int]] = []
    part: list[Told] = []
    weight = 0
    for told in page.rows:
        if part and weight + len(told.body) > HEAVIEST:
            parts.append((tuple(part), part[-1].position))
            part, weight = [], 0
        part.append(told)
        weight += len(told.body)
    return [*parts, (tuple(part), page.position)]


def event(told: Told) -> bytes:
    """Return an update as the CloudEvent that every surface tells."""
    return announcement(told)[1]


def frame(told: Told) -> bytes:
    """Return an update as a server-sent event, its id the position."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (told.position, told.type.encode(), event(told))


def _clock() -> float:
    return asyncio.get_running_loop().time()
