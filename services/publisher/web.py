"""Edge: consumers' HTTP. It answers questions and changes nothing; who may ask about what is `access`'s to decide."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from services.publisher import api, openapi
from services.publisher.access import STORE
from services.publisher.asking import LARGEST_BODY
from services.publisher.operations import Handler, routes
from services.publisher.problems import problems
from services.publisher.reply import bear_headers
from shared import health
from shared.health import Health
from shared.store import Store


def application(store: Store, ready: Health) -> web.Application:
    """Return the server's application."""
    app = web.Application(middlewares=[problems], client_max_size=LARGEST_BODY)
    app[STORE] = store
    app.on_response_prepare.append(bear_headers)
    app.add_routes(
        [
            *health.routes(ready),
            web.get("/openapi.json", _openapi()),
            *routes(api.OPERATIONS),
        ]
    )
    return app


@asynccontextmanager
async def served(store: Store, ready: Health, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block runs, and give the port listened on. Raises OSError where it is taken."""
    runner = web.AppRunner(application(store, ready), access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _openapi() -> Handler:
    page = msgspec.json.encode(openapi.document(api.OPERATIONS))

    async def serve(_: web.Request) -> web.StreamResponse:
        return web.Response(body=page, content_type="application/json")

    return serve
