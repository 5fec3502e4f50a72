"""Edge: writes into an org's chain of the audit log what whoever is signed in has done, where no act's own does."""

from aiohttp import web

from services.authorizer import audit
from services.authorizer.console.place import place_of, visit_of
from shared import clock


async def noted(request: web.Request, action: str, details: audit.Details) -> None:
    """Note an act in a transaction of its own; `details` hold fixed words and numbers alone."""
    store, visit = place_of(request).store, visit_of(request)
    act = {"chain": visit.org_id, "actor": visit.actor, "action": action}
    async with store.write() as writing:
        await audit.append(store, writing, **act, details=details, now=clock.now())
