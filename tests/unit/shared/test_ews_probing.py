"""An address is looked at before anyone signs in: what answers, whether it is trusted, what it offers."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.tls import papers
from shared import clock
from shared.ews import probing
from shared.ews.dialling import Surroundings, surroundings
from shared.ews.errors import EwsError
from shared.ews.probing import Reached, offered, reach
from tests.unit.shared.exchange_fake import ExchangeFake


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ExchangeFake]]:
    started: list[ExchangeFake] = []

    def started_with(**how: object) -> ExchangeFake:
        started.append(ExchangeFake(tmp_path / str(len(started)), **how))  # type: ignore[arg-type]  # names, passed on
        return started[-1]

    yield started_with
    for fake in started:
        fake.close()


async def failure(url: str, near: Surroundings) -> str:
    with pytest.raises(EwsError) as caught:
        await reach(url, near)
    assert str(caught.value) == caught.value.code
    return caught.value.code


async def test_what_a_server_offers_is_seen_without_signing_in(start: Callable[..., ExchangeFake]) -> None:
    fake = start(signs_in="ntlm")
    assert await reach(fake.url, fake.near) == Reached(schemes=("ntlm",), status=401, steps=("tcp", "tls", "http"))
    assert (fake.attempts, fake.asked) == (0, [])


async def test_a_server_that_asks_nobody_who_they_are_is_told_by_its_status(start: Callable[..., ExchangeFake]) -> None:
    fake = start(signs_in="")
    assert (await reach(fake.url, fake.near)).status == 200
    assert "Authorization" not in fake.asked[0].headers
    assert "Cookie" not in fake.asked[0].headers


async def test_plain_http_is_spoken_in_the_operators_networks_only(start: Callable[..., ExchangeFake]) -> None:
    fake = start(tls=False)
    assert (await reach(fake.url, fake.near)).steps == ("tcp", "http")
    assert await failure(fake.url, surroundings("", "")) == "address_refused"
    assert await failure("http://10.1.2.3/", surroundings("", "")) == "address_refused"


async def test_every_step_that_fails_has_its_word(start: Callable[..., ExchangeFake], tmp_path: Path) -> None:
    fake, plain = start(), start(tls=False)
    near = fake.near
    stranger = papers(tmp_path / "stranger", (), now=clock.now())
    assert await failure(fake.url, surroundings(str(stranger.ca_file), "127.0.0.0/8")) == "not_trusted"
    assert await failure(fake.url.replace("localhost", "127.1"), near) == "not_trusted"
    assert await failure(plain.url.replace("http:", "https:"), near) == "not_tls"
    assert await failure(fake.url.replace("https:", "http:"), near) in ("network", "timeout")
    assert await failure(fake.url, surroundings(str(fake.papers.ca_file), "")) == "address_refused"
    assert await failure("https://nowhere.invalid/EWS", near) == "name_unknown"
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    assert await failure(f"https://127.0.0.1:{port}/", near) == "unreachable"


async def test_a_server_that_never_speaks_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SECONDS", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        assert await failure(url, surroundings("", "127.0.0.0/8")) == "timeout"


@pytest.mark.parametrize(
    "url", ["", "ftp://a/", "https://", "https:///x", "https://a:99999/", "https://a/\r\nX: y", "https://[::1/"]
)
async def test_what_is_no_address_is_not_found(url: str) -> None:
    assert await failure(url, Surroundings()) == "not_found"


@pytest.mark.parametrize(
    ("headers", "schemes"),
    [
        (["Negotiate", "NTLM", 'Basic realm="mail.shop.example"'], ("ntlm", "basic")),
        (['Basic realm="a, NTLM, Bearer", charset="UTF-8"'], ("basic",)),
        (['NTLM, Basic realm="x", Bearer client_id="0000", trusted_issuers="x"'], ("oauth", "ntlm", "basic")),
        (["Negotiate"], ("ntlm",)),
        (["bearer"], ("oauth",)),
        (["Digest realm=x, basic=no", "Basically"], ()),
        ([], ()),
    ],
)
def test_offers_are_told_from_their_realms(headers: list[str], schemes: tuple[str, ...]) -> None:
    assert offered(headers) == schemes


@given(st.lists(st.text(max_size=60), max_size=4))
def test_whatever_is_offered_only_known_ways_are_named(headers: list[str]) -> None:
    assert set(offered(headers)) <= {"basic", "ntlm", "oauth"}
