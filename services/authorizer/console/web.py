"""Edge: the setup page's server. What each page shows and does is its own module's; guards stand before all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from services.authorizer.console import (
    api,
    assets,
    audit,
    entry,
    exchange_page,
    exchange_trials,
    guards,
    headers,
    home,
    leaving,
    mailboxes,
    microsoft,
    policy,
    progress,
    rendering,
    sessions,
    watching,
)
from services.authorizer.console.forms import LARGEST_BODY
from services.authorizer.console.limits import LIMITS, Limits
from services.authorizer.console.place import PLACE, Place
from shared import clock, health, logs
from shared.health import Health

TIDY: Final = 300  # seconds between two looks for sessions that are over


def application(place: Place, ready: Health) -> web.Application:
    """Return the server's application."""
    app = web.Application(
        middlewares=[guards.errors, guards.signed_in, guards.from_us, leaving.only_receipt],
        client_max_size=LARGEST_BODY,
    )
    found = assets.load()
    app[PLACE] = place
    app[LIMITS] = Limits()
    watching.install(app, place.store)
    exchange_trials.install(app)
    app[rendering.TEMPLATES] = rendering.environment(found)
    app.on_response_prepare.append(headers.bear(place.settings, place.desk.sandbox_url))
    app.add_routes([*health.routes(ready), assets.route(found)])
    for part in (entry, home, audit, microsoft, exchange_page, policy, progress, mailboxes, leaving, api):
        app.add_routes(part.ROUTES)
    return app


@asynccontextmanager
async def served(place: Place, ready: Health, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block runs, and give the port listened on. Raises OSError where it is taken."""
    runner = web.AppRunner(application(place, ready), access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    tidying = asyncio.create_task(_keep_tidy(place))
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        tidying.cancel()
        await asyncio.gather(tidying, return_exceptions=True)
        await runner.cleanup()


async def _keep_tidy(place: Place) -> None:
    """Take away what is over, now and then; a store that is away for a while is asked again later."""
    while True:
        try:
            await sessions.tidy(place.store, now=clock.now())
        except Exception as error:  # noqa: BLE001 -- tried again, and no page waits for it
            logs.get("authorizer").error("sessions.failed", **logs.failure(error))
        await asyncio.sleep(TIDY)
