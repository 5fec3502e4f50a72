"""The sandbox as a client on the network: its handshakes and notifications over real connections."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from deploy.sandbox import Sandbox, SandboxOptions, start, tls
from deploy.sandbox.calendar import Item
from deploy.sandbox.posting import Letter, Poster, Reply
from shared import clock
from shared.clock import moment
from tests.unit.sandbox.test_server import opened, token
from tests.waiting import until


class Receiver:
    """A listener for notifications on a port of this machine."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []
        self.ports: set[int] = set()
        self.url = ""
        self.runner = web.ServerRunner(web.Server(self.answer), shutdown_timeout=0.1)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.ports.add(request.transport.get_extra_info("peername")[1])  # type: ignore[union-attr]
        match request.path:
            case "/moved":
                return web.Response(status=302, headers={"Location": "/notes"})
            case "/never":
                await asyncio.sleep(3600)
            case "/gone":
                request.transport.abort()  # type: ignore[union-attr]
        if "validationToken" in request.query:
            return web.Response(text=request.query["validationToken"])
        self.notes += json.loads(await request.read())["value"]
        return web.Response(status=202)

    async def open(self, context: ssl.SSLContext | None = None) -> str:
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.runner.addresses[0][1]}"
        return self.url


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    yield made
    await made.runner.cleanup()


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    made = Poster()
    yield made
    await made.close()


def letter(url: str, *, seconds: float = 5.0) -> Letter:
    return Letter(url=url, body=b'{"value":[]}', content_type="application/json", seconds=seconds)


async def test_an_answer_is_told(receiver: Receiver, poster: Poster) -> None:
    url = await receiver.open()
    assert (await poster.post(letter(f"{url}/notes"))).status == 202
    asked = await poster.post(letter(f"{url}/notes?validationToken=a%2Bb+c%2525"))
    assert asked == Reply(status=200, content_type="text/plain", body=b"a+b c%25")


async def test_connections_are_kept(receiver: Receiver, poster: Poster) -> None:
    url = await receiver.open()
    for _ in range(5):
        await poster.post(letter(f"{url}/notes"))
    assert len(receiver.ports) == 1


async def test_no_redirect_is_followed(receiver: Receiver, poster: Poster) -> None:
    assert (await poster.post(letter(f"{await receiver.open()}/moved"))).status == 302


@pytest.mark.parametrize("path", ["/never", "/gone"])
async def test_silence_is_a_status_of_its_own(receiver: Receiver, poster: Poster, path: str) -> None:
    url = await receiver.open()
    assert await poster.post(letter(f"{url}{path}", seconds=0.05 if path == "/never" else 5)) == Reply()


async def test_an_untrusted_listener_is_not_spoken_to(receiver: Receiver, poster: Poster, tmp_path: Path) -> None:
    url = await receiver.open(tls.context(tls.papers(tmp_path, (), now=clock.now())))
    assert await poster.post(letter(f"{url}/notes")) == Reply()


def subscription(sandbox: Sandbox, url: str) -> dict[str, Any]:
    return {
        "changeType": "created,updated,deleted",
        "notificationUrl": url,
        "lifecycleNotificationUrl": url,
        "resource": f"users/{sandbox.mailboxes()[0].user_id}/events",
        "expirationDateTime": moment(sandbox.state.clock() + 86_400),
        "clientState": "a state",
    }


async def make(sandbox: Sandbox, url: str) -> tuple[int, Any]:
    async with opened(sandbox.ca_file) as session:
        headers = {"Authorization": f"Bearer {await token(sandbox, session)}"}
        async with session.post(
            f"{sandbox.url}/v1.0/subscriptions", json=subscription(sandbox, url), headers=headers
        ) as answer:
            return answer.status, await answer.json()


async def changed(sandbox: Sandbox, receiver: Receiver) -> dict[str, Any]:
    sandbox.add_event(sandbox.mailboxes()[0].address, Item(item_id="", start=0, end=60))
    await until(lambda: len(receiver.notes) == 1)
    return receiver.notes[0]


@pytest.mark.parametrize("trust", ["plain", "own", "named"])
async def test_a_change_arrives_over_the_network(tmp_path: Path, receiver: Receiver, trust: str) -> None:
    folder = tmp_path / ("papers" if trust == "own" else "others")
    papers = tls.papers(folder, (), now=clock.now())
    url = await receiver.open(None if trust == "plain" else tls.context(papers))
    options = SandboxOptions(
        folder=tmp_path / "papers", mailboxes=2, events=2, notification_ca=papers.ca_file if trust == "named" else None
    )
    sandbox = await start(options)
    try:
        status, said = await make(sandbox, f"{url}/notes")
        assert status == 201, said
        note = await changed(sandbox, receiver)
        assert (note["subscriptionId"], note["clientState"]) == (said["id"], "a state")
        await until(lambda: sandbox.notifications.counts.delivered == 1)
    finally:
        await sandbox.stop()


async def test_a_listener_nobody_vouches_for_gets_no_subscription(tmp_path: Path, receiver: Receiver) -> None:
    url = await receiver.open(tls.context(tls.papers(tmp_path / "others", (), now=clock.now())))
    sandbox = await start(SandboxOptions(folder=tmp_path / "papers", mailboxes=1, events=2))
    try:
        status, said = await make(sandbox, f"{url}/notes")
        assert (status, said["error"]["code"]) == (400, "ValidationError")
    finally:
        await sandbox.stop()


async def test_the_world_has_the_clock_it_is_given(tmp_path: Path, receiver: Receiver) -> None:
    url = await receiver.open()
    ahead = 30 * 86_400
    sandbox = await start(SandboxOptions(folder=tmp_path, mailboxes=1, events=2), clock=lambda: clock.now() + ahead)
    try:
        status, said = await make(sandbox, f"{url}/notes")
        assert status == 201, said
        assert (await changed(sandbox, receiver))["subscriptionExpirationDateTime"] == said["expirationDateTime"]
        ahead += 86_401
        assert sandbox.subscriptions() == ()
    finally:
        await sandbox.stop()


async def test_without_a_clock_of_its_own_it_has_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = await start(SandboxOptions(folder=tmp_path, mailboxes=1, events=2))
    try:
        monkeypatch.setattr(clock, "now", lambda: 42)
        assert sandbox.state.clock() == 42
    finally:
        monkeypatch.undo()
        await sandbox.stop()


async def test_a_stop_leaves_nothing_running(tmp_path: Path, receiver: Receiver) -> None:
    url = await receiver.open()
    sandbox = await start(SandboxOptions(folder=tmp_path, mailboxes=1, events=2, notification_delay=3600))
    assert (await make(sandbox, f"{url}/notes"))[0] == 201
    sandbox.add_event(sandbox.mailboxes()[0].address, Item(item_id="", start=0, end=60))
    await sandbox.stop()
    assert sandbox.notifications.counts.waiting == 1
    assert sandbox.state.poster._session is None
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(sandbox.url.replace("https", "http"))
