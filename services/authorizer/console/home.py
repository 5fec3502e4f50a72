"""Where an admin begins, by how their org stands; and the choice between Microsoft 365 and Exchange."""

from typing import Final

from aiohttp import web

from services.authorizer import receipts
from services.authorizer.console.place import place_of, visit_of
from services.authorizer.console.rendering import away, org_of, page
from services.authorizer.console.tabs import first_page
from shared.connections import EWS, GRAPH
from shared.contracts.messages import GraphConnection


async def root(request: web.Request) -> web.Response:
    """GET /: the setup page is below /setup."""
    return away(request, "/setup")


async def home(request: web.Request) -> web.Response:
    """GET /setup: on to the page that matters now."""
    org = await org_of(request)
    return away(request, first_page(org.state if org else None))


async def connect(request: web.Request) -> web.Response:
    """GET /setup/connect: choose how to connect, or see how the org is connected."""
    org = await org_of(request)
    former = None if org else await receipts.receipt(place_of(request).store, visit_of(request).org_id)
    kind = GRAPH if org and isinstance(org.connection, GraphConnection) else EWS
    return await page(request, "connect.html", {"former": former, "kind": kind}, tab="connection")


ROUTES: Final = (
    web.get("/", root),
    web.get("/setup", home),
    web.get("/setup/connect", connect),
)
