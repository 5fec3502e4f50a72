"""Signing in: by Basic, NTLM and bearer tokens; a wrong password is tried once and never again."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.values import Window
from shared.ews.credential import EwsCredential
from shared.ews.envelopes import calendar_folder, convert_id, free_busy
from shared.ews.errors import EwsError
from shared.ews.sessions import Door
from shared.ews.trouble import acknowledged
from shared.ews.version import version
from tests.unit.shared.exchange_fake import ExchangeFake, Given, fault, message

ANNA = calendar_folder("anna@shop.example")
GOOD = EwsCredential(username="SHOP\\svc", password="s3cret")
WRONG = EwsCredential(username="SHOP\\svc", password="canary-password")
CUT = "NTLM " + "TlRMTVNTUAACAAAA" * 4  # a challenge that points beyond its own end
Opening = Callable[..., Door]


@pytest.fixture(params=["basic", "ntlm"])
def exchange(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ExchangeFake]:
    fake = ExchangeFake(tmp_path, signs_in=request.param)
    yield fake
    fake.close()


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[ExchangeFake]:
    fake = ExchangeFake(tmp_path, signs_in="")
    yield fake
    fake.close()


@pytest.fixture
async def opening() -> AsyncIterator[Opening]:
    opened: list[Door] = []

    def door(fake: ExchangeFake, credential: EwsCredential = GOOD, **more: Any) -> Door:
        scheme = more.pop("scheme", fake.signs_in)
        opened.append(Door(endpoint=fake.url, scheme=scheme, credential=credential, surroundings=fake.near, **more))
        return opened[-1]

    yield door
    for one in opened:
        one.close()


async def code(door: Door) -> str:
    with pytest.raises(EwsError) as caught:
        await door.ask(ANNA, acknowledged)
    return caught.value.code


async def test_a_good_password_lets_in(exchange: ExchangeFake, opening: Opening) -> None:
    door = opening(exchange)
    await door.ask(ANNA, acknowledged)
    assert (door.refused, len(exchange.asked)) == (False, 1)


async def test_a_wrong_password_is_one_failed_sign_in_however_many_ask(
    exchange: ExchangeFake, opening: Opening
) -> None:
    door = opening(exchange, WRONG)
    outcomes = await asyncio.gather(*(door.ask(ANNA, acknowledged) for _ in range(20)), return_exceptions=True)
    assert {str(outcome) for outcome in outcomes} == {"sign_in_refused"}
    assert (exchange.attempts, door.refused) == (1, True)
    seen = exchange.connections
    assert await code(door) == "sign_in_refused"
    with pytest.raises(EwsError, match="sign_in_refused"):
        await door.hold(ANNA, acknowledged, seconds=5)
    assert (exchange.attempts, exchange.connections) == (1, seen)


async def test_until_someone_is_in_requests_go_one_by_one(exchange: ExchangeFake, opening: Opening) -> None:
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    first = True

    def answer(_: object) -> Given:
        nonlocal first
        if first:
            first = False
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(60)
        return Given(body=message("GetFolder"))

    exchange.answer = answer
    door = opening(exchange, connections=4)
    waiting = [asyncio.create_task(door.ask(ANNA, acknowledged)) for _ in range(8)]
    while exchange.at_once == 0:
        await asyncio.sleep(0.01)
    assert exchange.connections == 1
    gate.set()
    await asyncio.gather(*waiting)
    assert exchange.most_at_once <= 4


async def test_a_server_that_fails_before_the_sign_in_does_not_count_as_one(
    exchange: ExchangeFake, opening: Opening
) -> None:
    exchange.answer = lambda _: Given(status=503, kind="text/html")
    door = opening(exchange)
    assert await code(door) == "ErrorServerBusy"
    assert not door._signed_in
    exchange.answer = lambda _: Given(status=500, body=fault("ErrorImpersonateUserDenied"))
    assert await code(door) == "ErrorImpersonateUserDenied"
    assert door._signed_in


@pytest.mark.parametrize("exchange", ["ntlm"], indirect=True)
async def test_one_handshake_serves_a_connection(exchange: ExchangeFake, opening: Opening) -> None:
    door = opening(exchange, connections=1)
    for _ in range(5):
        await door.ask(ANNA, acknowledged)
    assert (exchange.attempts, exchange.connections, len(exchange.asked)) == (1, 1, 5)


@pytest.mark.parametrize("exchange", ["ntlm"], indirect=True)
async def test_a_user_named_like_an_address_signs_in_by_ntlm(exchange: ExchangeFake, opening: Opening) -> None:
    exchange.users = (":svc@shop.example:s3cret",)
    await opening(exchange, EwsCredential(username="svc@shop.example", password="s3cret")).ask(ANNA, acknowledged)
    assert exchange.attempts == 1


@pytest.mark.parametrize("exchange", ["ntlm"], indirect=True)
@pytest.mark.parametrize("challenge", ["NTLM", "NTLM !!!", "NTLM AAAA", "Negotiate", CUT, ""])
async def test_an_odd_challenge_is_an_error_and_no_bug(
    exchange: ExchangeFake, opening: Opening, challenge: str
) -> None:
    exchange.challenge = lambda _: challenge
    assert await code(opening(exchange)) in ("sign_in_refused", "network")
    assert exchange.attempts <= 1


@pytest.mark.parametrize("exchange", ["basic"], indirect=True)
@pytest.mark.parametrize(("password", "sent"), [("päss", "päss".encode("latin-1")), ("пароль", "пароль".encode())])
async def test_passwords_beyond_ascii_are_sent_as_servers_read_them(
    exchange: ExchangeFake, opening: Opening, password: str, sent: bytes
) -> None:
    exchange.users = (f"SHOP:svc:{sent.decode('latin-1')}",)
    await opening(exchange, EwsCredential(username="SHOP\\svc", password=password)).ask(ANNA, acknowledged)
    assert exchange.attempts == 1


async def test_a_refusal_without_end_is_cut_off(exchange: ExchangeFake, opening: Opening) -> None:
    exchange.refusal = b"x" * 50_000_000
    assert await code(opening(exchange, WRONG)) in ("sign_in_refused", "too_large")


async def test_a_bearer_token_is_fetched_for_every_request(nobody: ExchangeFake, opening: Opening) -> None:
    given = iter(("one", "two"))

    async def token() -> str:
        return next(given)

    door = opening(nobody, EwsCredential(), scheme="oauth", token=token)
    await door.ask(ANNA, acknowledged)
    await door.ask(ANNA, acknowledged)
    assert [asked.headers["Authorization"] for asked in nobody.asked] == ["Bearer one", "Bearer two"]


async def test_a_token_that_is_refused_is_no_reason_never_to_ask_again(nobody: ExchangeFake, opening: Opening) -> None:
    async def token() -> str:
        return "old"

    nobody.answer = lambda _: Given(status=401, headers=(("WWW-Authenticate", "Bearer"),))
    forgotten: list[str] = []
    door = opening(nobody, EwsCredential(), scheme="oauth", token=token, forget=lambda: forgotten.append("old"))
    assert await code(door) == "sign_in_refused"
    assert forgotten == ["old"], "whoever holds it is told, or it would be sent until it runs out"
    nobody.answer = lambda _: Given(body=message("GetFolder"))
    await door.ask(ANNA, acknowledged)
    assert door.refused is False


async def test_an_app_asks_as_the_member_what_others_ask_as_themselves(nobody: ExchangeFake, opening: Opening) -> None:
    async def token() -> str:
        return "t"

    asked = free_busy(["bela@shop.example"], Window(0, 86_400))
    nobody.answer = lambda _: Given(status=500, body=fault("ErrorServerBusy"))
    door = opening(nobody, EwsCredential(), scheme="oauth", token=token, member="anna@shop.example")
    with pytest.raises(EwsError) as caught:
        await door.ask(asked, acknowledged)
    assert caught.value.charged == "mailbox"
    assert b"<t:PrimarySmtpAddress>anna@shop.example<" in nobody.asked[0].body
    await_by_password = opening(nobody, GOOD, scheme="basic", member="anna@shop.example")
    with pytest.raises(EwsError) as caught:
        await await_by_password.ask(asked, acknowledged)
    assert caught.value.charged == "account"
    assert b"PrimarySmtpAddress" not in nobody.asked[1].body


async def test_a_way_to_sign_in_that_is_not_known_is_refused(nobody: ExchangeFake, opening: Opening) -> None:
    assert await code(opening(nobody, scheme="kerberos")) == "no_scheme"
    assert nobody.connections == 0


async def test_any_soap_answer_after_the_sign_in_tells_the_version(exchange: ExchangeFake, opening: Opening) -> None:
    exchange.answer = lambda _: Given(status=500, body=fault("ErrorInvalidIdMalformed"))
    assert (await opening(exchange).ask(convert_id(), version)).major == 0
    (asked,) = exchange.asked
    assert base64.b64encode(b"canary").decode() not in str(asked)
