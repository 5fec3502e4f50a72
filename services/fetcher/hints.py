"""Turns notifications into hints: whose they are is looked up, who sent them is proved, many make one publication.

It refuses to believe a notification that does not prove itself, and to read anything but the mailbox from one.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from services.fetcher import notices, plans, subscriptions
from services.fetcher.context import Context
from services.fetcher.mailboxes import Key
from services.fetcher.notices import Notice
from services.fetcher.subscriptions import Change, Target
from shared import clock
from shared.broker import Broker
from shared.coalesce import Coalesce
from shared.contracts.messages import MailboxRead
from shared.contracts.values import Instant
from shared.errors import Retry
from shared.reach import reached
from shared.vault import Vault

PATIENCE: Final = 2.0  # seconds that store and broker have together; Microsoft sends again what is not taken in 3
TOGETHER: Final = 64  # POSTs in one look-up and one publication
LINGER: Final = 0.005
QUIET: Final = 10.0  # seconds between two lines about refused notifications

Notices = tuple[Notice, ...]


class Hints:
    """`await hints(notices)` returns once every hint that follows from them is safe with the broker."""

    def __init__(self, context: Context, broker: Broker, vault: Vault) -> None:
        """Take the fetcher's edges, where hints go, and the vault whose keys prove a notification."""
        self._context = context
        self._broker = broker
        self._vault = vault
        self._together: Coalesce[Notices, None] = Coalesce(self._publish, limit=TOGETHER, linger=LINGER)
        self._refused: Counter[str] = Counter()
        self._told_at = float("-inf")

    async def __call__(self, given: Notices) -> None:
        """Pass notifications on. Raises Retry where store or broker do not answer in time."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._together(given)
        except TimeoutError:
            raise Retry("too_slow", counted=False) from None

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count what is ignored, a fixed word; the log hears of it now and then, not of each."""
        now = asyncio.get_running_loop().time()
        self._refused[reason] += count
        if now - self._told_at >= QUIET:
            self.tell()
            self._told_at = now

    def tell(self) -> None:
        """Write what was refused since the last line."""
        for reason, count in self._refused.items():
            self._context.log.warning("notification.refused", reason=reason, count=count)
        self._refused.clear()

    async def _publish(self, items: Sequence[Notices]) -> Sequence[Exception | None]:
        given = list(dict.fromkeys(notice for each in items for notice in each))
        try:
            async with asyncio.timeout(PATIENCE), reached():
                await self._carry_out(await self._proved(given), clock.now())
        except TimeoutError:  # not counted, so that it goes to all of them and none is tried alone
            raise Retry("too_slow", counted=False) from None
        return [None for _ in items]

    async def _proved(self, given: Sequence[Notice]) -> list[tuple[Notice, Target]]:
        """Return the notifications that are of subscriptions of ours and prove it, each with its target."""
        targets = await subscriptions.lookup(self._context.store, (notice.subscription_id for notice in given))
        found = []
        for notice in given:
            target = targets.get(notice.subscription_id)
            if target is None:
                self.refuse("unknown_subscription")
            elif not self._is_ours(notice, target):
                self.refuse("not_proved")
            else:
                found.append((notice, target))
        return found

    def _is_ours(self, notice: Notice, target: Target) -> bool:
        return self._proves(notice, target) and not notices.foreign(notice, target.tenant_id)

    def _proves(self, notice: Notice, target: Target) -> bool:
        """Verify the client state; if no key made it, the keys may have been rotated since they were read."""
        org_id, mailbox_id = target.row.org_id, target.row.mailbox_id
        keys = self._vault.derived(notices.LABEL)
        if notices.proves(notice.client_state, keys, org_id=org_id, mailbox_id=mailbox_id):
            return True
        if not self._vault.look_again():
            return False
        keys = self._vault.derived(notices.LABEL)
        return notices.proves(notice.client_state, keys, org_id=org_id, mailbox_id=mailbox_id)

    async def _carry_out(self, proved: Sequence[tuple[Notice, Target]], now: Instant) -> None:
        """Change what the lifecycle says, then publish the hints of all in one go."""
        store = self._context.store
        lost = [_change(target, plans.REMOVED, now) for notice, target in proved if notice.lifecycle == notices.REMOVED]
        renewed = [
            _change(target, plans.REAUTHORIZE, now)
            for notice, target in proved
            if notice.lifecycle == notices.REAUTHORIZE and target.row.reason != plans.GAP
        ]
        for part in subscriptions.parts([*_once(renewed), *_once(lost)]):
            await subscriptions.write(store, part, now)
        hinted = {_key(target): target for notice, target in proved if notice.lifecycle != notices.REAUTHORIZE}
        for unread in subscriptions.parts([key for key, target in hinted.items() if not target.connected]):
            await subscriptions.make_due(store, unread, now)
        messages = [_read(target, now) for target in hinted.values() if target.connected]
        if messages:
            await self._broker.publish(messages)


def _key(target: Target) -> Key:
    return target.row.org_id, target.row.mailbox_id


def _once(changes: Sequence[Change]) -> list[Change]:
    return list({(each.before.org_id, each.before.mailbox_id): each for each in changes}.values())


def _change(target: Target, reason: str, now: Instant) -> Change:
    row = target.row
    if reason == plans.REMOVED:
        return Change(before=row, after=plans.created_anew(row, reason=reason, now=now))
    return Change(before=row, after=replace(row, reason=reason, act_at=now))


def _read(target: Target, now: Instant) -> MailboxRead:
    row = target.row
    return MailboxRead(org_id=row.org_id, generation=target.generation, mailbox_id=row.mailbox_id, since=now, live=True)
