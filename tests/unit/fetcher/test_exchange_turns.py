"""Who asks first after a silence, whose budget an answer speaks of, and what ends when a server is given up."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

import services.fetcher.exchange_server
from services.fetcher.exchange_batches import Batches, Told
from services.fetcher.exchange_server import Server
from services.fetcher.exchange_shares import Share
from services.fetcher.failure import PAUSED
from shared import logs
from shared.contracts.values import Window
from shared.ews.envelopes import calendar_folder, free_busy
from shared.ews.errors import EwsError

WINDOW = Window(0, 86_400)
ANNA, BOTH = calendar_folder("anna@example.org"), free_busy(["anna@example.org"], WINDOW)


class Alone:
    """Nobody else asks the server."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


class Door:
    """Answers nothing of interest, once it is opened; charges whom it is told to."""

    def __init__(self) -> None:
        self.refused = False
        self.open = asyncio.Event()
        self.asked = 0
        self.failing: EwsError | None = None

    async def ask(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        await self.open.wait()
        if self.failing is not None:
            raise self.failing.again()
        return None

    async def hold(self, *_: Any, **__: Any) -> Any:
        await self.open.wait()

    def close(self) -> None: ...


def served(door: Door, pauses: Sequence[float] = ()) -> Server:
    left = list(pauses)

    async def paused() -> float:
        return left.pop(0) if left else 0.0

    return Server(door, cast("Share", Alone()), paused, logs.get("fetcher"))


async def test_after_a_silence_one_goes_ahead_and_the_others_follow_once_it_is_through() -> None:
    door = Door()
    server = served(door)
    asking = [asyncio.create_task(server.ask(ANNA, list)) for _ in range(5)]
    await asyncio.sleep(0.05)
    assert door.asked == 1
    door.open.set()
    await asyncio.gather(*asking)
    assert door.asked == 5


async def test_nobody_waits_for_one_that_went_ahead_and_was_held_back() -> None:
    door = Door()
    door.open.set()
    server = served(door, (0.0, 60.0))  # a pause is ordered once it has its turn
    with pytest.raises(EwsError, match=PAUSED):
        await server.ask(ANNA, list)
    async with asyncio.timeout(services.fetcher.exchange_server.LET_IN / 2):
        await server.ask(ANNA, list)


async def test_nobody_waits_for_one_that_went_ahead_and_was_given_up() -> None:
    door = Door()
    server = served(door)
    ahead = asyncio.create_task(server.ask(ANNA, list))
    await asyncio.sleep(0.01)
    ahead.cancel()
    await asyncio.gather(ahead, return_exceptions=True)
    door.open.set()
    async with asyncio.timeout(services.fetcher.exchange_server.LET_IN / 2):
        await server.ask(ANNA, list)


async def test_what_an_app_asks_for_everybody_as_one_mailbox_concerns_everybody() -> None:
    door = Door()
    door.open.set()
    door.failing = EwsError("ErrorServerBusy", back_off=60.0, charged="mailbox")
    with pytest.raises(EwsError) as raised:
        await served(door).ask(BOTH, list)
    assert raised.value.charged == "account"
    with pytest.raises(EwsError) as raised:
        await served(door).ask(ANNA, list)
    assert raised.value.charged == "mailbox"


async def test_readings_that_are_still_gathered_end_with_their_server() -> None:
    async def never(_: Sequence[str], __: Window) -> Mapping[str, Told | EwsError]:
        raise AssertionError

    batches = Batches(never)
    reading = asyncio.create_task(batches.read("anna@example.org", WINDOW))
    await asyncio.sleep(0.01)
    await batches.close()
    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await reading
