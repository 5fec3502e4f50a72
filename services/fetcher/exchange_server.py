"""One Exchange server as one organisation reaches it: its door, its pause, this replica's part of what may be asked.

It refuses to ask while the organisation is paused, and to sign in again with what was refused. A pause of a moment is
waited out here, a few times; longer ones, and those that never end, are the broker's to wait for.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from services.fetcher.exchange_batches import Batches
from services.fetcher.exchange_fate import PAUSES, brief, for_everybody
from services.fetcher.exchange_free_busy import FreeBusy
from services.fetcher.exchange_shares import Share
from services.fetcher.failure import PAUSED
from shared.ews.envelopes import Envelope
from shared.ews.errors import OURS, EwsError
from shared.ews.lines import Affinity
from shared.logs import Logger

T = TypeVar("T")

LET_IN: Final = 5.0  # seconds without an answer after which one request goes ahead of the others, and for how long
HANDS: Final = 8  # calendars with details that one replica reads at a time, live ones and others
QUIET: Final = 60.0  # seconds between two lines about how much was asked


class Opened(Protocol):
    """What is needed of shared.ews.sessions.Door."""

    @property
    def refused(self) -> bool:
        """Say whether the sign-in was refused: nothing is sent any more."""
        ...

    async def ask(
        self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T], *, group: Affinity | None = None
    ) -> T:
        """Return the decoded answer. Raises EwsError."""
        ...

    async def hold(
        self,
        envelope: Envelope,
        decode: Callable[[Iterable[bytes]], T],
        *,
        seconds: float,
        group: Affinity | None = None,
    ) -> T:
        """Return what was decoded of an answer that comes over minutes. Raises EwsError."""
        ...

    def close(self) -> None:
        """Let sessions and threads go."""
        ...


class Server:
    """Asks as one organisation. `asked` counts calls by whose budget is charged: the account's or a mailbox's."""

    def __init__(self, door: Opened, share: Share, paused: Callable[[], Awaitable[float]], log: Logger) -> None:
        """Take the door, our part of what may be asked at once, and what says for how long nothing may be."""
        self._log = log
        self._told: Counter[str] = Counter()
        self._told_at = float("-inf")
        self.door = door
        self.asked: Counter[str] = Counter()
        self.held = 0  # answers that come over minutes, under way now
        self.follows = True  # false once the server turned out to lack SyncFolderItems
        self.batches = Batches(FreeBusy(self))
        # whole calendars one after the other, not all of them piece by piece; what is live does not wait for the rest
        self.hands = {live: asyncio.Semaphore(HANDS) for live in (True, False)}
        self._share = share
        self._paused = paused
        self._ahead: asyncio.Event | None = None
        self._let_in_at = float("-inf")  # of the loop's clock: when an answer last proved that we are signed in
        self._quiet_until = float("-inf")  # of the loop's clock: a brief pause for all that is asked here

    async def ask(
        self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T], *, group: Affinity | None = None
    ) -> T:
        """Return the decoded answer. Raises EwsError: PAUSED and SHARED of ours where nothing was sent."""
        for _ in range(PAUSES):
            try:
                return await self._asked(envelope, decode, group)
            except EwsError as error:
                after = brief(error)
                if after is None:
                    raise
                if for_everybody(error):
                    self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + after)
            await asyncio.sleep(after)
        return await self._asked(envelope, decode, group)

    async def _asked(self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T], group: Affinity | None) -> T:
        await asyncio.sleep(max(0.0, self._quiet_until - asyncio.get_running_loop().time()))
        await self._refuse_while_paused()
        ahead = await self._turn()
        try:
            async with self._share:
                await self._refuse_while_paused()  # one may have been ordered while we waited
                self._count(envelope)
                return await self._sent(envelope, decode, group)
        finally:
            if ahead is not None:
                ahead.set()  # whatever became of it: nobody waits for one that is gone

    async def _sent(self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T], group: Affinity | None) -> T:
        try:
            answer = await self.door.ask(envelope, decode, group=group)
        except EwsError as error:
            error.charged = envelope.charged  # an app asks for everybody as one mailbox: that concerns them all
            self._learn(let_in=error.code not in OURS)
            raise
        self._learn(let_in=True)
        return answer

    async def _turn(self) -> asyncio.Event | None:
        """After a silence let one request go ahead, the others a moment later: the password may have changed since.

        Each that were refused would count towards a lock-out of the account; once one was, the door sends no more. Who
        goes ahead gets what to set once it is through.
        """
        if asyncio.get_running_loop().time() - self._let_in_at < LET_IN:
            return None
        if self._ahead is None or self._ahead.is_set():
            self._ahead = asyncio.Event()
            return self._ahead
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ahead.wait(), LET_IN)
        return None

    async def hold(
        self,
        envelope: Envelope,
        decode: Callable[[Iterable[bytes]], T],
        *,
        seconds: float,
        group: Affinity | None = None,
    ) -> T:
        """Return what was decoded of an answer that comes over minutes; it takes no part of ours. Raises EwsError."""
        await self._refuse_while_paused()
        self._count(envelope)
        self.held += 1
        try:
            return await self.door.hold(envelope, decode, seconds=seconds, group=group)
        finally:
            self.held -= 1

    async def close(self) -> None:
        """Give up what is under way."""
        await self.batches.close()
        self.door.close()

    def _learn(self, *, let_in: bool) -> None:
        if let_in:
            self._let_in_at = asyncio.get_running_loop().time()
        if self._ahead is not None:
            self._ahead.set()

    def _count(self, envelope: Envelope) -> None:
        """Count a call apart by who is charged for it, and say now and then how many there were since."""
        self.asked[envelope.charged] += 1
        ticks = asyncio.get_running_loop().time()
        if ticks - self._told_at < QUIET:
            return
        new = self.asked - self._told
        self._log.info("exchange.asked", charged_account=new["account"], charged_mailbox=new["mailbox"])
        self._told, self._told_at = self.asked.copy(), ticks

    async def _refuse_while_paused(self) -> None:
        left = await self._paused()
        if left > 0:
            raise EwsError(PAUSED, back_off=left)
