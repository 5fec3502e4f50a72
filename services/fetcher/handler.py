"""A mailbox.read message in, one complete snapshot out, or the fate of a reading that did not come about."""

from math import ceil
from typing import Final

import msgspec
from msgspec import Struct

from services.fetcher import due, failure, reading, runs
from services.fetcher.context import Context, named, standing, unreadable
from services.fetcher.due import Claim, Ending, Lease, Row
from services.fetcher.failure import Fate, Whose
from shared import clock
from shared.broker import Delivery, Done
from shared.connections import Connected
from shared.contracts.messages import CalendarSnapshot, MailboxRead, RawEvent
from shared.contracts.values import Bucket, Instant, Window
from shared.errors import Retry
from shared.graph import GraphError
from shared.identity import IdentityError

LARGEST_SNAPSHOT: Final = 15 * 2**20  # bytes; a broker takes 16 MiB
MANY_EVENTS: Final = 1000  # so many never come near it


class Reading(Struct, frozen=True, kw_only=True):
    """A reading in hand: the row as claimed, under which lease, for which org, and when it started."""

    row: Row
    lease: Lease
    org: Connected
    started: Instant


async def read(context: Context, message: MailboxRead, delivery: Delivery) -> Done:
    """Read one mailbox's window unless its generation has passed, a reading answers already, or one is under way."""
    lease = Lease(generation=message.generation, message_id=delivery.message_id)
    org = await standing(context, message, delivery)
    now = clock.now()
    if org is None:
        await context.mailboxes.change(message.org_id, message.mailbox_id, lambda row: due.outdated(row, lease, now))
        return Done()
    wish = Claim(lease=lease, since=message.since, now=now, seconds=context.settings.lease_seconds)
    claimed = await context.mailboxes.change(message.org_id, message.mailbox_id, lambda row: due.claim(row, wish))
    if not isinstance(claimed, Row):
        return Done()
    return await _claimed(context, Reading(row=claimed, lease=lease, org=org, started=now), delivery)


async def _claimed(context: Context, task: Reading, delivery: Delivery) -> Done:
    policy, window = task.org.policy, task.org.policy.window_at(task.started)
    try:
        client = context.tenants.client(task.org)
        events = await reading.whole_window(client, task.row.mailbox_id, window=window, policy=policy)
        snapshot = _snapshot(task, window, events)
    except (GraphError, IdentityError) as error:
        fate = failure.of_reading(error, delivery.attempt)
        return await _unread(context, task, fate, attempt=delivery.attempt)

    async def finish() -> None:
        at = clock.now()
        next_due = due.next_due(at, context.settings.poll_seconds, task.row.mailbox_id)
        await _end(context, task, bucket=Bucket.ACTIVE, due_at=next_due)

    return Done(messages=(snapshot,), commit=finish)


def _snapshot(task: Reading, window: Window, events: tuple[RawEvent, ...]) -> CalendarSnapshot:
    """Return the reading as a message. Raises GraphError for one that no broker would carry."""
    snapshot = CalendarSnapshot(
        org_id=task.row.org_id,
        generation=task.lease.generation,
        mailbox=named(task.row),
        version=task.row.version,
        window=window,
        as_of=task.started,
        policy=task.org.policy,
        events=events,
    )
    if len(events) > MANY_EVENTS and len(msgspec.json.encode(snapshot)) > LARGEST_SNAPSHOT:
        raise GraphError(status=200, code=failure.TOO_LARGE)
    return snapshot


async def _unread(context: Context, task: Reading, fate: Fate, *, attempt: int) -> Done:
    """Carry a failure's fate out: a pause for the tenant, word to the admin, another try, or a bucket."""
    now = clock.now()
    if fate.pause_tenant:
        await context.tenants.pause(task.row.org_id, until=now + ceil(fate.after))
    if fate.whose is Whose.ORG:
        await runs.trouble(context.store, task.row.org_id, reason=fate.reason, now=now)
    again = due.next_try(now, task.row.failures)
    if fate.bucket is not None:
        due_at = again if fate.bucket is Bucket.FAILING else None
        return _given_up(context, task, fate.bucket, reason=fate.reason, due_at=due_at)
    if fate.counted and (attempt >= context.settings.tries or task.row.bucket is Bucket.FAILING):
        return _given_up(context, task, Bucket.FAILING, reason=fate.reason, due_at=again)
    until = now + ceil(fate.after) + context.settings.lease_seconds
    await context.mailboxes.change(
        task.row.org_id, task.row.mailbox_id, lambda row: due.postpone(row, task.lease, until)
    )
    raise Retry(fate.reason, after=fate.after, counted=fate.counted)


def _given_up(context: Context, task: Reading, bucket: Bucket, *, reason: str, due_at: Instant | None) -> Done:
    message = unreadable(task.row, generation=task.lease.generation, as_of=task.started, bucket=bucket, reason=reason)

    async def finish() -> None:
        await _end(context, task, bucket=bucket, reason=reason, due_at=due_at)

    return Done(messages=(message,), commit=finish)


async def _end(
    context: Context, task: Reading, *, bucket: Bucket, due_at: Instant | None, reason: str | None = None
) -> None:
    ending = Ending(
        lease=task.lease,
        version=task.row.version,
        bucket=bucket,
        reason=reason,
        read_at=task.started if bucket is Bucket.ACTIVE else None,
        now=clock.now(),
        due_at=due_at,
    )
    await context.mailboxes.change(task.row.org_id, task.row.mailbox_id, lambda row: due.end(row, ending))
