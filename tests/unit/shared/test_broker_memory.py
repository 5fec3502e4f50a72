"""What only the embedded engine promises: spaces kept apart, and rest when nothing is to be done."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog

from shared import logs
from shared.broker import Broker, Consumer, Delivery, Done, Outgoing, open_broker
from shared.contracts.messages import MailboxRead, Message
from shared.errors import Halt, Reject
from tests.waiting import until

QUEUE = "fetcher.backfill"
READ = MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=1)


@pytest.fixture
async def opening() -> AsyncIterator[Callable[[str], Broker]]:
    opened: list[Broker] = []

    def opens(url: str) -> Broker:
        opened.append(open_broker(url))
        return opened[-1]

    yield opens
    for broker in opened:
        await broker.close()


async def test_brokers_without_a_name_do_not_see_each_other(opening: Callable[[str], Broker]) -> None:
    one, other = opening("memory://"), opening("memory://")
    await one.publish([READ])
    assert (await one.depth(QUEUE), await other.depth(QUEUE)) == (1, 0)


async def test_brokers_of_one_name_share_their_queues(opening: Callable[[str], Broker]) -> None:
    one, same, other = opening("memory://unit"), opening("memory://unit"), opening("memory://else")
    await one.publish([READ])
    assert [await it.depth(QUEUE) for it in (one, same, other)] == [1, 1, 0]


async def test_what_rests_counts_where_it_rests(opening: Callable[[str], Broker]) -> None:
    broker = opening("memory://")
    await broker.publish([Outgoing(READ, 5), Outgoing(READ, 700)])
    depths = [await broker.depth(f"fetcher.delayed{rung}") for rung in ("", ".10s", ".60s")]
    assert (depths, await broker.depth(QUEUE)) == ([1, 0, 1], 0)


async def test_an_idle_consumer_lets_the_loop_sleep(opening: Callable[[str], Broker]) -> None:
    broker, stop = opening("memory://"), asyncio.Event()

    async def handle(_: Message, __: Delivery) -> Done:
        return Done()

    task = asyncio.create_task(broker.run([Consumer(QUEUE, handle)], service="fetcher", stop=stop))
    for _ in range(20):
        await asyncio.sleep(0)
    waiting = len(asyncio.get_running_loop()._ready)  # type: ignore[attr-defined]
    stop.set()
    await task
    assert waiting == 0


@pytest.fixture
def lines() -> AsyncIterator[Callable[[], list[dict[str, object]]]]:
    stream = io.StringIO()
    logs.configure(level="debug", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]  # type: ignore[misc]
    structlog.reset_defaults()


async def handled(broker: Broker, error: Exception | None) -> None:
    stop = asyncio.Event()

    async def handle(_: Message, __: Delivery) -> Done:
        asyncio.get_running_loop().call_soon(stop.set)
        if error is not None:
            raise error
        return Done()

    await broker.publish([READ])
    await broker.run([Consumer(QUEUE, handle)], service="fetcher", stop=stop)


async def test_each_message_leaves_one_line_with_what_became_of_it(
    opening: Callable[[str], Broker], lines: Callable[[], list[dict[str, object]]]
) -> None:
    await handled(opening("memory://"), None)
    (line,) = [line for line in lines() if line["event"] == "message.handled"]
    assert (line["outcome"], line["queue"], line["message_type"]) == ("done", QUEUE, "mailbox.read.v1")
    assert (line["attempt"], line["service"], line["level"]) == (1, "fetcher", "debug")
    assert isinstance(line["duration_ms"], float)
    assert line["message_id"]


async def test_a_parked_message_is_told_as_a_warning_with_its_reason(
    opening: Callable[[str], Broker], lines: Callable[[], list[dict[str, object]]]
) -> None:
    await handled(opening("memory://"), Reject("cloud_unknown", "cloud"))
    (line,) = [line for line in lines() if line["event"] == "message.handled"]
    assert (line["outcome"], line["reason"], line["where"], line["level"]) == (
        "parked", "cloud_unknown", "cloud", "warning",
    )  # fmt: skip


async def test_a_bug_is_told_by_type_and_place_never_by_its_words(
    opening: Callable[[str], Broker], lines: Callable[[], list[dict[str, object]]]
) -> None:
    await handled(opening("memory://"), KeyError("canary-subject"))
    assert "canary-subject" not in json.dumps(lines())
    (line,) = [line for line in lines() if line["event"] == "message.failed"]
    assert line["error_type"] == "KeyError"


async def test_a_halt_names_its_reason_in_the_log(
    opening: Callable[[str], Broker], lines: Callable[[], list[dict[str, object]]]
) -> None:
    with pytest.raises(Halt):
        await handled(opening("memory://"), Halt("key_missing"))
    assert [line["reason"] for line in lines() if line["event"] == "message.handled"] == ["key_missing"]


async def test_what_a_handler_sends_to_its_own_queue_is_handled_though_its_only_hand_was_full(
    opening: Callable[[str], Broker],
) -> None:
    broker, stop, handled = opening("memory://"), asyncio.Event(), 0

    async def handle(_: Message, __: Delivery) -> Done:
        nonlocal handled
        handled += 1
        return Done((READ,)) if handled == 1 else Done(commit=_set(stop))

    await broker.publish([READ])
    consumer = Consumer("fetcher.backfill", handle, in_flight=1)
    await asyncio.wait_for(broker.run([consumer], service="fetcher", stop=stop), 60)
    assert handled == 2


def _set(stop: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def commit() -> None:
        stop.set()

    return commit


async def test_a_closed_space_forgets(opening: Callable[[str], Broker]) -> None:
    first = open_broker("memory://forgets")
    await first.publish([READ, Outgoing(READ, 100)])
    await first.close()
    again = opening("memory://forgets")
    await until(lambda: _empty(again))


async def _empty(broker: Broker) -> bool:
    return await broker.depth(QUEUE) == 0
