"""Telling consumers at once or not at all, on a channel that is a fake: away, blocked, silent, lost, or refusing."""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, StreamLostError

from shared.broker import address, wire
from shared.broker.announcer import Announcer
from shared.errors import Halt

NOWHERE = address.parse("amqp://127.0.0.1:1/")
LETTERS = [wire.announcement("acme.m", b"{}", {"id": str(number)}, now=1) for number in range(3)]


class Channel:
    """Notes what is published."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.is_open = True
        self.connection = self
        self.channel_number = 1

    def write(self, letters: Sequence[wire.Letter], _number: int) -> None:
        """Take messages."""
        self.published += [letter.message_id for letter in letters]


async def nothing() -> None:
    """Prepare nothing."""


@pytest.fixture
async def channel() -> Channel:
    return Channel()


@pytest.fixture
async def announcer(channel: Channel) -> Announcer:
    opened = Announcer(NOWHERE, nothing)
    opened._keeper = asyncio.create_task(asyncio.sleep(0))  # no connection is opened
    opened._channel = channel
    opened._note_fitness()
    return opened


def confirm(announcer: Announcer, tag: int, *, multiple: bool = True, kept: bool = True) -> None:
    method = (pika.spec.Basic.Ack if kept else pika.spec.Basic.Nack)(delivery_tag=tag, multiple=multiple)
    announcer._on_confirm(SimpleNamespace(method=method))


async def test_letters_are_written_before_announcing_returns_and_true_once_all_are_confirmed(
    announcer: Announcer, channel: Channel
) -> None:
    told = asyncio.ensure_future(announcer.announce(LETTERS))
    assert channel.published == ["0", "1", "2"]
    confirm(announcer, 2, multiple=False)
    confirm(announcer, 1, multiple=False)
    await asyncio.sleep(0)
    assert not told.done()
    confirm(announcer, 3)
    assert await told


def blocked(announcer: Announcer) -> Callable[[], None]:
    announcer._on_blocked()
    return announcer._on_unblocked


def silent(announcer: Announcer) -> Callable[[], None]:
    announcer.announce(LETTERS[:1])
    return lambda: confirm(announcer, 1)


def away(announcer: Announcer) -> Callable[[], None]:
    channel, announcer._channel = announcer._channel, None
    announcer._fit.clear()

    def back() -> None:
        announcer._channel = channel
        announcer._note_fitness()

    return back


@pytest.mark.parametrize("unfit", [blocked, silent, away])
async def test_nothing_is_kept_for_a_broker_that_does_not_take_it_now(
    announcer: Announcer, channel: Channel, unfit: Callable[[Announcer], Callable[[], None]]
) -> None:
    heal = unfit(announcer)
    before = list(channel.published)
    told = asyncio.ensure_future(announcer.announce(LETTERS))
    await asyncio.wait({told}, timeout=0.02)
    assert not told.done()
    heal()
    assert not await told
    assert channel.published == before
    announcer.announce(LETTERS)
    assert channel.published == [*before, "0", "1", "2"]


async def test_the_next_batch_is_taken_once_half_of_what_is_under_way_is_confirmed(
    announcer: Announcer, channel: Channel
) -> None:
    first = asyncio.ensure_future(announcer.announce(LETTERS + LETTERS[:1]))
    confirm(announcer, 1)
    assert not announcer._fit.is_set()
    confirm(announcer, 3, multiple=False)
    second = asyncio.ensure_future(announcer.announce(LETTERS))
    assert len(channel.published) == 7
    confirm(announcer, 4)
    assert await first
    assert not second.done()
    confirm(announcer, 7)
    assert await second


async def test_a_refused_letter_is_of_its_own_batch(announcer: Announcer) -> None:
    first = asyncio.ensure_future(announcer.announce(LETTERS))
    confirm(announcer, 2)
    second = asyncio.ensure_future(announcer.announce(LETTERS))
    confirm(announcer, 6, multiple=False, kept=False)
    confirm(announcer, 5)
    assert await first
    with pytest.raises(ConnectionError):
        await second


async def test_every_batch_under_way_is_told_that_the_connection_is_lost(announcer: Announcer) -> None:
    first = announcer.announce(LETTERS)
    confirm(announcer, 2)
    second = announcer.announce(LETTERS)
    announcer._on_lost(StreamLostError())
    for told in (first, second):
        with pytest.raises(ConnectionError):
            await told


async def test_what_is_not_confirmed_when_the_connection_is_lost_is_told_and_not_sent_again(
    announcer: Announcer, channel: Channel
) -> None:
    told = announcer.announce(LETTERS)
    announcer._on_lost(StreamLostError())
    with pytest.raises(ConnectionError):
        await told
    announcer._channel = channel
    announcer._note_fitness()
    assert channel.published == ["0", "1", "2"]


async def test_a_channel_that_broke_unnoticed_is_told_as_lost(announcer: Announcer, channel: Channel) -> None:
    channel.is_open = False
    told = announcer.announce(LETTERS)
    announcer._on_lost(StreamLostError())
    with pytest.raises(ConnectionError):
        await told


async def test_what_the_broker_would_not_keep_is_told(announcer: Announcer) -> None:
    told = announcer.announce(LETTERS)
    confirm(announcer, 3, kept=False)
    with pytest.raises(ConnectionError):
        await told


async def test_a_refusal_for_good_halts(announcer: Announcer) -> None:
    told = announcer.announce(LETTERS)
    announcer._on_lost(ChannelClosedByBroker(403, "no"))
    with pytest.raises(Halt, match="broker_refused"):
        await told


async def test_a_sender_that_gave_up_does_not_disturb_the_next(announcer: Announcer) -> None:
    asyncio.ensure_future(announcer.announce(LETTERS)).cancel()
    confirm(announcer, 3)
    told = announcer.announce(LETTERS)
    confirm(announcer, 6)
    assert await told


async def test_whoever_waits_when_it_is_closed_is_told() -> None:
    announcer = Announcer(NOWHERE, nothing)
    told = asyncio.ensure_future(announcer.announce(LETTERS))
    await asyncio.wait({told}, timeout=0.05)
    await announcer.close()
    with pytest.raises(ConnectionError, match="broker_closed"):
        await told
    with pytest.raises(ConnectionError, match="broker_closed"):
        await announcer.announce(LETTERS)
