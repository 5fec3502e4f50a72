"""The publisher where there is no broker: nobody is left waiting."""

import asyncio

import pytest

from shared.broker import address, wire
from shared.broker.publisher import UNCONFIRMED, Publisher
from shared.contracts.messages import MailboxRead

NOWHERE = address.parse("amqp://127.0.0.1:1/")
LETTER = wire.letter(MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=1), now=1)


async def nothing() -> None:
    """Prepare nothing."""


async def test_whoever_waits_when_the_broker_is_closed_is_told() -> None:
    publisher = Publisher(NOWHERE, nothing)
    sending = asyncio.create_task(publisher.send([LETTER]))
    await asyncio.wait({sending}, timeout=0.05)
    await publisher.close()
    with pytest.raises(ConnectionError, match="broker_closed"):
        await sending


async def test_sending_after_the_end_is_refused() -> None:
    publisher = Publisher(NOWHERE, nothing)
    await publisher.close()
    with pytest.raises(ConnectionError, match="broker_closed"):
        await publisher.send([LETTER])


async def test_an_error_of_our_own_reaches_whoever_sends() -> None:
    async def broken() -> None:
        raise LookupError

    publisher = Publisher(NOWHERE, broken)
    with pytest.raises(LookupError):
        await asyncio.wait_for(publisher.send([LETTER]), 60)
    await publisher.close()


async def test_a_sender_waits_while_too_many_letters_are_unconfirmed() -> None:
    publisher = Publisher(NOWHERE, nothing)
    sending = asyncio.create_task(publisher.send([LETTER] * (UNCONFIRMED + 10)))
    await asyncio.wait({sending}, timeout=0.05)
    assert len(publisher._waiting) == UNCONFIRMED
    await publisher.close()
    with pytest.raises(ConnectionError):
        await sending


async def test_a_letter_whose_sender_gave_up_is_not_published_when_the_broker_returns() -> None:
    publisher = Publisher(NOWHERE, nothing)
    given_up = asyncio.create_task(publisher.send([LETTER] * UNCONFIRMED))
    waiting = asyncio.create_task(publisher.send([LETTER] * 2))
    await asyncio.wait({given_up, waiting}, timeout=0.05)
    given_up.cancel()
    await asyncio.wait({given_up})
    publisher._repost()  # as after a connection was opened
    await asyncio.wait({waiting}, timeout=0.05)
    assert len(publisher._waiting) == 2
    await publisher.close()
    with pytest.raises(ConnectionError):
        await waiting
