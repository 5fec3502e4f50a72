"""Acknowledging in runs: everything settled is acknowledged once, nothing else ever."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.broker.source import Source
from shared.broker.wire import Taken


class Channel:
    """A channel that counts methods and knows which deliveries they cover, as a broker does."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.open: set[int] = set()
        self.acknowledged: list[int] = []
        self.returned: list[int] = []
        self.methods = 0
        self._breaks = breaks

    def __call__(self, _channel: object) -> "Channel":
        return self

    def basic_qos(self, *_: object) -> None:
        """Accept any prefetch."""

    def basic_consume(self, **arguments: Any) -> None:
        self._deliver = arguments["callback"]

    def deliver(self, tag: int) -> None:
        self.open.add(tag)
        self._deliver(tag)

    def basic_ack(self, tag: int, *, multiple: bool) -> None:
        self._tell()
        covered = sorted(each for each in self.open if each == tag or (multiple and each <= tag))
        assert tag in covered, "acknowledged twice, or never delivered"
        self.acknowledged += covered
        self.open -= set(covered)

    def basic_reject(self, tag: int, *, requeue: bool) -> None:
        self._tell()
        assert requeue
        self.open.remove(tag)
        self.returned.append(tag)

    def _tell(self) -> None:
        self.methods += 1
        if self._breaks:
            raise OSError


def read(source: Any, raw: int) -> Taken:
    return Taken(
        queue="q", body=b"", headers={}, message_id="", message_type="", timestamp=0, redelivered=False, tag=raw,
        source=source,
    )  # fmt: skip


def begun(channel: Channel, lost: list[Exception] | None = None) -> tuple[Source, dict[int, Taken]]:
    source, held = Source("q", channel, prefetch=100, multiple=True), dict[int, Taken]()
    source.begin(read, lambda taken: held.update({taken.tag: taken}), (lost if lost is not None else []).append)
    return source, held


@given(st.permutations(range(1, 13)), st.sets(st.integers(1, 12)), st.lists(st.booleans(), min_size=12, max_size=12))
def test_whatever_the_order_each_delivery_is_settled_or_returned_exactly_once(
    order: list[int], returned: set[int], turns: list[bool]
) -> None:
    async def work() -> Channel:
        channel = Channel()
        source, held = begun(channel)
        for tag in range(1, 13):
            channel.deliver(tag)
        for tag, turn in zip(order, turns, strict=True):
            (source.release if tag in returned else source.settle)(held[tag])
            if turn:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        return channel

    channel = asyncio.run(work())
    assert sorted(channel.acknowledged) == sorted(set(range(1, 13)) - returned)
    assert set(channel.returned) == returned
    assert not channel.open


async def test_a_run_settled_within_one_turn_costs_one_method() -> None:
    channel = Channel()
    source, held = begun(channel)
    for tag in range(1, 51):
        channel.deliver(tag)
    for tag in range(1, 51):
        source.settle(held[tag])
    await asyncio.sleep(0)
    assert (channel.methods, len(channel.acknowledged)) == (1, 50)


async def test_a_delivery_still_in_hand_is_never_covered_by_anothers_acknowledgement() -> None:
    channel = Channel()
    source, held = begun(channel)
    for tag in (1, 2, 3):
        channel.deliver(tag)
    source.settle(held[2])
    source.settle(held[3])
    await asyncio.sleep(0)
    assert channel.open == {1}


async def test_a_channel_that_breaks_is_told_once_and_then_left_alone() -> None:
    lost: list[Exception] = []
    channel = Channel(breaks=True)
    source, held = begun(channel, lost)
    for tag in (1, 2):
        channel.deliver(tag)
    source.settle(held[1])
    await asyncio.sleep(0)
    source.settle(held[2])
    source.release(held[2])
    await asyncio.sleep(0)
    assert (len(lost), channel.methods, source.alive) == (1, 1, False)


async def test_what_is_settled_when_the_shift_ends_is_still_acknowledged() -> None:
    channel = Channel()
    source, held = begun(channel)
    channel.deliver(1)
    source.settle(held[1])
    source.end()
    assert channel.acknowledged == [1]
