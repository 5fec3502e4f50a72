"""Edge: consumers' HTTP. It answers questions and changes nothing; who may ask about what is `access`'s to decide."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from services.publisher import api, asyncapi, openapi
from services.publisher.access import STORE
from services.publisher.asking import LARGEST_BODY
from services.publisher.bell import Bell
from services.publisher.conditional import conditional
from services.publisher.following import FOLLOWING, Following, Limits
from services.publisher.gate import Gate
from services.publisher.operations import Handler, routes
from services.publisher.problems import problems
from services.publisher.reply import bear_headers
from services.publisher.webhooks.asked import POST
from services.publisher.webhooks.delivery import Post
from shared import health
from shared.health import Health
from shared.store import Store

BACKLOG = 1024  # connections that wait to be taken: after a start all who followed come at once


def application(
    store: Store,
    ready: Health,
    following: Following | None = None,
    gate: Gate | None = None,
    post: Post | None = None,
) -> web.Application:
    """Return the server's application; `following` are those who wait for updates, as many as may unless told.

    `gate` holds consumers to their rates, which are ample unless told. Without a `post` no webhook is made or tested.
    """
    gate = gate or Gate(api.OPERATIONS)
    app = web.Application(middlewares=[problems, gate.middleware, conditional], client_max_size=LARGEST_BODY)
    app[STORE] = store
    if post is not None:
        app[POST] = post
    app[FOLLOWING] = following or Following(store, Bell(), Limits())
    app.cleanup_ctx.append(_following)
    app.on_shutdown.append(_let_go)
    app.cleanup_ctx.append(gate.kept)
    app.on_response_prepare.extend((bear_headers, gate.bear))
    app.add_routes(
        [
            *health.routes(ready),
            web.get("/openapi.json", _page(openapi.document(api.OPERATIONS))),
            web.get("/asyncapi.json", _page(asyncapi.document())),
            *routes(api.OPERATIONS),
        ]
    )
    return app


@asynccontextmanager
async def served(  # noqa: PLR0913 -- where it listens, and what it is wired to
    store: Store,
    ready: Health,
    *,
    host: str,
    port: int,
    following: Following | None = None,
    gate: Gate | None = None,
    post: Post | None = None,
) -> AsyncIterator[int]:
    """Serve while the block runs, and give the port listened on. Raises OSError where it is taken."""
    runner = web.AppRunner(application(store, ready, following, gate, post), access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _following(app: web.Application) -> AsyncIterator[None]:
    """Read the log's end for all who follow, from the beginning of the server to its end."""
    reading = asyncio.create_task(app[FOLLOWING].run())
    yield
    app[FOLLOWING].end()
    await reading


async def _let_go(app: web.Application) -> None:
    app[FOLLOWING].end()


def _page(document: dict[str, Any]) -> Handler:
    """Return what serves a document that describes us, to anybody."""
    page = msgspec.json.encode(document)

    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=page, content_type="application/json")

    return serve
