"""Keeps a stream for every group of Exchange mailboxes, each on one replica, and begins it anew where it breaks.

While a stream stands its mailboxes count on hints and are polled seldom; once it breaks they are due at once.
"""

import asyncio
from typing import Final

from services.fetcher import exchange_groups
from services.fetcher.context import Context
from services.fetcher.exchange_groups import LEASE, Group
from services.fetcher.exchange_stream import MINUTES, Publishing, Stream
from shared import clock, logs
from shared.connections import CONNECTED
from shared.contracts.values import Instant
from shared.ews.errors import EwsError
from shared.identity import IdentityError

INTERVAL: Final = 5.0  # seconds between two looks at which groups there are
MOST: Final = 50  # streams of one replica: each has a thread and a connection of its own
FIRST_PAUSE: Final = 15.0  # seconds until a stream that broke is begun anew; doubles up to:
LONGEST_PAUSE: Final = 900.0
STOOD: Final = 30.0  # seconds: a connection that ends sooner did not stand
PROMISED: Final = (
    MINUTES * 60 + 120
)  # seconds that hints are promised for: one connection, and the next one's beginning


class Listener:
    """The streams of this replica."""

    def __init__(self, context: Context, broker: Publishing, *, replica: str) -> None:
        """Take the fetcher's edges, where hints go, and by which name groups are held."""
        self._context = context
        self._broker = broker
        self._replica = replica
        self._tasks: dict[Group, asyncio.Task[None]] = {}
        self._failures: dict[Group, int] = {}
        self._again_at: dict[Group, float] = {}

    async def keep(self, stop: asyncio.Event) -> None:
        """Look every few seconds for groups that nobody listens to, until `stop` is set."""
        try:
            while not stop.is_set():
                try:
                    await self.look()
                except Exception as error:  # noqa: BLE001 -- it outlives whatever befalls the store
                    self._context.log.error("listening.failed", **logs.failure(error))  # noqa: TRY400 -- never its text
                try:
                    await asyncio.wait_for(stop.wait(), INTERVAL)
                except TimeoutError:
                    continue
        finally:
            await self.close()

    async def look(self) -> None:
        """Begin streams for groups that are free, and end those of organisations that are no longer read."""
        groups = await exchange_groups.wanted(self._context.store)
        for group in [group for group in self._tasks if group not in groups]:
            self._tasks[group].cancel()
        ticks = asyncio.get_running_loop().time()
        for group in groups:
            if len(self._tasks) >= MOST:
                return
            if group in self._tasks or self._again_at.get(group, 0.0) > ticks:
                continue
            if await exchange_groups.claim(self._context.store, group, self._replica, now=clock.now()):
                task = asyncio.create_task(self._listened(group))
                self._tasks[group] = task
                task.add_done_callback(lambda _, group=group: self._tasks.pop(group, None))  # type: ignore[misc]  # bound now

    async def close(self) -> None:
        """End every stream; its mailboxes are due."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listened(self, group: Group) -> None:
        """Listen to a group until its stream breaks or it is not ours any more."""
        stream = Stream(self._context, self._broker, group)
        listening = asyncio.create_task(self._connections(group, stream))
        keeping = asyncio.create_task(self._kept(group))
        try:
            await asyncio.wait({listening, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                self._learn(group, listening.exception())
        finally:
            for task in (listening, keeping):
                task.cancel()
            await asyncio.gather(listening, keeping, return_exceptions=True)
            await self._let_go(group, stream)

    async def _connections(self, group: Group, stream: Stream) -> None:
        """Connect again and again: a connection lasts half an hour at most."""
        store, log = self._context.store, self._context.log.bind(org_id=group.org_id, number=group.number)
        ticks, hasty = asyncio.get_running_loop().time, False
        while True:
            org = await self._context.tenants.org(group.org_id)
            found = await exchange_groups.members(store, group)
            if org is None or org.state != CONNECTED or not found:
                return
            server = await self._context.tenants.exchange(org)
            await stream.prepare(server, found)
            if not stream.mailbox_ids:
                raise EwsError("ErrorSubscriptionNotFound")
            began = ticks()
            listening = asyncio.create_task(stream.listen(server))
            try:
                await self._promise(group, stream, until=clock.now() + PROMISED)
                await stream.make_up(org)
                log.info("stream.begun", count=len(stream.mailbox_ids))
                ended = await listening
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            if ticks() - began >= STOOD:
                self._failures.pop(group, None)
                hasty = False
            elif hasty:  # once it is begun anew at once, as where a server was restarted; then the group rests
                raise EwsError(ended.code or "network")
            else:
                hasty = True

    async def _kept(self, group: Group) -> None:
        """Keep the group for as long as it is ours."""
        while True:
            await asyncio.sleep(LEASE / 3)
            try:
                ours = await exchange_groups.claim(self._context.store, group, self._replica, now=clock.now())
            except Exception as error:  # noqa: BLE001 -- a store that is away gives the group to nobody else either
                self._context.log.error("listening.failed", **logs.failure(error))  # noqa: TRY400 -- never its text
                continue
            if not ours:
                return

    def _learn(self, group: Group, error: BaseException | None) -> None:
        """Let a group rest whose stream broke, longer each time, or as long as the server asks."""
        failures = self._failures[group] = self._failures.get(group, 0) + 1
        ordered = error.back_off or 0.0 if isinstance(error, EwsError) else 0.0
        pause = max(ordered, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10)))
        self._again_at[group] = asyncio.get_running_loop().time() + pause
        if error is not None:
            reason = (
                error.code if isinstance(error, EwsError) else error.reason if isinstance(error, IdentityError) else ""
            )
            self._context.log.warning("stream.broken", org_id=group.org_id, number=group.number, reason=reason,
                                      after=pause, error_type=type(error).__name__)  # fmt: skip

    async def _promise(self, group: Group, stream: Stream, *, until: Instant | None) -> None:
        """Let those who are heard count on hints up to then (None: nobody), and whoever else did no longer."""
        store, now = self._context.store, clock.now()
        heard = () if until is None else stream.mailbox_ids
        gone = [mailbox_id for mailbox_id in stream.promised if mailbox_id not in heard]
        await exchange_groups.promise_hints(store, group, gone, until=None, now=now)
        await exchange_groups.promise_hints(store, group, heard, until=until, now=now)
        stream.promised = heard

    async def _let_go(self, group: Group, stream: Stream) -> None:
        try:
            await self._promise(group, stream, until=None)
            await exchange_groups.release(self._context.store, group, self._replica)
        except Exception as error:  # noqa: BLE001 -- the lease runs out, and the promise too
            self._context.log.error("listening.failed", **logs.failure(error))  # noqa: TRY400 -- never its text
