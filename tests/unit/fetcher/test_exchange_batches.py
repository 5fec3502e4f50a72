import asyncio
from collections.abc import Mapping, Sequence

import pytest

from services.fetcher.exchange_batches import Batches, Told
from shared.contracts.messages import RawEvent
from shared.contracts.values import Window
from shared.ews.errors import EwsError

WINDOW, OTHER = Window(0, 86_400), Window(0, 172_800)


class Server:
    """Stands where the server stands: keeps what it was asked for together, and fails whom it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], Window]] = []
        self.failing: dict[str, EwsError] = {}
        self.broken: Exception | None = None

    async def __call__(self, addresses: Sequence[str], window: Window) -> Mapping[str, Told | EwsError]:
        self.asked.append((tuple(addresses), window))
        if self.broken is not None:
            raise self.broken
        return {name: self.failing.get(name) or Told((RawEvent(len(name), 1000, "busy"),)) for name in addresses}


async def test_readings_of_one_window_share_a_request_and_each_gets_its_own() -> None:
    server = Server()
    batches = Batches(server)
    names = [f"{'x' * place}@example.org" for place in range(1, 31)]
    found = await asyncio.gather(*(batches.read(name, WINDOW) for name in names))
    assert [told.events[0].start for told in found] == [len(name) for name in names]
    assert [len(asked) for asked, _ in server.asked] == [30]


async def test_no_more_than_the_limit_go_together_and_a_full_batch_waits_for_nobody() -> None:
    server = Server()
    batches = Batches(server, most=10)
    await asyncio.gather(*(batches.read(f"{place}@example.org", WINDOW) for place in range(25)))
    assert [len(asked) for asked, _ in server.asked] == [10, 10, 5]


async def test_different_windows_are_asked_for_apart() -> None:
    server = Server()
    batches = Batches(server)
    await asyncio.gather(batches.read("a@example.org", WINDOW), batches.read("b@example.org", OTHER))
    assert sorted(server.asked, key=lambda each: each[1].end) == [
        (("a@example.org",), WINDOW),
        (("b@example.org",), OTHER),
    ]


async def test_one_bad_mailbox_fails_alone() -> None:
    server = Server()
    server.failing["b@example.org"] = EwsError("ErrorNoFreeBusyAccess")
    batches = Batches(server)
    good, bad = await asyncio.gather(
        batches.read("a@example.org", WINDOW), batches.read("b@example.org", WINDOW), return_exceptions=True
    )
    assert isinstance(good, Told)
    assert isinstance(bad, EwsError)
    assert bad.code == "ErrorNoFreeBusyAccess"


@pytest.mark.parametrize("broken", [EwsError("ErrorServerBusy", back_off=3.0), RuntimeError("a bug")])
async def test_what_fails_the_request_fails_every_reading_in_it(broken: Exception) -> None:
    server = Server()
    server.broken = broken
    batches = Batches(server)
    found = await asyncio.gather(*(batches.read(f"{n}@example.org", WINDOW) for n in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [type(broken)] * 3


async def test_the_same_mailbox_asked_for_twice_is_asked_for_once_and_answered_twice() -> None:
    server = Server()
    batches = Batches(server)
    first, second = await asyncio.gather(batches.read("a@example.org", WINDOW), batches.read("a@example.org", WINDOW))
    assert first == second
    assert server.asked == [(("a@example.org",), WINDOW)]


async def test_a_reading_that_is_given_up_takes_nobody_with_it() -> None:
    server = Server()
    batches = Batches(server)
    given_up = asyncio.create_task(batches.read("a@example.org", WINDOW))
    kept = asyncio.create_task(batches.read("b@example.org", WINDOW))
    await asyncio.sleep(0)
    given_up.cancel()
    assert len((await kept).events) == 1


async def test_a_mailbox_the_answer_leaves_out_is_an_error_and_no_empty_calendar() -> None:
    async def forgetful(_: Sequence[str], __: Window) -> Mapping[str, Told | EwsError]:
        return {}

    with pytest.raises(EwsError) as raised:
        await Batches(forgetful).read("a@example.org", WINDOW)
    assert raised.value.code == "malformed"
