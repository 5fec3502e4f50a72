"""A mailbox.read message in, one complete snapshot out, or the fate of a reading that did not come about."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from math import ceil
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from services.fetcher import due, endings, exchange_fate, exchange_reading, failure, reading, times
from services.fetcher.context import Context, hours_of, named, standing, unreadable
from services.fetcher.doubt import doubted
from services.fetcher.due import SPACING, Answer, Change, Claim, Later, Lease, Row
from services.fetcher.endings import Ending, Pause
from services.fetcher.exchange_reading import Wish
from services.fetcher.failure import DOUBT_OVER, Fate, Whose
from services.fetcher.mailboxes import Step
from shared import clock
from shared.broker import Delivery, Done
from shared.connections import ATTENTION, Connected
from shared.contracts.messages import CalendarSnapshot, EwsConnection, MailboxRead
from shared.contracts.policy import Detail
from shared.contracts.values import Bucket, Instant, Window
from shared.errors import Retry
from shared.ews.errors import EwsError
from shared.graph import GraphError
from shared.identity import IdentityError

LARGEST_SNAPSHOT: Final = 15 * 2**20  # bytes; a broker takes 16 MiB
MANY_EVENTS: Final = 1000  # so many never come near it


class Reading(Struct, frozen=True, kw_only=True):
    """A reading in hand: the row as claimed, under which lease, for which org, when it started, after a hint or not."""

    row: Row
    lease: Lease
    org: Connected
    started: Instant
    live: bool


async def read(context: Context, message: MailboxRead, delivery: Delivery) -> Done:
    """Read one mailbox's window unless its generation has passed, a reading answers already, or one is under way.

    A hint that comes too soon after a reading waits with the message in hand, a second at most, and then reads for all
    that came meanwhile; where too many wait already, polling sees to it a little later.
    """
    async with await _hand(context, message):
        return await _taken_up(context, message, delivery)


async def _hand(context: Context, message: MailboxRead) -> AbstractAsyncContextManager[None]:
    """Return what a reading waits for before it takes the mailbox, so that no lease runs out in a queue.

    Exchange calendars with details are read a few at a time, of however many are taken from the broker.
    """
    org = await context.tenants.org(message.org_id, at_least=message.generation) if message.exchange else None
    if org is None or not isinstance(org.connection, EwsConnection) or org.policy.detail is not Detail.DETAILS:
        return nullcontext()
    try:
        return (await context.tenants.exchange(org)).hands[message.live]
    except IdentityError:  # whoever reads meets it again, and knows what to do about it
        return nullcontext()


async def _taken_up(context: Context, message: MailboxRead, delivery: Delivery) -> Done:
    task = await _claim(context, message, delivery)
    if isinstance(task, Later):
        if context.patience.locked():
            return Done()
        async with context.patience:
            await asyncio.sleep(min(max(task.at_ms / 1000 - clock.exact(), 0.0), SPACING / 1000))
        task = await _claim(context, message, delivery, seen=task.version)
    return await _claimed(context, task, delivery) if isinstance(task, Reading) else Done()


async def _claim(
    context: Context, message: MailboxRead, delivery: Delivery, *, seen: int | None = None
) -> Reading | Later | None:
    """Return the reading granted, or None where there is nothing to be done (any more)."""
    lease = Lease(generation=message.generation, message_id=delivery.message_id)
    org = await standing(context, message, delivery)
    wish = Claim(
        lease=lease,
        since=message.since,
        now=clock.now(),
        exact_ms=int(clock.exact() * 1000),
        seconds=context.settings.lease_seconds,
        live=message.live,
        seen=seen,
    )
    if org is None:
        await _dropped(context, message, wish)
        return None
    answer = await context.mailboxes.change(message.org_id, message.mailbox_id, lambda row: due.claim(row, wish))
    if isinstance(answer, Row):
        return Reading(row=answer, lease=lease, org=org, started=wish.now, live=message.live)
    return answer if isinstance(answer, Later) else None


async def _dropped(context: Context, message: MailboxRead, wish: Claim) -> None:
    """Free what the message holds; one of an org that only needs attention is remembered until that is over."""
    org = await context.tenants.org(message.org_id)
    waits = org is not None and org.state == ATTENTION and org.generation == message.generation
    await context.mailboxes.change(
        message.org_id,
        message.mailbox_id,
        lambda row: due.shelve(row, wish) if waits else endings.outdated(row, wish.lease, wish.now),
    )


async def _claimed(context: Context, task: Reading, delivery: Delivery) -> Done:
    window = task.org.policy.window_at(task.started)
    try:
        found = await _found(context, task, window)
        snapshots = () if found.events is None else (_snapshot(task, window, found),)
    except (GraphError, EwsError, IdentityError) as error:
        return await _unread(context, task, _fate(error, delivery.attempt), attempt=delivery.attempt)
    return Done(messages=snapshots, commit=partial(_finish, context, task, found))


def _fate(error: GraphError | EwsError | IdentityError, attempt: int) -> Fate:
    if isinstance(error, EwsError):
        return exchange_fate.of_exchange(error, attempt)
    return failure.of_reading(error, attempt)


async def _found(context: Context, task: Reading, window: Window) -> exchange_reading.Reading:
    """Read the mailbox in the way of its connection. Raises GraphError, EwsError and IdentityError."""
    policy = task.org.policy
    if isinstance(task.org.connection, EwsConnection):
        server = await context.tenants.exchange(task.org)
        generation = task.lease.generation
        wish = Wish(row=task.row, policy=policy, generation=generation, now=task.started, live=task.live)
        return await exchange_reading.read(server, wish)
    client = context.tenants.client(task.org)
    events = await reading.whole_window(client, task.row.mailbox_id, window=window, policy=policy)
    return exchange_reading.Reading(events=events)


def _snapshot(task: Reading, window: Window, found: exchange_reading.Reading) -> CalendarSnapshot:
    """Return the reading as a message. Raises GraphError for one that no broker would carry."""
    mailbox, events = named(task.row), found.events or ()
    hours = found.working_hours or hours_of(task.row)
    snapshot = CalendarSnapshot(
        org_id=task.row.org_id,
        generation=task.lease.generation,
        mailbox=replace(mailbox, time_zone=mailbox.time_zone or found.time_zone, working_hours=hours),
        version=task.row.version,
        window=window,
        as_of=task.started,
        policy=task.org.policy,
        events=events,
        live=task.live,
    )
    if len(events) > MANY_EVENTS and len(msgspec.json.encode(snapshot)) > LARGEST_SNAPSHOT:
        raise GraphError(status=200, code=failure.TOO_LARGE)
    return snapshot


async def _unread(context: Context, task: Reading, fate: Fate, *, attempt: int) -> Done:
    """Carry a failure's fate out: a doubt about the connection, a bucket, or another try."""
    now = clock.now()
    if fate.pause_tenant:
        await context.tenants.pause(task.row.org_id, until=now + ceil(fate.after))
    again = times.next_try(now, task.row.failures)
    match fate:
        case Fate(whose=Whose.ORG):
            return await _turned_away(context, task, Pause(reason=fate.reason, until=now + ceil(fate.after)))
        case Fate(doubt=True) if _was_good(task.row) and task.row.failures == 0:
            return await _suspicious(context, task, Pause(reason=fate.reason, until=now + ceil(DOUBT_OVER)))
        case Fate(bucket=Bucket.NO_MAILBOX | Bucket.ON_PREMISES) if task.row.read_at is not None:
            # Whether one that was there has left is the directory's to say: its search is guarded against mistakes.
            return _given_up(context, task, Bucket.FAILING, reason=fate.reason, due_at=again)
        case Fate(bucket=Bucket() as bucket):
            due_at = again if bucket is Bucket.FAILING else None
            return _given_up(context, task, bucket, reason=fate.reason, due_at=due_at)
    if fate.counted and (attempt >= context.settings.tries or task.row.bucket is Bucket.FAILING):
        return _given_up(context, task, Bucket.FAILING, reason=fate.reason, due_at=again)
    pause = Pause(reason=fate.reason, until=now + ceil(fate.after))
    seconds = context.settings.lease_seconds
    await _change(context, task, lambda row: endings.postpone(row, task.lease, pause, seconds=seconds))
    raise Retry(fate.reason, after=fate.after, counted=fate.counted)


def _was_good(row: Row) -> bool:
    return row.bucket is Bucket.ACTIVE and row.read_at is not None


async def _turned_away(context: Context, task: Reading, pause: Pause) -> Done:
    """Doubt the connection; the mailbox itself is as it was, and due again once the doubt may be settled."""
    doubts = await doubted(context, org=task.org, reason=pause.reason, now=clock.now())

    async def free() -> None:
        await _change(context, task, lambda row: endings.put_off(row, task.lease, pause))

    return Done(messages=doubts, commit=free)


async def _suspicious(context: Context, task: Reading, pause: Pause) -> Done:
    """Doubt the connection before a mailbox read well until now counts as denied: all of them may be by now."""
    doubts = await doubted(context, org=task.org, reason=pause.reason, now=clock.now())
    ending = replace(_ending(task, Bucket.ACTIVE, due_at=pause.until), waiting=pause.reason)
    return Done(messages=doubts, commit=partial(_end, context, task, lambda row: endings.end(row, ending)))


def _given_up(context: Context, task: Reading, bucket: Bucket, *, reason: str, due_at: Instant | None) -> Done:
    message = unreadable(task.row, generation=task.lease.generation, as_of=task.started, bucket=bucket, reason=reason)
    ending = replace(_ending(task, bucket, due_at=due_at), reason=reason)
    return Done(messages=(message,), commit=partial(_end, context, task, lambda row: endings.end(row, ending)))


async def _finish(context: Context, task: Reading, found: exchange_reading.Reading) -> None:
    """End a complete reading; when the mailbox is due follows from what hints are promised by then.

    One that found the last reading to stand leaves it as it was.
    """
    stands = found.events is None
    read_at = None if stands else task.started
    ending = replace(
        _ending(task, Bucket.ACTIVE, due_at=None), read_at=read_at, checked=stands, sync_state=found.sync_state
    )

    def step(row: Row | None) -> Change:
        promised = None if row is None else row.subscribed_until
        seconds = times.interval(ending.now, task.org.policy, promised)
        due_at = times.next_due(ending.now, seconds, task.row.mailbox_id)
        return endings.end(row, replace(ending, due_at=due_at))

    await _end(context, task, step)


def _ending(task: Reading, bucket: Bucket, *, due_at: Instant | None) -> Ending:
    return Ending(lease=task.lease, version=task.row.version, bucket=bucket, now=clock.now(), due_at=due_at)


async def _end(context: Context, task: Reading, step: Step) -> None:
    """End the reading; where a hint came meanwhile, polling is told to look at once."""
    ended = await _change(context, task, step)
    if isinstance(ended, Row) and ended.dirty and ended.lease_id is None:
        context.due.set()


async def _change(context: Context, task: Reading, step: Step) -> Answer:
    return await context.mailboxes.change(task.row.org_id, task.row.mailbox_id, step)
