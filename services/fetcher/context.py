"""What the fetcher's handlers share, and what each message is asked first: whether its organisation still stands."""

import asyncio
from typing import Final

import msgspec
from msgspec import Struct, field

from services.fetcher.connect import Tenants
from services.fetcher.due import Row
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.settings import Settings
from shared.broker import Delivery
from shared.connections import CONNECTED, Connected
from shared.contracts.messages import MailboxEnumerate, MailboxRead, MailboxUnreadable
from shared.contracts.values import Bucket, Instant, Mailbox, WorkingHours
from shared.errors import Retry
from shared.logs import Logger
from shared.store import Store

WAITERS: Final = 16  # hints that wait in hand at a time, where wiring says nothing else
_HOURS: Final = msgspec.json.Decoder(WorkingHours)


class Context(Struct, frozen=True, kw_only=True):
    """The fetcher's edges and settings, handed to every handler.

    `due` is set by whoever knows that a mailbox is due now: polling looks at once. `patience` is held by hints that
    wait in hand; those for whom there is none left are served by polling.
    """

    store: Store
    mailboxes: Mailboxes
    tenants: Tenants
    settings: Settings
    log: Logger
    due: asyncio.Event = field(default_factory=asyncio.Event)
    patience: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WAITERS))


async def standing(context: Context, message: MailboxEnumerate | MailboxRead, delivery: Delivery) -> Connected | None:
    """Return the org if it is connected under the message's generation, None if that generation has passed.

    A message may overtake the commit that its generation begins with: it waits, though not for ever.
    """
    org = await context.tenants.org(message.org_id, at_least=message.generation)
    if org is None or org.generation > message.generation:
        return None
    if org.generation < message.generation:
        if delivery.attempt >= context.settings.tries:
            return None
        raise Retry("generation_ahead", after=2.0)
    return org if org.state == CONNECTED else None


def unreadable(row: Row, *, generation: int, as_of: Instant, bucket: Bucket, reason: str) -> MailboxUnreadable:
    """Return the message that what was published of a mailbox no longer holds, numbered by its row's version."""
    return MailboxUnreadable(
        org_id=row.org_id,
        generation=generation,
        mailbox=named(row),
        version=row.version,
        as_of=as_of,
        bucket=bucket,
        reason=reason,
    )


def named(row: Row) -> Mailbox:
    """Return which mailbox a row speaks of, but not when its owner works: only a reading tells."""
    return Mailbox(mailbox_id=row.mailbox_id, address=row.address, kind=row.kind, time_zone=row.time_zone)


def hours_of(row: Row) -> WorkingHours | None:
    """Return when the mailbox's owner works, as the last enumeration that learned it found."""
    return None if row.working_hours is None else _HOURS.decode(row.working_hours)
