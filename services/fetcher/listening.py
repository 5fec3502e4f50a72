"""Edge: the address Microsoft sends notifications to. It answers a validation, and takes what it can keep safe at once.

It refuses whatever is no notification, tells nobody whether one was believed, and reads nothing but ids from any.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.web_exceptions import HTTPException, HTTPRequestEntityTooLarge

from services.fetcher import notices
from services.fetcher.context import Context
from services.fetcher.hints import Hints
from shared import logs
from shared.broker import Broker
from shared.errors import Retry
from shared.health import Health
from shared.logs import Logger
from shared.vault import Vault

PART: Final = "fetcher.notifications"
BODY_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 75.0  # for the headers, and between requests; a proxy before us lets go of a connection first
_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Server": "busyline"}


@asynccontextmanager
async def served_notifications(context: Context, broker: Broker, health: Health, *, vault: Vault) -> AsyncIterator[int]:
    """Listen on notify_host and notify_port while the block runs and give the port; 0 takes a free one.

    Raises OSError where the port is taken.
    """
    hints = Hints(context, broker, vault)
    app = web.Application(client_max_size=notices.LARGEST, middlewares=[_plain(context.log)])
    path = urlsplit(context.settings.notify_url).path or "/"
    app.router.add_post(path, _receiver(hints))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3.0, keepalive_timeout=IDLE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, context.settings.notify_host, context.settings.notify_port).start()
        health.set(PART, ready=True)
        yield int(runner.addresses[0][1])
    finally:
        health.set(PART, ready=False)
        await asyncio.shield(runner.cleanup())
        hints.tell()


def _receiver(hints: Hints) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def receive(request: web.Request) -> web.Response:
        token = request.query.get("validationToken")
        if token is not None:
            return _validated(token)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                given, odd = notices.read(await request.read())
        except notices.Refused as refused:
            hints.refuse(refused.reason)
            return _status(413 if refused.reason == "too_large" else 400)
        except TimeoutError:
            return _status(408)
        if odd:
            hints.refuse("malformed", odd)
        if given:
            await hints(given)
        return _status(202)

    return receive


def _validated(token: str) -> web.Response:
    """Give a validation token back, exactly as decoded and as nothing but text, as Microsoft demands within 10 s."""
    if not notices.plausible(token):
        return _status(400)
    return web.Response(text=token, content_type="text/plain", charset="utf-8", headers=_HEADERS)


def _plain(log: Logger) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Answer every trouble with a status and no words."""

    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except HTTPRequestEntityTooLarge:
            return _status(413)
        except HTTPException as error:
            allow = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            return _status(error.status, **allow)
        except Retry as retry:  # Microsoft sends it again, for up to four hours
            log.warning("notification.deferred", reason=retry.reason)
            return _status(503, **{"Retry-After": "5"})
        except ConnectionError:
            return _status(400)
        except Exception as error:  # noqa: BLE001 -- a bug of ours must not lose what Microsoft can send again
            log.error("notification.failed", **logs.failure(error))  # noqa: TRY400 -- never its text
            return _status(503)

    return middleware


def _status(status: int, **headers: str) -> web.Response:
    return web.Response(status=status, headers=_HEADERS | headers)
