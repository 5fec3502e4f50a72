"""Keeps a subscription for every mailbox that is read, at the pace that is set, and compares with Microsoft every hour.

Without an address for notifications it takes back what there is: polling alone must not count on hints.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Final

from services.fetcher import checking, keeping, plans, subscriptions, wanting
from services.fetcher.context import Context
from services.fetcher.keeping import Asked, Keep
from services.fetcher.pacing import Brakes, Budget
from services.fetcher.promises import Promises
from shared import clock, logs
from shared.broker import Broker
from shared.connections import CONNECTED
from shared.contracts.values import Instant
from shared.graph import GraphError
from shared.identity import IdentityError
from shared.vault import Vault

INTERVAL: Final = 1.0  # seconds between two looks at what is due
REVISED: Final = 5  # seconds between two looks at which mailboxes are read
WANTED: Final = 1000  # new rows at a time
PAGES: Final = 20  # pages revised at a time
CHECKED: Final = 3600  # seconds between two comparisons with Microsoft's list
CHECKED_AGAIN: Final = 300  # where it did not give one
CHECKS: Final = 4  # at a time
ORGS: Final = 16  # worked on at a time


async def keep_subscribed(context: Context, broker: Broker, *, vault: Vault, stop: asyncio.Event) -> None:
    """Look after subscriptions every second until `stop` is set; a store or a broker that fails is asked again."""
    keeper = Keeper(context, broker, vault)
    try:
        while not stop.is_set():
            try:
                await keeper.look(clock.now())
            except Exception as error:  # noqa: BLE001 -- it outlives whatever befalls the store
                context.log.error("subscribing.failed", **logs.failure(error))  # noqa: TRY400 -- never its text
            try:
                await asyncio.wait_for(stop.wait(), INTERVAL)
            except TimeoutError:
                continue
    finally:
        await keeper.close()


class Keeper:
    """What is under way, and when what is looked at next."""

    def __init__(self, context: Context, broker: Broker, vault: Vault) -> None:
        """Take the fetcher's edges, where hints go, and the vault whose keys prove notifications."""
        self._context = context
        self._broker = broker
        self._promises = Promises(notify_url=context.settings.notify_url, vault=vault)
        self._budget = Budget(context.settings.subscribe_per_second)
        self._brakes = Brakes()
        self._revise_at: Instant = 0
        self._check_at: dict[str, Instant] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._checking: dict[str, asyncio.Task[None]] = {}
        self._turn = 0

    async def look(self, now: Instant) -> None:
        """Begin whatever is due and may begin now; it goes on after this returns."""
        if now >= self._revise_at:
            self._revise_at = now + REVISED
            await self._revise(now)
        self._check(now)
        await self._work(now)

    async def idle(self) -> None:
        """Wait for what is under way."""
        while under_way := [*self._working.values(), *self._checking.values()]:
            await asyncio.wait(under_way)

    async def close(self) -> None:
        """Give up what is under way; rows in hand are looked at again when their lease ends."""
        under_way = [*self._working.values(), *self._checking.values()]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _revise(self, now: Instant) -> None:
        store, nowhere = self._context.store, not self._promises.notify_url
        for _ in range(PAGES):
            if not await wanting.revise(store, now, nowhere=nowhere):
                break
        if nowhere:
            return
        await wanting.want(store, now, limit=WANTED)
        connected = await wanting.connected_orgs(store)
        self._check_at = {org_id: self._check_at.get(org_id, now) for org_id in connected}

    def _check(self, now: Instant) -> None:
        due = [org_id for org_id, at in self._check_at.items() if at <= now and org_id not in self._checking]
        for org_id in due[: max(0, CHECKS - len(self._checking))]:
            self._check_at[org_id] = now + CHECKED
            self._begin(self._checking, org_id, self._checked(org_id))

    async def _work(self, now: Instant) -> None:
        due = await subscriptions.due_orgs(self._context.store, now)
        ready = [org_id for org_id, made in due.items() if self._is_ready(org_id, now, made=made)]
        tokens = self._budget.left(asyncio.get_running_loop().time())
        for org_id in self._turned(ready)[: max(0, min(ORGS - len(self._working), tokens))]:
            share = self._brakes.most(org_id, max(1, tokens // len(ready)))
            self._budget.spend(share)
            self._turn += 1
            self._begin(self._working, org_id, self._kept(org_id, share))

    def _is_ready(self, org_id: str, now: Instant, *, made: bool) -> bool:
        """Say whether anything of an org may be done now; one of which nothing may takes no share from others."""
        may = made or self._brakes.may_make(org_id, now)
        return may and org_id not in self._working and not self._brakes.rests(org_id, now)

    def _begin(self, under_way: dict[str, asyncio.Task[None]], org_id: str, work: Coroutine[None, None, None]) -> None:
        """Begin work on an org; while it is under way nobody else here begins the same."""
        task = asyncio.create_task(work)
        under_way[org_id] = task

        def end(ended: asyncio.Task[None]) -> None:
            del under_way[org_id]
            if not ended.cancelled() and (error := ended.exception()) is not None:
                self._context.log.error("subscribing.failed", org_id=org_id, **logs.failure(error))

        task.add_done_callback(end)

    def _turned(self, ready: list[str]) -> list[str]:
        """Return orgs in an order that begins elsewhere each time, so that all have their turn at few tokens."""
        start = self._turn % len(ready) if ready else 0
        return ready[start:] + ready[:start]

    async def _kept(self, org_id: str, share: int) -> None:
        """Do up to `share` things that are due of one org."""
        keep, rows = await self._keep(org_id), []
        now = clock.now()
        if keep is not None:
            making = self._brakes.may_make(org_id, now)
            rows = await subscriptions.claim(self._context.store, org_id, now, limit=share, making=making)
        self._budget.spend(len(rows) - share)
        if keep is None or not rows:
            return
        asked = await keeping.carry_out(keep, rows)
        self._learn(org_id, asked, clock.now())

    def _learn(self, org_id: str, asked: Sequence[Asked], now: Instant) -> None:
        """Slow down where all of it failed alike, say how much failed, look at the whole list after a conflict."""
        self._brakes.learn(org_id, asked, now)
        failed = Counter(reason for _, step, answer in asked if (reason := plans.refusal(step, answer)))
        for reason, count in failed.items():
            self._context.log.warning("subscriptions.refused", org_id=org_id, reason=reason, count=count)
        if plans.CONFLICT in failed and org_id in self._check_at:
            self._check_at[org_id] = min(self._check_at[org_id], now)

    async def _checked(self, org_id: str) -> None:
        keep = await self._keep(org_id)
        if keep is None:
            return
        try:
            found = await checking.check(keep)
        except (GraphError, IdentityError) as error:
            self._check_at[org_id] = clock.now() + CHECKED_AGAIN
            self._context.log.warning("subscriptions.unchecked", org_id=org_id, error_type=type(error).__name__)
            return
        count = len(found.strays) + len(found.adopted) + len(found.lacking)
        self._context.log.info("subscriptions.checked", org_id=org_id, count=count)

    async def _keep(self, org_id: str) -> Keep | None:
        org = await self._context.tenants.org(org_id)
        if org is None or org.state != CONNECTED:
            return None
        return Keep(context=self._context, broker=self._broker, promises=self._promises, org=org)
