"""One request to an endpoint over a real connection: what counts as delivered, which addresses are never dialled."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deploy.sandbox import tls
from services.publisher.webhooks.sending import Sender, retry_after
from shared import clock
from shared.addresses import networks_of

HERE = networks_of("127.0.0.0/8")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Place:
    """An endpoint on loopback that answers as told, and counts its requests."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[web.Request] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)


@asynccontextmanager
async def place(answer: Answer, secured: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Place]:
    found = Place(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0, ssl_context=secured)
        await site.start()
        found.url = f"http{'s' if secured else ''}://localhost:{runner.addresses[0][1]}/hook?key=abc"
        yield found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def sender(**rest: Any) -> AsyncIterator[Sender]:
    made = Sender(rest.pop("networks", HERE), **rest)
    try:
        yield made
    finally:
        await made.close()


def says(status: int, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "delivered"), (204, "delivered"), (299, "delivered"), (301, "redirected"), (304, "redirected"),
     (307, "redirected"), (400, "refused"), (404, "refused"), (410, "gone"), (429, "throttled"), (500, "failed"),
     (502, "throttled"), (503, "throttled"), (504, "throttled")],
)  # fmt: skip
async def test_only_2xx_is_a_delivery(status: int, outcome: str) -> None:
    async with place(says(status)) as there, sender() as ours:
        attempt = await ours.send(there.url, b"{}", {"webhook-id": "evt_1"})
    assert (attempt.outcome, attempt.status) == (outcome, status)


async def test_a_delivery_has_the_headers_of_the_specification_and_the_very_body() -> None:
    bodies = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    async with place(answer) as there, sender() as ours:
        await ours.send(there.url, b'{"a":1}', {"webhook-id": "evt_1", "webhook-signature": "v1,x"})
    (request,) = there.requests
    assert (request.method, request.headers["webhook-id"], bodies) == ("POST", "evt_1", [b'{"a":1}'])
    assert request.headers["Content-Type"] == "application/cloudevents+json; charset=UTF-8"


@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/secret", "https://127.0.0.1:{port}/", "//localhost/", "/"])
async def test_no_redirect_is_followed(target: str) -> None:
    async with place(says(200)) as inside:
        port = inside.url.split(":")[2].split("/")[0]
        async with place(says(302, Location=target.format(port=port))) as there, sender() as ours:
            attempt = await ours.send(there.url, b"{}", {})
            assert (attempt.outcome, len(there.requests), len(inside.requests)) == ("redirected", 1, 0)


async def test_an_endpoint_that_hangs_is_given_up() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with place(hang) as there, sender(timeout=0.3) as ours:
        assert (await ours.send(there.url, b"{}", {})).outcome == "timeout"


async def test_a_status_counts_however_long_or_slow_the_rest_of_the_answer_is() -> None:
    async def babble(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x" * 65_536)
        return response

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.Event().wait()
        return response

    for answer in (babble, drip):
        async with place(answer) as there, sender(timeout=5.0) as ours:
            assert (await ours.send(there.url, b"{}", {})).outcome == "delivered"
            assert (await ours.send(there.url, b"{}", {})).outcome == "delivered"


async def test_a_connection_that_is_cut_or_speaks_no_http_delivers_nothing() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.transport.abort()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-nothing\r\n\r\n")
        writer.close()

    for talk in (cut, babble):
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server, sender() as ours:
            port = server.sockets[0].getsockname()[1]
            attempt = await ours.send(f"http://127.0.0.1:{port}/", b"{}", {})
            assert (attempt.outcome, attempt.status) == ("cut", None)


async def test_where_nobody_listens_or_the_name_is_unknown_nothing_is_delivered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with sender() as ours:
        assert (await ours.send(f"http://127.0.0.1:{port}/", b"{}", {})).outcome == "unreachable"
        assert (await ours.send("https://nowhere.invalid/", b"{}", {})).outcome == "name_unknown"


async def test_a_certificate_must_be_trusted_and_the_deployments_ca_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers = tls.papers(tmp_path, (), now=clock.now())
    async with place(says(204), tls.context(papers)) as there:
        async with sender() as ours:
            assert (await ours.send(there.url, b"{}", {})).outcome == "not_trusted"
        async with sender(ca_file=str(papers.ca_file)) as ours:
            assert (await ours.send(there.url, b"{}", {})).outcome == "delivered"
            means(monkeypatch, "127.0.0.1")
            wrong_name = there.url.replace("localhost", "other.example")
            assert (await ours.send(wrong_name, b"{}", {})).outcome == "not_trusted"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0",
     "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "169.254.169.254", "10.1.2.3", "192.168.1.1", "172.16.0.1", "100.64.0.1",
     "[fd00:ec2::254]", "[fd12::1]", "[fe80::1]", "127.0.0.1.", "LOCALHOST"],
)  # fmt: skip
async def test_no_spelling_of_an_inner_address_is_dialled(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", unusable)
    async with sender(networks=(), timeout=3.0) as ours:
        attempt = await ours.send(f"https://{host}:9/", b"{}", {})
    assert attempt.outcome in {"address_refused", "name_unknown"}


class unusable(socket.socket):  # noqa: N801 -- in the place of a class of that form
    """A socket that must not be made."""

    def __init__(self, *_: object, **__: object) -> None:
        raise AssertionError("an address was dialled")


async def test_an_address_is_judged_when_it_is_dialled_whatever_the_name_meant_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the name first means an address that may be dialled, then one that may not."""
    asked = means(monkeypatch, "127.0.0.2", "127.0.0.1")
    async with place(says(204, Connection="close"), host="0.0.0.0") as there:
        url = there.url.replace("localhost", "rebound.example")
        async with sender(networks=networks_of("127.0.0.2/32")) as ours:
            outcomes = [(await ours.send(url, b"{}", {})).outcome for _ in range(2)]
    assert (outcomes, len(there.requests), asked) == (["delivered", "address_refused"], 1, ["127.0.0.2", "127.0.0.1"])


def means(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Have every name mean these addresses, one after the other, and return those that were asked for."""
    asked: list[str] = []

    def resolve(_: str, port: int, *__: object, **___: object) -> list[Any]:
        asked.append(addresses[min(len(asked), len(addresses) - 1)])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (asked[-1], port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


async def test_plain_http_goes_to_an_operators_networks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    means(monkeypatch, "52.96.0.1")
    async with sender() as ours:
        assert (await ours.send("http://consumer.example/", b"{}", {})).outcome == "address_refused"


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with place(says(200)) as there, sender() as ours:
        assert (await ours.send(there.url, b"{}", {})).outcome == "delivered"


@pytest.mark.parametrize(
    ("printed", "seconds"),
    [("120", 120), ("0", 0), (" 7 ", 7), ("Thu, 01 Jan 1970 00:02:00 GMT", 20), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
     ("Mon, 05 Jan 2026 00:00:00 +99999999999999999", None), ("05 Jan 2026 99999999999999999999:00:00 GMT", None),
     ("", None), ("soon", None), ("-5", None), ("1.5", None), ("99999999999999999999", 999999999), ("\u0661", None)],
)  # fmt: skip
def test_retry_after_is_a_number_of_seconds_or_a_date(printed: str, seconds: int | None) -> None:
    assert retry_after(printed, now=100.0) == seconds
