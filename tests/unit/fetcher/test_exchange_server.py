"""A server is asked within its pauses: brief ones are waited out a few times, longer ones are the broker's."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest

from services.fetcher import exchange_server
from services.fetcher.exchange_server import Server
from services.fetcher.failure import PAUSED
from shared import logs
from shared.contracts.values import Window
from shared.ews.envelopes import Envelope, free_busy, room_lists, sync_items
from shared.ews.errors import EwsError
from shared.ews.lines import Affinity

T = TypeVar("T")
BRIEF = 0.01  # seconds


class Gate:
    """Lets everybody in, and counts them."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def __aenter__(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)

    async def __aexit__(self, *_: object) -> None:
        self.inside -= 1


class DoorTold:
    """Answers with what it was told to, one after the other, and then with "answer"; it keeps what it was asked."""

    def __init__(self, *told: EwsError) -> None:
        self.told = list(told)
        self.asked: list[Envelope] = []
        self.refused = False
        self.closed = False
        self.slow = asyncio.Event()
        self.slow.set()

    async def ask(
        self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T], *, group: Affinity | None = None
    ) -> T:
        assert group is None
        self.asked.append(envelope)
        await self.slow.wait()
        if self.refused:
            raise EwsError("sign_in_refused", status=401)
        if self.told:
            raise self.told.pop(0)
        return decode([b"answer"])

    async def hold(
        self,
        envelope: Envelope,
        decode: Callable[[Iterable[bytes]], T],
        *,
        seconds: float,
        group: Affinity | None = None,
    ) -> T:
        assert seconds > 0
        return await self.ask(envelope, decode, group=group)

    def close(self) -> None:
        self.closed = True


async def _never() -> float:
    return 0.0


def opened(door: DoorTold, paused: Callable[[], Any] = _never) -> Server:
    gate: Any = Gate()
    return Server(door, gate, paused, logs.get("fetcher"))


def whole(chunks: Iterable[bytes]) -> bytes:
    return b"".join(chunks)


def busy(after: float | None, **fields: Any) -> EwsError:
    return EwsError("ErrorServerBusy", back_off=after, **{"charged": "mailbox"} | fields)


async def test_brief_pauses_are_waited_out_in_hand() -> None:
    door = DoorTold(busy(BRIEF), busy(BRIEF), busy(BRIEF))
    assert await opened(door).ask(sync_items("a@example.org", ""), whole) == b"answer"
    assert len(door.asked) == 4


async def test_a_server_that_is_always_busy_is_asked_a_bounded_number_of_times() -> None:
    door = DoorTold(*[busy(BRIEF)] * 100)
    with pytest.raises(EwsError, match="ErrorServerBusy"):
        await opened(door).ask(sync_items("a@example.org", ""), whole)
    assert len(door.asked) == 4


@pytest.mark.parametrize(
    "error", [busy(2.5), busy(300.0), EwsError("ErrorAccessDenied"), EwsError("timeout"), EwsError("sign_in_refused")]
)
async def test_longer_pauses_and_other_errors_are_told_at_once(error: EwsError) -> None:
    door = DoorTold(error)
    with pytest.raises(EwsError) as caught:
        await opened(door).ask(sync_items("a@example.org", ""), whole)
    assert caught.value.code == error.code
    assert len(door.asked) == 1


async def test_nothing_is_sent_while_the_organisation_is_paused() -> None:
    async def paused() -> float:
        return 30.0

    door = DoorTold()
    for way in (
        opened(door, paused).ask(room_lists(), whole),
        opened(door, paused).hold(room_lists(), whole, seconds=1),
    ):
        with pytest.raises(EwsError) as caught:
            await way
        assert (caught.value.code, caught.value.back_off) == (PAUSED, 30.0)
    assert door.asked == []


async def test_a_pause_that_ends_in_a_moment_is_waited_out() -> None:
    left = [BRIEF, 0.0, 0.0]

    async def paused() -> float:
        return left.pop(0)

    assert await opened(DoorTold(), paused).ask(room_lists(), whole) == b"answer"


@pytest.mark.parametrize(
    ("asked", "error", "waits"),
    [
        (room_lists(), busy(0.2), True),
        (sync_items("a@example.org", ""), busy(0.2, status=503), True),
        (sync_items("a@example.org", ""), busy(0.2), False),
    ],
    ids=["the account", "IIS", "one mailbox"],
)
async def test_others_wait_too_where_the_pause_is_everybodys(asked: Envelope, error: EwsError, *, waits: bool) -> None:
    door = DoorTold()
    server = opened(door)
    await server.ask(room_lists(), whole)
    door.told = [error]
    first = asyncio.create_task(server.ask(asked, whole))
    while door.told:
        await asyncio.sleep(0)
    ticks = asyncio.get_running_loop().time
    began = ticks()
    await server.ask(sync_items("b@example.org", ""), whole)
    assert (ticks() - began > 0.1) is waits
    assert await first == b"answer"


async def test_after_a_silence_one_request_goes_ahead_so_that_a_changed_password_fails_once() -> None:
    door = DoorTold()
    door.slow.clear()
    server = opened(door)
    asking = [asyncio.create_task(server.ask(room_lists(), whole)) for _ in range(8)]
    while not door.asked:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(door.asked) == 1
    door.slow.set()
    assert await asyncio.gather(*asking) == [b"answer"] * 8
    assert len(door.asked) == 8


async def test_who_goes_ahead_holds_nobody_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_server, "LET_IN", BRIEF)
    door = DoorTold()
    door.slow.clear()
    server = opened(door)
    asking = [asyncio.create_task(server.ask(room_lists(), whole)) for _ in range(3)]
    async with asyncio.timeout(60):
        while len(door.asked) < 3:
            await asyncio.sleep(0.001)
    door.slow.set()
    await asyncio.gather(*asking)


async def test_calls_are_counted_by_whose_budget_is_charged() -> None:
    server = opened(DoorTold())
    await server.ask(free_busy(["a@example.org"], Window(0, 86_400)), whole)
    await server.ask(sync_items("a@example.org", ""), whole)
    await server.ask(sync_items("b@example.org", ""), whole)
    assert server.asked == {"account": 1, "mailbox": 2}


async def test_closing_gives_up_what_is_under_way() -> None:
    door = DoorTold()
    server = opened(door)
    reading = asyncio.create_task(server.batches.read("a@example.org", Window(0, 86_400)))
    await asyncio.sleep(0)
    await server.close()
    assert door.closed
    with pytest.raises(asyncio.CancelledError):
        await reading
