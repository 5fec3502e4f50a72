"""A door to an Exchange server: answers decoded as they come, everything else a word of ours, nothing left behind."""

import asyncio
import gzip
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.tls import papers
from shared import clock
from shared.ews import sessions
from shared.ews.calendar_view import view
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings, surroundings
from shared.ews.envelopes import calendar_folder, streaming_events, subscribe
from shared.ews.errors import EwsError
from shared.ews.http_status import refusal
from shared.ews.sessions import Affinity, Door
from shared.ews.streaming import Ended, heard
from shared.ews.trouble import acknowledged
from tests.unit.shared.exchange_fake import ExchangeFake, Given, fault, message, soap
from tests.waiting import until

ANNA = calendar_folder("anna@shop.example")
GOOD = EwsCredential(username="SHOP\\svc", password="s3cret")
STREAM = b"<m:GetStreamingEvents>"
Opening = Callable[..., Door]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeFake]:
    fake = ExchangeFake(tmp_path_factory.mktemp("exchange"))
    yield fake
    fake.close()


@pytest.fixture
def exchange(served: ExchangeFake) -> ExchangeFake:
    served.asked.clear()
    served.connections = served.most_at_once = 0
    served.answer = lambda _: Given(body=message("GetFolder"))
    return served


@pytest.fixture
async def opening() -> AsyncIterator[Opening]:
    opened: list[Door] = []

    def door(fake: ExchangeFake, near: Surroundings | None = None, **more: Any) -> Door:
        endpoint = more.pop("endpoint", fake.url)
        made = Door(endpoint=endpoint, scheme="basic", credential=GOOD, surroundings=near or fake.near, **more)
        opened.append(made)
        return made

    yield door
    for one in opened:
        one.close()


async def failure(door: Door, decode: Callable[..., Any] = acknowledged) -> EwsError:
    with pytest.raises(EwsError) as caught:
        await door.ask(ANNA, decode)
    for secret in ("s3cret", "svc", "localhost", "anna", "private words", "Exchange.asmx"):
        assert secret not in repr(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


async def test_a_request_says_who_it_is_for_and_who_sends_it(exchange: ExchangeFake, opening: Opening) -> None:
    await opening(exchange).ask(ANNA, acknowledged)
    (asked,) = exchange.asked
    assert asked.headers["X-AnchorMailbox"] == "anna@shop.example"
    assert asked.headers["User-Agent"].startswith("busyline/")
    assert asked.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert b"<t:PrimarySmtpAddress>anna@shop.example</t:PrimarySmtpAddress>" in asked.body


@pytest.mark.parametrize(
    ("given", "code", "back_off"),
    [
        (Given(status=403), "forbidden", None),
        (Given(status=404), "not_found", None),
        (Given(status=302, headers=(("Location", "https://localhost:1/owa"),)), "redirected", None),
        (Given(status=302, headers=(("Location", "/ews/genericerrorpage.htm"),)), "ErrorServerBusy", None),
        (Given(status=307, headers=(("Location", "\x01[::"),), body=b"x" * 200_000), "redirected", None),
        (Given(status=503, headers=(("Retry-After", "7"),)), "ErrorServerBusy", 7.0),
        (Given(status=500, kind="text/html", body=b"<html>private words</html>"), "http_error", None),
        (Given(status=502, kind="text/html"), "http_error", None),
        (Given(status=500, body=fault("ErrorServerBusy", back_off=2500)), "ErrorServerBusy", 2.5),
        (Given(status=500, body=fault("ErrorServerBusy"), headers=(("Retry-After", "9"),)), "ErrorServerBusy", 9.0),
        (Given(status=200, body=fault("ErrorNonExistentMailbox")), "ErrorNonExistentMailbox", None),
        (
            Given(status=500, headers=(("X-CasErrorCode", "ErrorMailboxMoveInProgress"),)),
            "ErrorMailboxMoveInProgress",
            None,
        ),
        (Given(status=500, headers=(("X-CasErrorCode", "private words"),), body=fault("ErrorX")), "ErrorX", None),
        (Given(status=200, kind="text/html", body=b"<html>Sign in</html>"), "not_xml", None),
        (Given(body=message("GetFolder")[:-30]), "truncated", None),
        (Given(body=message("GetFolder"), length=9999), "truncated", None),
        (Given(body=gzip.compress(b"x"), headers=(("Content-Encoding", "gzip"),)), "not_xml", None),
        (Given(body=b"no gzip", headers=(("Content-Encoding", "gzip"),)), "not_xml", None),
    ],
)
async def test_whatever_comes_back_has_its_word(
    exchange: ExchangeFake, opening: Opening, given: Given, code: str, back_off: float | None
) -> None:
    exchange.answer = lambda _: given
    error = await failure(opening(exchange))
    assert (error.code, error.back_off, error.charged) == (code, back_off, "mailbox")
    assert error.status in (given.status, 0)
    assert len(exchange.asked) == 1


async def test_a_connection_serves_again_after_an_error_was_read(exchange: ExchangeFake, opening: Opening) -> None:
    exchange.answer = lambda _: Given(status=500, body=fault("ErrorServerBusy"))
    door = opening(exchange, connections=1)
    for _ in range(3):
        await failure(door)
    assert exchange.connections == 1


async def test_a_packed_bomb_is_given_up_before_it_fills_the_memory(exchange: ExchangeFake, opening: Opening) -> None:
    bomb = gzip.compress(soap("<t:Item/>" * 8_000_000), 9)
    exchange.answer = lambda _: Given(body=bomb, headers=(("Content-Encoding", "gzip"),))
    assert (await failure(opening(exchange), view)).code == "too_large"


async def test_an_answer_that_never_ends_is_given_up(exchange: ExchangeFake, opening: Opening) -> None:
    stopped = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b" " * 65536
        finally:
            stopped.set()

    exchange.answer = lambda _: Given(body=endless())
    assert (await failure(opening(exchange))).code == "not_xml"
    await until(stopped.is_set)


async def test_a_server_that_drips_is_cut_off_in_time(
    exchange: ExchangeFake, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung_up = threading.Event()

    def dripping() -> Iterator[bytes]:
        yield soap("")[:200]
        try:
            while True:
                time.sleep(0.02)
                yield b" "
        finally:
            hung_up.set()

    door = opening(exchange, connections=1)
    await door.ask(ANNA, acknowledged)  # connected, so that what is timed is the answer
    exchange.answer = lambda _: Given(body=dripping())
    monkeypatch.setattr(sessions, "SECONDS", 1.0)
    assert (await failure(door)).code == "timeout"
    await until(hung_up.is_set)


async def test_who_stops_waiting_stops_the_request(exchange: ExchangeFake, opening: Opening) -> None:
    hung_up, begun = threading.Event(), threading.Event()

    def dripping() -> Iterator[bytes]:
        yield soap("")[:200]
        begun.set()
        try:
            while True:
                time.sleep(0.02)
                yield b" "
        finally:
            hung_up.set()

    exchange.answer = lambda _: Given(body=dripping())
    door = opening(exchange, connections=1)
    asking = asyncio.create_task(door.ask(ANNA, acknowledged))
    await until(begun.is_set)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(hung_up.is_set)
    exchange.answer = lambda _: Given(body=message("GetFolder"))
    await door.ask(ANNA, acknowledged)


async def test_no_more_requests_run_at_once_than_agreed(exchange: ExchangeFake, opening: Opening) -> None:
    together = threading.Barrier(3, timeout=60)

    def slow(_: object) -> Given:
        if len(exchange.asked) > 1:  # the first signs in, alone
            together.wait()
            time.sleep(0.02)  # for a fourth to come
        return Given(body=message("GetFolder"))

    exchange.answer = slow
    door = opening(exchange, connections=3)
    await asyncio.gather(*(door.ask(ANNA, acknowledged) for _ in range(16)))
    assert (exchange.most_at_once, exchange.connections, len(exchange.asked)) == (3, 3, 16)


async def test_throttling_with_threads_neither_hangs_nor_repeats(exchange: ExchangeFake, opening: Opening) -> None:
    count = 0

    def answer(_: object) -> Given:
        nonlocal count
        count += 1
        if count % 3 == 0:
            return Given(status=500, body=fault("ErrorServerBusy", back_off=100))
        return Given(body=message("GetFolder"))

    exchange.answer = answer
    door = opening(exchange, connections=8)
    outcomes = await asyncio.gather(*(door.ask(ANNA, acknowledged) for _ in range(48)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 32
    assert {str(outcome) for outcome in outcomes if outcome} == {"ErrorServerBusy"}
    assert len(exchange.asked) == 48


async def test_nothing_of_the_environment_leads_astray(
    exchange: ExchangeFake, opening: Opening, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine localhost login other password other\n")
    await opening(exchange).ask(ANNA, acknowledged)
    bundle = exchange.papers.ca_file
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert (await failure(opening(exchange, surroundings("", "127.0.0.0/8")))).code == "not_trusted"


async def test_who_answers_at_the_wrong_place_is_not_spoken_to(
    exchange: ExchangeFake, opening: Opening, tmp_path: Path
) -> None:
    ca = str(exchange.papers.ca_file)
    stranger = str(papers(tmp_path / "stranger", (), now=clock.now()).ca_file)
    for near, endpoint, code in (
        (surroundings(ca, ""), exchange.url, "address_refused"),
        (surroundings(stranger, "127.0.0.0/8"), exchange.url, "not_trusted"),
        (exchange.near, exchange.url.replace("localhost", "127.1"), "not_trusted"),
        (exchange.near, exchange.url.replace("https://", "http://"), "network"),
        (surroundings(ca, ""), exchange.url.replace("https://", "http://"), "address_refused"),
        (exchange.near, "https://nowhere.invalid/EWS/Exchange.asmx", "name_unknown"),
        (exchange.near, "https://localhost:1/EWS/Exchange.asmx", "unreachable"),
    ):
        assert (await failure(opening(exchange, near, endpoint=endpoint))).code == code
    assert exchange.asked == []


async def test_what_does_not_speak_tls_is_told_apart(opening: Opening, tmp_path: Path) -> None:
    plain = ExchangeFake(tmp_path, tls=False)
    try:
        assert (await failure(opening(plain, endpoint=plain.url.replace("http:", "https:")))).code == "not_tls"
        await opening(plain).ask(ANNA, acknowledged)
        assert len(plain.asked) == 1
    finally:
        plain.close()


async def test_cookies_stay_with_their_group_and_nobody_else(exchange: ExchangeFake, opening: Opening) -> None:
    cookies = (
        ("Set-Cookie", "X-BackEndOverrideCookie=mbx1; path=/; secure"),
        ("Set-Cookie", "exchangecookie=c; path=/"),
    )
    exchange.answer = lambda _: Given(body=message("Subscribe"), headers=cookies)
    door, group = opening(exchange, connections=1), Affinity()
    await door.ask(subscribe("anna@shop.example"), acknowledged, group=group)
    await door.ask(ANNA, acknowledged)
    await door.ask(subscribe("bela@shop.example", anchor="anna@shop.example"), acknowledged, group=group)
    sent = [asked.headers.get("Cookie", "") for asked in exchange.asked]
    assert sent == ["", "", "X-BackEndOverrideCookie=mbx1"]


async def test_events_are_told_while_the_connection_is_held(exchange: ExchangeFake, opening: Opening) -> None:
    event = (
        "<m:Notifications><m:Notification><t:SubscriptionId>a</t:SubscriptionId><t:CreatedEvent/></m:Notification>"
        "</m:Notifications>"
    )
    go_on = threading.Event()

    def streamed() -> Iterator[bytes]:
        yield message("GetStreamingEvents", event)
        assert go_on.wait(60)
        yield message("GetStreamingEvents", "<m:ConnectionStatus>Closed</m:ConnectionStatus>")

    exchange.answer = lambda asked: Given(
        body=streamed() if b"GetStreamingEvents" in asked.body else message("ConvertId")
    )
    door, told = opening(exchange, connections=1), []
    envelope = streaming_events(["a"], minutes=1, mailbox="anna@shop.example")
    held = asyncio.create_task(door.hold(envelope, lambda chunks: heard(chunks, told.append), seconds=30))
    await until(lambda: told == ["a"])
    await door.ask(ANNA, acknowledged)  # the held connection takes nobody's place
    go_on.set()
    assert await held == Ended(closed=True)


async def test_a_held_connection_ends_when_its_time_is_over(exchange: ExchangeFake, opening: Opening) -> None:
    silent = threading.Event()

    def streamed() -> Iterator[bytes]:
        yield message("GetStreamingEvents")
        silent.wait(60)

    exchange.answer = lambda asked: Given(
        body=streamed() if b"GetStreamingEvents" in asked.body else message("ConvertId")
    )
    envelope = streaming_events(["a"], minutes=1, mailbox="anna@shop.example")
    try:
        with pytest.raises(EwsError, match="timeout"):
            await opening(exchange).hold(envelope, lambda chunks: heard(chunks, print), seconds=0.3)
    finally:
        silent.set()


async def test_a_closed_door_stays_closed(exchange: ExchangeFake, opening: Opening) -> None:
    door = opening(exchange)
    await door.ask(ANNA, acknowledged)
    door.close()
    assert (await failure(door)).code == "network"
    assert len(exchange.asked) == 1


async def test_any_soap_text_may_be_posted(exchange: ExchangeFake, opening: Opening) -> None:
    await opening(exchange).post(b"<autodiscover/>", acknowledged, headers={"SOAPAction": '"x"'})
    assert (exchange.asked[0].body, exchange.asked[0].headers["SOAPAction"]) == (b"<autodiscover/>", '"x"')


async def test_an_address_with_a_line_break_ends_no_header(exchange: ExchangeFake, opening: Opening) -> None:
    await opening(exchange).ask(calendar_folder("anna@shop.example\r\nX-Evil: 1"), acknowledged)
    assert not {"X-Evil", "X-AnchorMailbox"} & set(exchange.asked[0].headers)


def test_exchangelib_is_loaded_only_where_a_session_is_opened() -> None:
    asked = "import sys, shared.ews.sessions; sys.exit('exchangelib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_a_status_alone_says_when_to_come_back() -> None:
    error = refusal(429, {"Retry-After": "Sun, 01 Mar 2026 09:01:00 GMT"}, 1_772_355_600)
    assert error is not None
    assert (error.code, error.back_off) == ("ErrorServerBusy", 60.0)
    assert refusal(200, {}, 0) is None
