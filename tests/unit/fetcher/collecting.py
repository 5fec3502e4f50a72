"""A broker that collects what is published, and an organisation's mailboxes put straight into the store."""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from shared.broker import Outgoing
from shared.contracts.messages import MailboxRead, Message
from shared.errors import Retry
from shared.store import Store
from shared.tables import mailboxes, subscriptions


class Collecting:
    """What was published, in order, only while `here` is set; `forgotten` says for whom queues were emptied."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.batches = 0
        self.forgotten: list[tuple[str, str, bool, int | None]] = []
        self.holds = 0
        self.here = asyncio.Event()
        self.here.set()

    async def publish(self, messages: Sequence[Message | Outgoing]) -> None:
        await self.here.wait()
        self.batches += 1
        self.messages += [each.message if isinstance(each, Outgoing) else each for each in messages]

    async def forget(self, org_id: str, service: str, *, parked: bool = False, generation: int | None = None) -> int:
        if not self.here.is_set():
            raise Retry("broker_unavailable", counted=False)
        self.forgotten.append((org_id, service, parked, generation))
        held, self.holds = self.holds, 0
        return held

    def hinted(self) -> list[str]:
        """Return the mailboxes hinted at, in order."""
        assert all(isinstance(message, MailboxRead) and message.live for message in self.messages)
        return [message.mailbox_id for message in self.messages if isinstance(message, MailboxRead)]


async def put_mailbox(store: Store, mailbox_id: str, *, org_id: str = "org1", **fields: Any) -> None:
    row = {
        "org_id": org_id,
        "mailbox_id": mailbox_id,
        "address": f"{mailbox_id}@example.org",
        "kind": "user",
        "bucket": "active",
        "generation": 1,
    }
    async with store.write() as connection:
        await connection.execute(insert(mailboxes).values(row | fields))


async def change_mailbox(store: Store, mailbox_id: str, **fields: Any) -> None:
    async with store.write() as connection:
        await connection.execute(update(mailboxes).where(mailboxes.c.mailbox_id == mailbox_id).values(fields))


async def put_subscription(store: Store, mailbox_id: str, *, org_id: str = "org1", **fields: Any) -> None:
    row = {"org_id": org_id, "mailbox_id": mailbox_id, "wanted": True, "act_at": 0, "failures": 0}
    async with store.write() as connection:
        await connection.execute(insert(subscriptions).values(row | fields))


async def mailbox_rows(store: Store) -> dict[str, Any]:
    async with store.read() as connection:
        return {row.mailbox_id: row for row in await connection.execute(select(mailboxes))}


async def subscription_rows(store: Store) -> dict[str, Any]:
    async with store.read() as connection:
        return {row.mailbox_id: row for row in await connection.execute(select(subscriptions))}


async def drop_subscription(store: Store, mailbox_id: str) -> None:
    async with store.write() as connection:
        await connection.execute(delete(subscriptions).where(subscriptions.c.mailbox_id == mailbox_id))
