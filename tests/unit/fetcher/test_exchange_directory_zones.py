import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

from services.fetcher.exchange_zones import AT_ONCE, TRIALS, Zones
from shared.ews.envelopes import Envelope
from shared.ews.errors import EwsError
from shared.identity import IdentityError
from tests.unit.fetcher.exchange_told import ServerTold

T = TypeVar("T")
MANY = [f"person{number}@x.y" for number in range(30)]
BERLIN = "W. Europe Standard Time"


async def test_whoever_has_a_zone_is_told_with_it_and_the_others_are_left_out() -> None:
    server = ServerTold()
    server.zones = {MANY[0]: BERLIN, MANY[20]: "Tokyo Standard Time"}
    found = await Zones(server).of(MANY)
    assert found == {MANY[0]: BERLIN, MANY[20]: "Tokyo Standard Time"}
    assert sorted(about for _, about in server.asked) == sorted(MANY)


@pytest.mark.parametrize(
    "code", ["ErrorInvalidRequest", "ErrorImpersonateUserDenied", "ErrorAccessDenied", "http_error"]
)
async def test_where_the_first_asked_all_lack_the_operation_or_the_right_nobody_else_is_asked(code: str) -> None:
    server = ServerTold()
    server.no_zone = EwsError(code)
    zones = Zones(server)
    assert await zones.of(MANY[:3]) == {}
    assert await zones.of(MANY[3:]) == {}
    assert len(server.asked) == TRIALS == 5


async def test_one_that_answers_among_the_first_lets_all_be_asked() -> None:
    server = ServerTold()
    server.no_zone = EwsError("ErrorAccessDenied")
    server.zones = {MANY[3]: BERLIN}
    assert await Zones(server).of(MANY) == {MANY[3]: BERLIN}
    assert len(server.asked) == len(MANY)


async def test_mailboxes_that_were_never_opened_in_a_browser_show_that_the_right_is_there() -> None:
    server = ServerTold()
    server.no_zone = EwsError("ErrorItemNotFound")
    server.zones = {MANY[29]: BERLIN}
    assert await Zones(server).of(MANY) == {MANY[29]: BERLIN}


async def test_a_mailboxs_own_trouble_says_nothing_about_the_others() -> None:
    server = ServerTold()
    server.no_zone = EwsError("ErrorNonExistentMailbox")
    server.zones = {MANY[29]: BERLIN}
    assert await Zones(server).of(MANY) == {MANY[29]: BERLIN}


@pytest.mark.parametrize(
    "error", [EwsError("ErrorServerBusy", back_off=60.0), EwsError("timeout"), IdentityError("secret_expired")]
)
async def test_a_server_that_is_busy_or_away_is_asked_no_more_in_this_run(error: Exception) -> None:
    server = ServerTold()
    server.zones = dict.fromkeys(MANY, BERLIN)
    server.fails = {MANY[1]: error}
    zones = Zones(server)
    assert MANY[1] not in await zones.of(MANY)
    asked = len(server.asked)
    assert await zones.of(MANY) == {}
    assert len(server.asked) == asked


class Slow:
    """Counts how many are asked at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def ask(self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T]) -> T:  # noqa: ARG002 -- a protocol
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return BERLIN  # type: ignore[return-value]  # what is decoded here is text


async def test_only_so_many_are_asked_at_a_time() -> None:
    server = Slow()
    assert len(await Zones(server).of(MANY)) == len(MANY)
    assert server.most == AT_ONCE


async def test_a_name_longer_than_a_message_carries_is_cut() -> None:
    server = ServerTold()
    server.zones = {MANY[0]: "z" * 500}
    assert await Zones(server).of(MANY[:1]) == {MANY[0]: "z" * 128}
