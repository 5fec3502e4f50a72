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
from shared import clock
from shared.connections import CONNECTED, Connected
from shared.contracts.messages import MailboxRead
from shared.ews.envelopes import streaming_events, subscribe, unsubscribe
from shared.ews.errors import EwsError
from shared.ews.lines import Affinity
from shared.ews.streaming import Ended, heard, subscription

MINUTES: Final = 30  # of one connection: the most that a server allows
SPARE: Final = 90.0  # seconds after which a connection is cut that should have ended
GATHERED: Final = 0.05  # seconds in which notifications are gathered: one change brings several
AT_ONCE: Final = 8  # subscriptions made at a time
_MAILBOX: Final = frozenset({"ErrorImpersonateUserDenied", "ErrorNonExistentMailbox", "ErrorAccessDenied",
                             "ErrorFolderNotFound", "ErrorNonPrimarySmtpAddress", "ErrorMailboxMoveInProgress",
                             "ErrorMailboxStoreUnavailable"})  # fmt: skip


class Publishing(Protocol):
    """What is needed of the broker."""

    async def publish(self, messages: Sequence[MailboxRead]) -> None:
        """Publish messages."""
        ...


class Stream:
    """One group's subscriptions, and the connection on which they are heard."""

    def __init__(self, context: Context, broker: Publishing, group: Group) -> None:
        """Take the fetcher's edges, where hints go, and whose mailboxes these are."""
        self._context = context
        self._broker = broker
        self._group = group
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
        if not self._anchor or self._anchor not in {member.address for member in members}:
            self._anchor, self._affinity, self._known = members[0].address, Affinity(), {}
        for name in [name for name, member in self._known.items() if member not in members]:
            await self._forget(server, name)
        known = set(self._known.values())
        lacking = [member for member in members if member not in known]
        if lacking and not self._affinity.cookie:
            await self._subscribe(server, lacking.pop(0))  # the first answer names the server for all of them
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(member: Member) -> None:
            async with gate:
                await self._subscribe(server, member)

        async with asyncio.TaskGroup() as group:
            for member in lacking:
                group.create_task(one(member))

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
        reads = [_read(org, mailbox_id, now) for mailbox_id in self.mailbox_ids]
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
            await self._publish()

    async def _publish(self) -> None:
        changed, self._changed = self._changed, set()
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
