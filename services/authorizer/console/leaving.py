"""Pages: an org is disconnected: what will be deleted, the purge as it goes, and at the end the receipt.

It refuses to begin without the org's name typed, or in a session that began long ago: who comes by a fresh link has
signed in at the platform just now.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from services.authorizer import leaving, orgs, purging
from services.authorizer.console import exchange_guide, guards, progress
from services.authorizer.console.forms import form
from services.authorizer.console.place import VISIT, Place, Visit, place_of, visit_of
from services.authorizer.console.rendering import away, org_of, page
from services.authorizer.console.texts import text
from services.authorizer.console.texts_leaving import KINDS
from services.authorizer.orgs import OrgState
from services.authorizer.purging import Purge
from services.authorizer.receipts import printed, receipt
from services.authorizer.standing import standing
from shared import clock
from shared.connections import DISCONNECTING, credential_of
from shared.contracts.messages import GraphConnection
from shared.contracts.values import Instant
from shared.identity import GraphCredential
from shared.store import Store
from shared.vault import VaultError

HERE: Final = "/setup/disconnect"
RECEIPT: Final = "/setup/receipt"
FRESH: Final = 900  # seconds that a session is young enough for this
# where the app is found in each cloud: learn.microsoft.com, "National clouds", app registration endpoints
_PORTALS: Final[Mapping[str, str]] = {
    "global": "https://portal.azure.com",
    "us_government": "https://portal.azure.us",
    "us_dod": "https://portal.azure.us",
    "china": "https://portal.azure.cn",
}
_APP: Final = "#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Properties/appId/"
_STAYS: Final = (RECEIPT, f"{RECEIPT}.json", "/setup/sign-out")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def show(request: web.Request) -> web.StreamResponse:
    """GET /setup/disconnect: ask, or show how far it is."""
    org = await org_of(request)
    place, visit = place_of(request), visit_of(request)
    if org is None:
        return away(request, RECEIPT if await receipt(place.store, visit.org_id) else "/setup")
    if org.state == DISCONNECTING:
        return await _under_way(request, place.store, org)
    return await _ask(request, org)


async def _ask(request: web.Request, org: OrgState, errors: Mapping[str, str] | None = None) -> web.Response:
    place, visit = place_of(request), visit_of(request)
    async with place.store.read() as reading:
        counts = await leaving.held(reading, org.org_id)
    values = {
        "counts": counts,
        "fresh": is_fresh(visit, clock.now()),
        "minutes": FRESH // 60,
        "revoking": await revoking(place, org),
        "said": {name: text(key) for name, key in (errors or {}).items()},
        "kinds": KINDS,
        "number": progress.number,
    }
    return await page(request, "disconnect.html", values, tab="disconnect", status=422 if errors else 200)


def is_fresh(visit: Visit, now: Instant) -> bool:
    """Say whether a session began lately enough for what cannot be undone."""
    return now < visit.created_at + FRESH


async def revoking(place: Place, org: OrgState) -> dict[str, str]:
    """Return what only Microsoft's admin can take back: the sort, and the address or the commands that lead there."""
    if not isinstance(org.connection, GraphConnection):
        names = exchange_guide.Names(product=place.settings.product)
        return {"kind": "ews", "commands": exchange_guide.undoing(names), "address": "", "app": ""}
    app, portal = await _app(place, org.connection), _PORTALS.get(org.connection.cloud, "")
    address = f"{portal}/{_APP}{app}" if portal and app else ""
    return {"kind": "graph", "commands": "", "address": address, "app": app}


async def _app(place: Place, connection: GraphConnection) -> str:
    """Return the id of the app that was consented to; empty where it is not known any more."""
    try:
        credential = await credential_of(place.store, place.vault, connection.credential, GraphCredential)
    except VaultError:
        return ""
    return "" if credential is None else credential.client_id


async def begin(request: web.Request) -> web.StreamResponse:
    """POST /setup/disconnect: begin, once the org's name is typed."""
    org = await org_of(request)
    if org is None or org.state == DISCONNECTING:
        return away(request, HERE)
    place, visit, now = place_of(request), visit_of(request), clock.now()
    typed = (await form(request)).get("name")
    if not is_fresh(visit, now):
        return away(request, HERE, notice="notice.warn.not_fresh")
    if typed != org.org_id:
        return await _ask(request, org, {"name": "leaving.name.wrong" if typed else "leaving.name.missing"})
    await orgs.disconnect(place.store, org.org_id, actor=visit.actor, now=now)
    place.wakes.purge.set()
    return away(request, HERE)


async def _under_way(request: web.Request, store: Store, org: OrgState) -> web.Response:
    found = await standing(store, org.org_id, now=clock.now())
    values: dict[str, Any] = {
        "steps": [(text(f"leaving.step.{name}"), state, "") for name, state in steps(found.purge)],
        "rows": sum(found.left.values()),
        "number": progress.number,
        "purge": found.purge,
        "mark": progress.mark(found),
    }
    return await page(request, "disconnecting.html", values, tab="disconnect")


def steps(purge: Purge | None) -> tuple[tuple[str, str], ...]:
    """Return the purge's steps as (name, state): each service's part, then our own with the receipt."""
    done = purge.done if purge is not None else ()
    services = tuple((service, "done" if service in done else "now") for service in purging.SERVICES)
    ours = "now" if set(done) >= set(purging.SERVICES) else "wait"
    return (*services, ("authorizer", ours))


async def show_receipt(request: web.Request) -> web.StreamResponse:
    """GET /setup/receipt."""
    place, visit = place_of(request), visit_of(request)
    found = await receipt(place.store, visit.org_id)
    if found is None:
        return away(request, HERE if await org_of(request) else "/setup")
    values = {
        "receipt": found,
        "seconds": found.ended_at - found.started_at,
        "kinds": KINDS,
        "number": progress.number,
        "over": await is_over(place.store, visit),
    }
    return await page(request, "receipt.html", values)


async def download(request: web.Request) -> web.Response:
    """GET /setup/receipt.json: the receipt as it is printed at the command line."""
    found = await receipt(place_of(request).store, visit_of(request).org_id)
    if found is None:
        raise web.HTTPNotFound
    name = f"receipt-{found.org_id}-{found.purge_id}.json"
    body = msgspec.json.format(msgspec.json.encode(printed(found)), indent=1) + b"\n"
    kept = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=body, content_type="application/json", headers=kept)


async def is_over(store: Store, visit: Visit) -> bool:
    """Say whether the org left while this session was there: then it sees the receipt, and nothing else."""
    async with store.read() as reading:
        purge = await leaving.latest(reading, visit.org_id)
    if purge is None or purge.ended_at is None or purge.ended_at < visit.created_at:
        return False
    return await orgs.org(store, visit.org_id) is None


@web.middleware
async def only_receipt(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lead a session whose org has left to the receipt, from wherever it was."""
    visit: Visit | None = request.get(VISIT)
    if visit is None or request.path in _STAYS or request.path.startswith(guards.API):
        return await handler(request)
    if await is_over(place_of(request).store, visit):
        return away(request, RECEIPT)
    return await handler(request)


ROUTES: Final = (
    web.get(HERE, show),
    web.post(HERE, begin),
    web.get(RECEIPT, show_receipt),
    web.get(f"{RECEIPT}.json", download, allow_head=False),
)
