"""/livez says the event loop turns; /readyz says whether the service can do its work, with the name of what is missing.

A dependency's failure makes a service unready, never dead: restarting it would not repair the broker.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class Health:
    """What the parts of a process say of themselves; a part not heard of yet is not ready."""

    def __init__(self) -> None:
        """Begin with nothing ready."""
        self._parts: dict[str, bool] = {}

    def set(self, part: str, *, ready: bool) -> None:
        """Record whether a part (`broker`, `store`, `publisher.http`, ...) can do its work."""
        self._parts[part] = ready

    def missing(self) -> list[str]:
        """Return the names of the parts that are not ready, sorted."""
        return sorted(part for part, ready in self._parts.items() if not ready)

    @property
    def ready(self) -> bool:
        """Say whether every part known is ready, and at least one is known."""
        return bool(self._parts) and not self.missing()


def routes(health: Health) -> list[web.RouteDef]:
    """Return the two routes, for a server of their own or beside others."""

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(_: web.Request) -> web.Response:
        status = 200 if health.ready else 503
        return web.json_response({"ready": health.ready, "missing": health.missing()}, status=status)

    return [web.get("/livez", livez), web.get("/readyz", readyz)]


@asynccontextmanager
async def served(health: Health, *, host: str, port: int) -> AsyncIterator[None]:
    """Serve the two routes while the block runs; port 0 serves nothing."""
    if port == 0:
        yield
        return
    app = web.Application()
    app.add_routes(routes(health))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    try:
        yield
    finally:
        await asyncio.shield(runner.cleanup())
