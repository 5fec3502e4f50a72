"""The sandbox on the network: one TLS address for Entra, Graph and control. It and `posting` alone know aiohttp.

It keeps no access log, and closes a connection without an answer where a fault orders it.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from deploy.sandbox import control, entra, graph, tls, worlds
from deploy.sandbox.answers import PLAIN_JSON, Answer, Ask, identified
from deploy.sandbox.changes import Changes
from deploy.sandbox.options import SandboxOptions
from deploy.sandbox.state import Counts, State
from shared import clock as shared_clock
from shared.contracts.values import Instant

_SHUTDOWN = 1.0  # seconds given to requests in hand
_LARGEST = 16 * 2**20


class Sandbox(Changes):
    """A running sandbox: where it is, how to sign in, what was asked of it, and everything control can do."""

    def __init__(self, state: State, runner: web.ServerRunner, *, ca_file: Path, port: int) -> None:
        """Take a world that is being served on a port."""
        super().__init__(state)
        self._runner = runner
        host = state.options.host
        self.url = f"https://{'127.0.0.1' if host in {'0.0.0.0', '::'} else host}:{port}"  # noqa: S104 -- compared, not bound
        self.ca_file = ca_file
        self.control_token = state.control_token
        self.tenant_id = next(iter(state.tenants))
        self.tenant_ids = tuple(state.tenants)
        self.client_id = worlds.CLIENT_ID
        self.client_secret = next(iter(state.apps[worlds.CLIENT_ID].secrets))

    @property
    def requests(self) -> Counts:
        """What was asked so far."""
        return self.state.counts

    async def stop(self) -> None:
        """Give up the notifications on their way, close every connection and the port."""
        await self.state.notifier.stop()
        await self._runner.cleanup()
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

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await _handle(state, request)

    server = web.Server(handle, access_log=None)
    runner = web.ServerRunner(server, access_log=None, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port, ssl_context=tls.context(found), backlog=1024)
    await site.start()
    port = runner.addresses[0][1]
    return Sandbox(state, runner, ca_file=found.ca_file, port=port)


def _now() -> Instant:
    return shared_clock.now()  # looked up for each call: tests replace it


async def _handle(state: State, request: web.BaseRequest) -> web.StreamResponse:
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
    answer = await _answered(state, ask)
    if answer.dropped and request.transport is not None:
        request.transport.abort()
    return web.Response(status=answer.status, body=answer.body, headers=identified(answer, ask))


async def _answered(state: State, ask: Ask) -> Answer:
    if ask.path.startswith(graph.PREFIX):
        return await graph.answer(state, ask)
    if ask.path.startswith("/control/"):
        return control.answer(state, ask)
    if ask.path == "/healthz":
        return Answer(body=b"{}", content_type=PLAIN_JSON)
    return await entra.answer(state, ask)
