"""What both engines of the broker promise, asked of both in the same words."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from shared.broker import (
    Broker,
    Consumer,
    Delivery,
    Done,
    Limits,
    Outgoing,
    Unroutable,
    open_broker,
    wire,
)
from shared.contracts.messages import (
    CalendarSnapshot,
    GraphConnection,
    MailboxEnumerate,
    MailboxRead,
    Message,
    OrgConnected,
)
from shared.errors import Halt, Reject, Retry
from tests.waiting import until

LIMITS = Limits(attempts=3, first_pause=0.1, deadline=1.0)
BACKFILL, ENUMERATE = "fetcher.backfill", "fetcher.enumerate"
Handle = Callable[[Message, Delivery], Awaitable[Done]]
Seen = list[tuple[str, bytes, Any]]


class Stray(Message, frozen=True, kw_only=True, tag="stray.v1"):
    """A message no queue takes."""


def read(number: int = 1, *, live: bool = False) -> MailboxRead:
    return MailboxRead(org_id="acme", generation=3, mailbox_id=f"m{number}", since=number, live=live)


def number_of(message: Message) -> int:
    assert isinstance(message, MailboxRead)
    return message.since


@pytest.fixture
async def seen() -> Seen:
    return []


@pytest.fixture
async def broker(broker_url: str, seen: Seen) -> AsyncIterator[Broker]:
    opened = open_broker(broker_url, tap=lambda *it: seen.append(it), limits=LIMITS)
    yield opened
    await opened.close()


@asynccontextmanager
async def working(
    broker: Broker, handle: Handle, *, queue: str = BACKFILL, in_flight: int = 4
) -> AsyncIterator["asyncio.Task[None]"]:
    """Consume one queue while the block runs, then stop in order."""
    stop = asyncio.Event()
    task = asyncio.create_task(broker.run([Consumer(queue, handle, in_flight)], service="fetcher", stop=stop))
    try:
        yield task
    finally:
        stop.set()
        with suppress(Halt):
            await task


class Recorder:
    """A handler that remembers, and does what its script says the nth time: an error to raise or a Done to return."""

    def __init__(self, *script: Exception | Done) -> None:
        self.messages: list[Message] = []
        self.deliveries: list[Delivery] = []
        self.times: list[float] = []
        self._script = list(script)

    async def __call__(self, message: Message, delivery: Delivery) -> Done:
        self.messages.append(message)
        self.deliveries.append(delivery)
        self.times.append(time.monotonic())
        step = self._script.pop(0) if self._script else Done()
        if isinstance(step, Exception):
            raise step
        return step

    @property
    def count(self) -> int:
        return len(self.messages)


async def inject(broker: Broker, body: bytes, message_type: str, *, queue: str = BACKFILL, not_before: int = 0) -> None:
    """Publish what no publisher of ours would."""
    letter = wire.Letter(
        exchange="",
        routing_key=queue,
        body=body,
        message_id="injected",
        message_type=message_type,
        timestamp=1,
        headers={"org_id": "acme"} | ({"not_before": not_before} if not_before else {}),
    )
    await broker._engine.send([letter])  # type: ignore[attr-defined]


async def drained(broker: Broker, *queues: str) -> bool:
    return not any([await broker.depth(queue) for queue in queues or (BACKFILL,)])


async def has_parked(broker: Broker, count: int = 1) -> bool:
    return await broker.depth("busyline.parked") == count


async def test_what_is_published_arrives_whole_and_once(broker: Broker) -> None:
    handle = Recorder()
    await broker.publish([read(number) for number in range(50)])
    async with working(broker, handle):
        await until(lambda: handle.count >= 50)
    assert sorted(map(number_of, handle.messages)) == list(range(50))
    assert await drained(broker)


async def test_a_delivery_tells_its_id_its_first_attempt_and_when_it_was_published(broker: Broker) -> None:
    handle = Recorder()
    before = int(time.time())  # noqa: TID251 -- compared with the clock behind the interface
    await broker.publish([read()])
    async with working(broker, handle):
        await until(lambda: handle.count == 1)
    delivery = handle.deliveries[0]
    assert len(delivery.message_id) == 32
    assert (delivery.attempt, delivery.redelivered) == (1, False)
    assert before <= delivery.published_at <= before + 20


async def test_every_message_carries_its_org_generation_and_attempt_as_headers(broker: Broker, seen: Seen) -> None:
    await broker.publish([read()])
    queue, body, headers = seen[0]
    assert queue == BACKFILL
    assert b"mailbox.read.v1" in body
    assert dict(headers) == {"org_id": "acme", "generation": 3, "attempt": 1}


async def test_live_reads_have_a_queue_of_their_own(broker: Broker) -> None:
    await broker.publish([read(live=True), read(2)])
    assert [await broker.depth("fetcher.live"), await broker.depth(BACKFILL)] == [1, 1]


async def test_publishing_a_message_no_queue_takes_is_refused(broker: Broker) -> None:
    with pytest.raises(Unroutable):
        await broker.publish([Stray(org_id="acme")])


async def test_a_letter_the_broker_cannot_route_is_refused(broker: Broker) -> None:
    await broker.publish([read()])
    with pytest.raises(Unroutable):
        await inject(broker, b"{}", "mailbox.read.v1", queue="no.such.queue")
    await broker.publish([read(2)])
    assert await broker.depth(BACKFILL) == 2


async def test_announcing_succeeds_though_nobody_listens(broker: Broker, seen: Seen) -> None:
    event = ("availability.acme.m1", b"{}", {"id": "1", "type": "availability.updated.v1"})
    while not await broker.announce([event]):
        assert seen == []
    assert [where for where, _, _ in seen] == ["availability"]


async def test_an_announcement_is_with_the_broker_before_anything_else_happens(broker: Broker, seen: Seen) -> None:
    while not await broker.announce([]):
        pass
    handed_over = broker.announce([("acme.m1", b"{}", {"id": str(number)}) for number in range(400)])
    assert await asyncio.wait_for(handed_over, 60)
    assert [headers["id"] for _, _, headers in seen] == [str(number) for number in range(400)]


async def test_a_handlers_messages_are_published_before_it_commits_and_acknowledged_last(broker: Broker) -> None:
    depths: list[tuple[int, int]] = []

    async def commit() -> None:
        depths.append((await broker.depth(ENUMERATE), await broker.depth(BACKFILL)))
        raise Halt("look_here")  # before the acknowledgement: the delivery must still be there

    follow_up = MailboxEnumerate(org_id="acme", generation=3, run="0" * 32)
    handle = Recorder(Done((follow_up,), commit))
    await broker.publish([read()])
    async with working(broker, handle) as task:
        await until(task.done)
    assert depths == [(1, 0)]
    assert await broker.depth(BACKFILL) == 1


async def test_a_commit_runs_once_and_then_the_delivery_is_gone(broker: Broker) -> None:
    commits: list[int] = []

    async def commit() -> None:
        commits.append(1)

    handle = Recorder(Done((), commit))
    await broker.publish([read()])
    async with working(broker, handle):
        await until(lambda: bool(commits))
    async with working(broker, handle):
        await until(lambda: drained(broker))
    assert (commits, handle.count) == ([1], 1)


async def test_a_delayed_message_comes_no_sooner_than_asked(broker: Broker) -> None:
    handle = Recorder()
    start = time.monotonic()
    await broker.publish([Outgoing(read(), 1.5)])
    async with working(broker, handle):
        await until(lambda: handle.count == 1)
    assert handle.times[0] - start >= 1.5
    assert handle.deliveries[0].attempt == 1


async def test_a_retry_comes_later_and_counts(broker: Broker) -> None:
    handle = Recorder(Retry("busy", after=0.4), Retry("busy", after=0.4))
    await broker.publish([read()])
    async with working(broker, handle):
        await until(lambda: handle.count == 3)
        await until(lambda: drained(broker, BACKFILL, "fetcher.delayed"))
    assert [delivery.attempt for delivery in handle.deliveries] == [1, 2, 3]
    assert len({delivery.message_id for delivery in handle.deliveries}) == 1
    assert len({delivery.published_at for delivery in handle.deliveries}) == 1
    assert all(later - sooner >= 0.4 for sooner, later in zip(handle.times, handle.times[1:], strict=False))
    assert await broker.parked() == []


async def test_an_uncounted_retry_keeps_its_attempt(broker: Broker) -> None:
    script = [Retry("throttled", after=0.0, counted=False) for _ in range(6)]
    handle = Recorder(*script)
    await broker.publish([read()])
    async with working(broker, handle):
        await until(lambda: handle.count == 7)
    assert {delivery.attempt for delivery in handle.deliveries} == {1}
    assert await broker.parked() == []


async def test_a_retry_that_keeps_failing_is_parked_with_its_reason(broker: Broker) -> None:
    handle = Recorder(*[Retry("busy", after=0.0, where="429") for _ in range(9)])
    await broker.publish([read()])
    async with working(broker, handle):
        await until(lambda: has_parked(broker))
    (parked,) = await broker.parked()
    assert (parked.reason, parked.where, parked.attempts, handle.count) == ("busy", "429", 3, 3)


async def test_a_bug_is_tried_again_and_then_parked_with_the_exceptions_type(broker: Broker) -> None:
    handle = Recorder(*[ZeroDivisionError("private words") for _ in range(9)])
    await broker.publish([read()])
    async with working(broker, handle):
        await until(lambda: has_parked(broker))
    (parked,) = await broker.parked()
    assert (parked.reason, parked.error_type, handle.count) == ("bug", "ZeroDivisionError", 3)


async def test_a_rejected_message_is_parked_at_once_with_where(broker: Broker) -> None:
    handle = Recorder(Reject("cloud_unknown", "connection.cloud"))
    await broker.publish([read()])
    async with working(broker, handle):
        await until(lambda: has_parked(broker))
    (parked,) = await broker.parked()
    assert (parked.reason, parked.where, parked.queue) == ("cloud_unknown", "connection.cloud", BACKFILL)
    assert (parked.message_type, parked.org_id, parked.attempts) == ("mailbox.read.v1", "acme", 1)
    assert parked.message_id == handle.deliveries[0].message_id


@pytest.mark.parametrize(
    ("body", "message_type", "reason", "where"),
    [
        (b"not json", "mailbox.read.v1", "malformed", "json"),
        (b"\xff\xfe", "mailbox.read.v1", "malformed", "json"),
        (b'{"type":"mailbox.read.v1","x":' + b"[" * 100_000, "mailbox.read.v1", "malformed", "json"),
        (b'{"type":"mailbox.read.v1","org_id":"a","generation":"x"}', "mailbox.read.v1", "malformed", "$.generation"),
        (b'{"type":"secret words","org_id":"a"}', "mailbox.read.v1", "malformed", "$.type"),
        (b'{"type":"nobody.knows.v1"}', "nobody.knows.v1", "unknown_type", ""),
        (b'{"type":"nobody.knows.v1"}', "", "unknown_type", ""),
        (b'{"type":"org.connected.v1"}', "org.connected.v1", "unknown_type", ""),
        (b" " * (wire.LARGEST_BODY + 1), "mailbox.read.v1", "oversize", ""),
    ],
    ids=["text", "bytes", "deep", "field", "tag", "type", "untyped", "elsewhere", "oversize"],
)
async def test_a_body_that_cannot_be_read_is_parked(
    broker: Broker, body: bytes, message_type: str, reason: str, where: str
) -> None:
    handle = Recorder()
    await inject(broker, body, message_type)
    async with working(broker, handle):
        await until(lambda: has_parked(broker))
    (parked,) = await broker.parked()
    assert (parked.reason, parked.where, parked.size, handle.count) == (reason, where, len(body), 0)
    assert await broker.show(parked.parked_id) == body


async def test_a_message_that_claims_to_rest_for_ever_is_parked(broker: Broker) -> None:
    handle = Recorder()
    await inject(broker, b"{}", "mailbox.read.v1", not_before=2**62)
    async with working(broker, handle):
        await until(lambda: has_parked(broker))
    (parked,) = await broker.parked()
    assert (parked.reason, parked.where, handle.count) == ("malformed", "headers.not_before", 0)


async def test_a_message_without_a_type_property_is_known_by_its_body(broker: Broker) -> None:
    handle = Recorder()
    await inject(broker, b'{"type":"mailbox.read.v1","org_id":"a","generation":1,"mailbox_id":"m","since":1}', "")
    async with working(broker, handle):
        await until(lambda: handle.count == 1)
    assert handle.messages == [MailboxRead(org_id="a", generation=1, mailbox_id="m", since=1)]


async def test_what_a_handler_returns_that_no_queue_takes_ends_in_parking_the_message(broker: Broker) -> None:
    handle = Recorder(*[Done((Stray(org_id="acme"),)) for _ in range(9)])
    await broker.publish([read()])
    async with working(broker, handle):
        await until(lambda: has_parked(broker))
    (parked,) = await broker.parked()
    assert (parked.reason, parked.message_type) == ("unroutable", "mailbox.read.v1")


async def parked_messages(broker: Broker, count: int) -> None:
    handle = Recorder(*[Reject("test_reason") for _ in range(count)])
    await broker.publish([read(number) for number in range(count)])
    async with working(broker, handle):
        await until(lambda: has_parked(broker, count))


async def test_a_replayed_message_is_a_first_attempt_in_its_queue_and_parked_no_more(broker: Broker) -> None:
    await parked_messages(broker, 1)
    (parked,) = await broker.parked()
    assert await broker.replay(parked.parked_id)
    assert await has_parked(broker, 0)
    handle = Recorder()
    async with working(broker, handle):
        await until(lambda: handle.count == 1)
    assert (handle.messages[0], handle.deliveries[0].attempt) == (read(0), 1)
    assert handle.deliveries[0].message_id == parked.message_id


async def test_one_dead_letter_is_dropped_and_the_others_stay(broker: Broker) -> None:
    await parked_messages(broker, 3)
    first, second, third = await broker.parked()
    assert await broker.drop(second.parked_id)
    assert {it.parked_id for it in await broker.parked()} == {first.parked_id, third.parked_id}


async def test_what_is_not_parked_can_be_neither_shown_nor_replayed_nor_dropped(broker: Broker) -> None:
    assert await broker.show("nothing") is None
    assert not await broker.replay("nothing")
    assert not await broker.drop("nothing")


async def test_looking_at_dead_letters_often_changes_nothing(broker: Broker) -> None:
    await parked_messages(broker, 3)
    first = await broker.parked()
    for _ in range(25):
        assert {it.parked_id for it in await broker.parked()} == {it.parked_id for it in first}
    assert len(await broker.parked(limit=2)) == 2
    assert await has_parked(broker, 3)


async def test_a_halt_puts_the_message_back_and_ends_the_run(broker: Broker) -> None:
    handle = Recorder(Halt("key_missing"))
    await broker.publish([read()])
    task = asyncio.create_task(broker.run([Consumer(BACKFILL, handle, 2)], service="fetcher", stop=asyncio.Event()))
    with pytest.raises(Halt, match="key_missing"):
        await asyncio.wait_for(task, 60)
    await until(lambda: _depth_is(broker, BACKFILL, 1))
    again = Recorder()
    async with working(broker, again):
        await until(lambda: again.count == 1)
    assert again.deliveries[0].attempt == 1
    assert again.deliveries[0].redelivered


async def _depth_is(broker: Broker, queue: str, depth: int) -> bool:
    return await broker.depth(queue) == depth


async def test_stopping_lets_the_work_in_hand_finish_and_hands_the_rest_back(broker: Broker) -> None:
    entered, leave, finished = asyncio.Event(), asyncio.Event(), []

    async def handle(message: Message, _: Delivery) -> Done:
        entered.set()
        await leave.wait()
        finished.append(message)
        return Done()

    await broker.publish([read(number) for number in range(10)])
    stop = asyncio.Event()
    task = asyncio.create_task(broker.run([Consumer(BACKFILL, handle, 2)], service="fetcher", stop=stop))
    await entered.wait()
    stop.set()
    asyncio.get_running_loop().call_later(0.2, leave.set)
    await asyncio.wait_for(task, 60)
    done = len(finished)
    assert 1 <= done <= 2
    await until(lambda: _depth_is(broker, BACKFILL, 10 - done))


async def test_work_that_outlasts_the_deadline_is_handed_back(broker: Broker) -> None:
    entered = asyncio.Event()

    async def handle(_: Message, __: Delivery) -> Done:
        entered.set()
        await asyncio.Event().wait()
        return Done()

    await broker.publish([read()])
    stop = asyncio.Event()
    task = asyncio.create_task(broker.run([Consumer(BACKFILL, handle, 2)], service="fetcher", stop=stop))
    await entered.wait()
    stop.set()
    await asyncio.wait_for(task, 60)
    await until(lambda: _depth_is(broker, BACKFILL, 1))


async def test_no_more_messages_are_in_hand_than_asked_for(broker: Broker) -> None:
    now, most, handled = 0, 0, 0

    async def handle(_: Message, __: Delivery) -> Done:
        nonlocal now, most, handled
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        await asyncio.sleep(0.005)
        now -= 1
        handled += 1
        return Done()

    await broker.publish([read(number) for number in range(60)])
    async with working(broker, handle, in_flight=5):
        await until(lambda: handled == 60)
    assert most == 5


async def test_a_slow_message_does_not_hold_up_the_others(broker: Broker) -> None:
    leave, handled = asyncio.Event(), []

    async def handle(message: Message, _: Delivery) -> Done:
        if number_of(message) == 0:
            await leave.wait()
        handled.append(number_of(message))
        return Done()

    await broker.publish([read(number) for number in range(40)])
    async with working(broker, handle, in_flight=4):
        await until(lambda: len(handled) == 39)
        leave.set()
        await until(lambda: len(handled) == 40)
    assert handled[-1] == 0
    assert await drained(broker)


async def test_several_runs_share_one_broker(broker: Broker) -> None:
    first, second = Recorder(), Recorder()
    await broker.publish([read(), MailboxEnumerate(org_id="acme", generation=1, run="0" * 32)])
    async with working(broker, first), working(broker, second, queue=ENUMERATE):
        await until(lambda: first.count == second.count == 1)
    assert isinstance(second.messages[0], MailboxEnumerate)


async def test_two_consumers_of_one_queue_share_its_messages(broker: Broker, broker_url: str) -> None:
    other = open_broker(broker_url, limits=LIMITS)
    first, second = Recorder(), Recorder()
    try:
        async with working(broker, first), working(other, second):
            await broker.publish([read(number) for number in range(100)])
            await until(lambda: first.count + second.count == 100)
    finally:
        await other.close()
    assert await drained(broker)


async def test_a_queue_cannot_be_consumed_twice_in_one_run(broker: Broker) -> None:
    twice: Sequence[Consumer] = [Consumer(BACKFILL, Recorder()), Consumer(BACKFILL, Recorder())]
    with pytest.raises(ValueError, match="one consumer"):
        await broker.run(twice, service="fetcher", stop=asyncio.Event())


async def test_the_depth_of_a_queue_that_is_not_ours_is_not_asked(broker: Broker) -> None:
    with pytest.raises(ValueError, match="no such queue"):
        await broker.depth("somebody.elses")


async def test_a_message_too_large_for_any_broker_is_rejected_before_it_is_sent(broker: Broker) -> None:
    too_large = CalendarSnapshot.__struct_config__.tag
    assert too_large == "calendar.snapshot.v1"
    enumerate_ = MailboxEnumerate(org_id="acme", generation=1, run="0" * 32, cursor="x" * (wire.LARGEST_BODY + 1))
    with pytest.raises(Reject, match="oversize"):
        await broker.publish([enumerate_])


async def test_a_message_of_the_platform_arrives_with_its_defaults(broker: Broker) -> None:
    handle = Recorder()
    body = b'{"type":"org.connected.v1","org_id":"acme","connection":{"kind":"graph","tenant_id":"t"}}'
    await inject(broker, body, "org.connected.v1", queue="authorizer.orgs")
    async with working(broker, handle, queue="authorizer.orgs"):
        await until(lambda: handle.count == 1)
    assert isinstance(handle.messages[0], OrgConnected)


def of(org_id: str, number: int, *, live: bool = False, generation: int = 3) -> MailboxRead:
    return MailboxRead(org_id=org_id, generation=generation, mailbox_id="m", since=number, live=live)


async def rejected(broker: Broker, *messages: Message) -> None:
    """Have messages parked."""
    before = await broker.depth("busyline.parked")
    handle = Recorder(*[Reject("test_reason") for _ in messages])
    await broker.publish(messages)
    async with working(broker, handle):
        await until(lambda: has_parked(broker, before + len(messages)))


async def test_forgetting_an_org_removes_all_that_waits_or_rests_for_one_service(broker: Broker) -> None:
    elsewhere = MailboxEnumerate(org_id="acme", generation=3, run="0" * 32)
    await broker.publish([of("acme", 1), of("acme", 2, live=True), elsewhere, of("beta", 3)])
    await broker.publish([Outgoing(of("acme", 4), 30), Outgoing(of("acme", 5), 700), Outgoing(of("beta", 6), 700)])
    await broker.publish([OrgConnected(org_id="acme", connection=GraphConnection(tenant_id="t"))])
    assert await broker.forget("acme", "fetcher") == 5
    depths = {
        queue: await broker.depth(queue)
        for queue in (BACKFILL, "fetcher.live", ENUMERATE, "fetcher.delayed.10s", "fetcher.delayed.60s")
    }
    await until(lambda: _depth_is(broker, BACKFILL, 1))
    await until(lambda: _depth_is(broker, "fetcher.delayed.60s", 1))
    assert (depths["fetcher.live"], depths[ENUMERATE], depths["fetcher.delayed.10s"]) == (0, 0, 0)
    assert await broker.depth("authorizer.orgs") == 1
    assert await broker.forget("acme", "fetcher") == 0


async def test_what_other_orgs_have_waiting_keeps_its_order_when_one_is_forgotten(broker: Broker) -> None:
    await broker.publish([of("acme" if number % 3 else "beta", number) for number in range(60)])
    assert await broker.forget("acme", "fetcher") == 40
    handle = Recorder()
    async with working(broker, handle, in_flight=1):
        await until(lambda: handle.count == 20)
    assert [number_of(message) for message in handle.messages] == list(range(0, 60, 3))
    assert await drained(broker)


async def test_an_org_is_forgotten_up_to_a_generation_where_one_is_given(broker: Broker) -> None:
    await broker.publish([of("acme", 1, generation=3), of("acme", 2, generation=4)])
    await rejected(broker, of("acme", 3, generation=3), of("acme", 4, generation=4))
    assert await broker.forget("acme", "fetcher", generation=3, parked=True) == 1
    assert await has_parked(broker, 1)


async def test_dead_letters_are_forgotten_on_request_only(broker: Broker) -> None:
    await rejected(broker, of("acme", 1), of("beta", 2), of("acme", 3))
    assert await broker.forget("acme", "fetcher") == 0
    assert await broker.forget("acme", "fetcher", parked=True) == 2
    assert [letter.org_id for letter in await broker.parked()] == ["beta"]


async def test_an_org_is_forgotten_while_others_consume_and_publish_and_nothing_of_theirs_is_lost(
    broker: Broker, broker_url: str
) -> None:
    other = open_broker(broker_url, limits=LIMITS)
    handle = Recorder()
    total, enough = 0, asyncio.Event()

    async def publish_until_enough() -> None:
        nonlocal total
        while not enough.is_set():
            await other.publish([of("beta", total + number) for number in range(20)])
            total += 20
            await asyncio.sleep(0.01)

    try:
        await broker.publish([of("acme" if number % 2 else "gone", number) for number in range(400)])
        async with working(other, handle, in_flight=4):
            publishing = asyncio.create_task(publish_until_enough())
            await until(lambda: handle.count > 40)
            for org_id in ("acme", "gone", "acme", "gone"):
                await broker.forget(org_id, "fetcher")
            enough.set()
            await publishing
            await until(lambda: drained(broker))
            await until(lambda: len(numbers_of("beta", handle)) == total)
    finally:
        await other.close()
    assert numbers_of("beta", handle) == set(range(total))


def numbers_of(org_id: str, handle: Recorder) -> set[int]:
    return {number_of(message) for message in handle.messages if message.org_id == org_id}


async def test_forgetting_often_brings_no_other_orgs_message_near_a_delivery_limit(broker: Broker) -> None:
    await broker.publish([of("beta", number) for number in range(3)])
    for _ in range(LIMITS.deliveries + 5):
        assert await broker.forget("acme", "fetcher") == 0
        await until(lambda: _depth_is(broker, BACKFILL, 3))
    handle = Recorder()
    async with working(broker, handle):
        await until(lambda: handle.count == 3)
    assert {delivery.attempt for delivery in handle.deliveries} == {1}
    assert await has_parked(broker, 0)


async def test_a_service_without_a_queue_has_nothing_to_forget(broker: Broker) -> None:
    with pytest.raises(ValueError, match="no such service"):
        await broker.forget("acme", "somebody")
