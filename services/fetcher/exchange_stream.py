"""Edge: one group's streaming notifications: subscribed mailbox by mailbox, heard on one connection, made up for.

A notification is a hint and never data. What happened while nobody listened is found by readings, not remembered.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from services.fetcher.context import Context
from services.fetcher.exchange_groups import Group, Member
from services.fetcher.exchange_server import Server
from shared import clock, logs
from shared.connections import CONNECTED, Connected
from shared.contracts.messages import MailboxRead
from shared.ews.envelopes import streaming_events, subscribe, unsubscribe
from shared.ews.errors import EwsError
from shared.ews.lines import Affinity
from shared.ews.streaming import Ended, heard, subscription

MINUTES: Final = 30  # of one connection: the most that a server allows
SPARE: Final = 90.0  # seconds after which a connection is cut that should have ended
GATHERED: Final = 0.05  # seconds in which notifications are gathered: one change brings several
AGAIN: Final = 1.0  # seconds until hints are told again that could not be
AT_ONCE: Final = 8  # subscriptions made at a time
_MAILBOX: Final = frozenset({"ErrorImpersonateUserDenied", "ErrorNonExistentMailbox", "ErrorAccessDenied",
                             "ErrorFolderNotFound", "ErrorNonPrimarySmtpAddress", "ErrorMailboxMoveInProgress",
                             "ErrorMailboxStoreUnavailable", "ErrorExceededSubscriptionCount"})  # fmt: skip


class Publishing(Protocol):
    """What is needed of the broker."""

    async def publish(self, messages: Sequence[MailboxRead]) -> None:
        """Publish messages."""
        ...


class Stream:
    """One group's subscriptions, and the connection on which they are heard.

    `promised` are the mailboxes that count on hints, by their ids: those of a connection that broke stay among them.
    """

    def __init__(self, context: Context, broker: Publishing, group: Group) -> None:
        """Take the fetcher's edges, where hints go, and whose mailboxes these are."""
        self._context = context
        self._broker = broker
        self._group = group
        self.promised: tuple[str, ...] = ()
        self._affinity = Affinity()
        self._anchor = ""
        self._known: dict[str, Member] = {}  # by subscription
        self._changed: set[str] = set()
        self._told = asyncio.Event()

    @property
    def mailbox_ids(self) -> tuple[str, ...]:
        """Return the mailboxes that are subscribed to."""
        return tuple(member.mailbox_id for member in self._known.values())

    async def prepare(self, server: Server, members: Sequence[Member]) -> None:
        """Subscribe to who is new, and let go who is gone. One mailbox that refuses is left out. Raises EwsError."""
        if self._anchor not in {member.address for member in self._known.values() if member in members}:
            self._anchor, self._affinity, self._known = "", Affinity(), {}
        for name in [name for name, member in self._known.items() if member not in members]:
            await self._forget(server, name)
        known = set(self._known.values())
        lacking = [member for member in members if member not in known]
        while lacking and not self._known:  # the first that may be heard leads all of them to its server
            self._anchor = lacking[0].address
            await self._subscribe(server, lacking.pop(0))
        await self._subscribe_all(server, lacking)

    async def _subscribe_all(self, server: Server, members: Sequence[Member]) -> None:
        """Subscribe to mailboxes, a few at a time; after a refusal that is not a mailbox's own to no more of them."""
        gate = asyncio.Semaphore(AT_ONCE)
        failed: list[Exception] = []

        async def one(member: Member) -> None:
            async with gate:
                try:
                    if not failed:
                        await self._subscribe(server, member)
                except Exception as error:  # noqa: BLE001 -- raised below, once nobody asks any more
                    failed.append(error)

        await asyncio.gather(*map(one, members))
        if failed:
            raise failed[0]

    async def listen(self, server: Server) -> Ended:
        """Hear of changes until the connection ends; each becomes a hint. Raises EwsError."""
        loop = asyncio.get_running_loop()
        asked = streaming_events(list(self._known), minutes=MINUTES, mailbox=self._anchor)

        def tell(name: str) -> None:
            loop.call_soon_threadsafe(self._note, name)

        decode = partial(heard, tell=tell)
        telling = asyncio.create_task(self._tell())
        try:
            ended = await server.hold(asked, decode, seconds=MINUTES * 60 + SPARE, group=self._affinity)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        for name in ended.lost or ():
            self._known.pop(name, None)
        await self._publish()
        return ended

    async def make_up(self, org: Connected) -> None:
        """Ask for a reading of every mailbox: what changed before the connection stood, nobody else tells."""
        now = clock.now()
        # a reading of this very second may have begun before the connection stood
        reads = [_read(org, mailbox_id, now + 1) for mailbox_id in self.mailbox_ids]
        if reads:
            await self._broker.publish(reads)

    async def _subscribe(self, server: Server, member: Member) -> None:
        try:
            asked = subscribe(member.address, anchor=self._anchor)
            self._known[await server.ask(asked, subscription, group=self._affinity)] = member
        except EwsError as error:
            if error.code not in _MAILBOX:
                raise

    async def _forget(self, server: Server, name: str) -> None:
        member = self._known.pop(name)
        try:
            await server.ask(unsubscribe(name, mailbox=member.address), _ignored, group=self._affinity)
        except EwsError:
            return  # it lapses by itself

    def _note(self, name: str) -> None:
        self._changed.add(name)
        self._told.set()

    async def _tell(self) -> None:
        while True:
            await self._told.wait()
            await asyncio.sleep(GATHERED)
            self._told.clear()
            try:
                await self._publish()
            except Exception as error:  # noqa: BLE001 -- a broker or a store that is away is told again
                self._context.log.error("listening.failed", **logs.failure(error))  # noqa: TRY400 -- never its text
                await asyncio.sleep(AGAIN)

    async def _publish(self) -> None:
        changed, self._changed = self._changed, set()
        try:
            await self._tell_of(changed)
        except BaseException:
            self._changed |= changed
            self._told.set()
            raise

    async def _tell_of(self, changed: set[str]) -> None:
        found: Mapping[str, Member] = {name: self._known[name] for name in changed if name in self._known}
        org = await self._context.tenants.org(self._group.org_id) if found else None
        if org is not None and org.state == CONNECTED:
            now = clock.now()
            await self._broker.publish(
                [_read(org, mailbox_id, now, live=True) for mailbox_id in {each.mailbox_id for each in found.values()}]
            )


def _read(org: Connected, mailbox_id: str, now: int, *, live: bool = False) -> MailboxRead:
    return MailboxRead(
        org_id=org.org_id, generation=org.generation, mailbox_id=mailbox_id, since=now, live=live, exchange=True
    )


def _ignored(chunks: object) -> None:
    """Decode nothing: whether a subscription ended does not matter to whoever forgets it."""
    del chunks
