"""Gathers readings that want the same window of different mailboxes, so that one request serves up to a hundred.

It decides nothing about answers: each reading gets its own, or its own error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from shared.contracts.messages import RawEvent
from shared.contracts.values import Window, WorkPeriod
from shared.ews.errors import EwsError
from shared.ews.time_zone import ZoneRules

MOST: Final = 100  # mailboxes in a GetUserAvailability request
LINGER: Final = 0.15  # seconds without a further reading after which those gathered are asked for
AT_ONCE: Final = 0.02  # the same where a hint waits
LONGEST: Final = 1.0  # seconds that the first of them waits

Events = tuple[RawEvent, ...]


class Told(Struct, frozen=True):
    """What was told of one mailbox: its events in the window, when its owner works, and the rules of the zone there."""

    events: Events
    zone: ZoneRules | None = None
    work: tuple[WorkPeriod, ...] = ()


Ask = Callable[[Sequence[str], Window], Awaitable[Mapping[str, Told | EwsError]]]


class _Gathering:
    """The readings of one window that wait for one another."""

    def __init__(self) -> None:
        self.wanted: dict[str, asyncio.Future[Told]] = {}
        self.linger = LINGER
        self.changed = asyncio.Event()


class Batches:
    """`await batches.read(address, window)` returns the mailbox's events, asked for together with others'."""

    def __init__(self, ask: Ask, *, most: int = MOST) -> None:
        """Take what asks for several mailboxes; it returns what it found, or why not, of every one of them."""
        self._ask = ask
        self._most = most
        self._open: dict[Window, _Gathering] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def read(self, address: str, window: Window, *, live: bool = False) -> Told:
        """Return what is told of one mailbox. Raises EwsError."""
        gathering = self._open.get(window)
        if gathering is None:
            gathering = self._open[window] = _Gathering()
            task = asyncio.create_task(self._carry_out(window, gathering))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        future = gathering.wanted.setdefault(address, asyncio.get_running_loop().create_future())
        if live:
            gathering.linger = AT_ONCE
        if len(gathering.wanted) >= self._most:
            del self._open[window]
        gathering.changed.set()
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        for gathering in self._open.values():  # whose task had not begun
            for future in gathering.wanted.values():
                future.cancel()
        self._open.clear()

    async def _carry_out(self, window: Window, gathering: _Gathering) -> None:
        found: Mapping[str, Told | EwsError] = {}
        failed: BaseException = EwsError("malformed")
        try:
            await self._gathered(window, gathering)
            found = await self._ask(list(gathering.wanted), window)
        except BaseException as error:  # noqa: BLE001 -- raised below, to each whose reading it was
            failed = error
        for address, future in gathering.wanted.items():
            future.add_done_callback(_looked_at)
            _settle(future, found.get(address, failed))
        if isinstance(failed, asyncio.CancelledError):
            raise failed

    async def _gathered(self, window: Window, gathering: _Gathering) -> None:
        """Return once the batch is full, nothing was added for a moment, or the first has waited long enough."""
        ticks = asyncio.get_running_loop().time
        until = ticks() + LONGEST
        while self._open.get(window) is gathering and ticks() < until:
            gathering.changed.clear()
            try:
                await asyncio.wait_for(gathering.changed.wait(), gathering.linger)
            except TimeoutError:
                break
        if self._open.get(window) is gathering:
            del self._open[window]


def _settle(future: "asyncio.Future[Told]", outcome: Told | BaseException) -> None:
    match outcome:
        case _ if future.done():
            return
        case EwsError():
            future.set_exception(outcome.again())
        case asyncio.CancelledError():
            future.cancel()
        case BaseException():
            future.set_exception(outcome)
        case _:
            future.set_result(outcome)


def _looked_at(future: "asyncio.Future[Told]") -> None:
    """Count a failure as seen even where whoever asked was cancelled meanwhile."""
    if not future.cancelled():
        future.exception()
