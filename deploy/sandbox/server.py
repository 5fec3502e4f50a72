"""The sandbox on the network: one TLS address for Entra, Graph, EWS and control. It and `posting` alone know aiohttp.

It keeps no access log, and closes a connection without an answer where a fault orders it. What NTLM agrees on holds for
the connection it was agreed on.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from deploy.sandbox import control, entra, graph, tls, worlds
from deploy.sandbox.answers import PLAIN_JSON, Answer, Ask, Streamed, identified
from deploy.sandbox.changes import Changes
from deploy.sandbox.ews import answering, autodiscover
from deploy.sandbox.options import SandboxOptions
from deploy.sandbox.state import Counts, State
from shared import clock as shared_clock
from shared.contracts.values import Instant

_SHUTDOWN = 1.0  # seconds given to requests in hand
_LARGEST = 16 * 2**20
EWS_PATH = "/EWS/Exchange.asmx"
Channels = WeakKeyDictionary[asyncio.Transport, dict[str, Any]]  # what each connection has agreed on


class Sandbox(Changes):
    """A running sandbox: where it is, how to sign in, what was asked of it, and everything control can do."""

    def __init__(self, state: State, runner: web.ServerRunner, *, ca_file: Path, port: int, channels: Channels) -> None:
        """Take a world that is being served on a port, and the connections there are."""
        super().__init__(state)
        self._runner = runner
        self._channels = channels
        host = state.options.host
        self.url = f"https://{'127.0.0.1' if host in {'0.0.0.0', '::'} else host}:{port}"  # noqa: S104 -- compared, not bound
        self.ca_file = ca_file
        self.control_token = state.control_token
        self.tenant_id = next(iter(state.tenants))
        self.tenant_ids = tuple(state.tenants)
        self.client_id = worlds.CLIENT_ID
        self.client_secret = next(iter(state.apps[worlds.CLIENT_ID].secrets))
        account = next(iter(state.ews.accounts.values()))
        self.ews_url = f"{self.url}{EWS_PATH}"
        self.ews_user = account.logon
        self.ews_password = account.password
        self.ews_scope = account.scope

    @property
    def requests(self) -> Counts:
        """What was asked so far."""
        return self.state.counts

    async def stop(self) -> None:
        """Give up the notifications on their way, close every connection and the port."""
        self.state.ews.listeners.close()
        await self.state.notifier.stop()
        await self._runner.cleanup()
        for transport in list(self._channels):  # a client that went without a word leaves its half open
            transport.abort()
        await asyncio.sleep(0)
        await self.state.poster.close()  # last: requests in hand may still ask an address for its token


async def start(options: SandboxOptions, *, clock: Callable[[], Instant] | None = None) -> Sandbox:
    """Build the world, listen, and return the running sandbox. Raises OSError where the port is taken.

    `clock` gives the sandbox's present instant (UTC seconds) to tokens, subscriptions and stamps; none: this machine's.
    """
    state = await asyncio.to_thread(worlds.build, options, clock=clock or _now)
    await asyncio.to_thread(state.signer.jwks)  # the key is made here, not while somebody waits for a token
    # clients judge a certificate by their own clocks, whatever the sandbox's says
    names = (options.host, *options.names)
    found = await asyncio.to_thread(tls.papers, options.folder, names, now=shared_clock.now())

    channels: Channels = WeakKeyDictionary()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await _handle(state, request, channels)

    server = web.Server(handle, access_log=None)
    runner = web.ServerRunner(server, access_log=None, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port, ssl_context=tls.context(found), backlog=1024)
    await site.start()
    port = runner.addresses[0][1]
    return Sandbox(state, runner, ca_file=found.ca_file, port=port, channels=channels)


def _now() -> Instant:
    return shared_clock.now()  # looked up for each call: tests replace it


async def _handle(state: State, request: web.BaseRequest, channels: Channels) -> web.StreamResponse:
    path, _, query = request.raw_path.partition("?")
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    ask = Ask(
        method=request.method,
        path=path,
        query=query,
        headers=headers,
        body=await request.read() if request.body_exists else b"",
        base=f"https://{headers.get('host', '')}",
    )
    transport = request.transport
    answer = await _answered(state, ask, {} if transport is None else channels.setdefault(transport, {}))
    said = identified(answer, ask)
    if isinstance(answer, Streamed):
        return await _streamed(request, answer, said)
    if answer.dropped and transport is not None:
        transport.abort()
    schemes = said.pop("WWW-Authenticate", "")
    response = web.Response(status=answer.status, body=answer.body, headers=said)
    for scheme in schemes.splitlines():  # each in a header of its own, as IIS sends them
        response.headers.add("WWW-Authenticate", scheme)
    return response


async def _streamed(request: web.BaseRequest, answer: Streamed, headers: dict[str, str]) -> web.StreamResponse:
    """Send chunk after chunk until there are no more or nobody listens."""
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.enable_chunked_encoding()
    async with aclosing(answer.chunks) as chunks:
        with suppress(ConnectionResetError):  # the listener has gone
            await response.prepare(request)
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
    return response


async def _answered(state: State, ask: Ask, channel: dict[str, Any]) -> Answer:
    if ask.path.startswith(graph.PREFIX):
        return await graph.answer(state, ask)
    if ask.path.startswith("/control/"):
        return control.answer(state, ask)
    if ask.path.lower() == EWS_PATH.lower():
        return await answering.answer(state, ask, channel)
    if ask.path.lower().startswith(autodiscover.PREFIX):
        return autodiscover.answer(state, ask, channel)
    if ask.path == "/healthz":
        return Answer(body=b"{}", content_type=PLAIN_JSON)
    return await entra.answer(state, ask)
