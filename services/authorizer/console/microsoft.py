"""Pages: connecting Microsoft 365. What will be asked and why, the operator's terms, and the way to Microsoft.

Nothing is asked of Microsoft before the admin has seen what and, where there are terms, accepted them.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from services.authorizer import audit, orgs
from services.authorizer.console import limits, microsoft_return, phases, progress
from services.authorizer.console import microsoft_journeys as journeys
from services.authorizer.console.forms import form
from services.authorizer.console.microsoft_app import RETURNS, SIGNED_IN, redirect_uri, registration
from services.authorizer.console.microsoft_journeys import Journey
from services.authorizer.console.microsoft_rules import (
    SLOW,
    JourneyRefused,
    choices,
    is_times_only,
    of_identity,
    permissions,
)
from services.authorizer.console.place import Place, place_of, visit_of
from services.authorizer.console.rendering import away, org_of, page
from services.authorizer.console.wording import pieces
from services.authorizer.orgs import OrgState
from services.authorizer.standing import standing
from shared import clock
from shared.clouds import NAMES, SANDBOX
from shared.connections import ATTENTION, CONNECTED
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.identity import IdentityError
from shared.sign_in import begin_sign_in

PATH: Final = "/setup/connect/microsoft"
_PATIENCE: Final = 30.0  # seconds that Microsoft's sign-in is asked for its addresses
_MISSING: Final = frozenset({"terms", "cloud"})


async def show(request: web.Request) -> web.Response:
    """GET: what will be asked of Microsoft, and the form that leads there."""
    place, org = place_of(request), await org_of(request)
    policy = org.policy if org is not None else Policy()
    offered, wanted = _clouds(place), request.query.get("cloud", "")
    missing = request.query.get("missing", "")
    values: dict[str, Any] = {
        "has_app": await _has_app(place, offered[0]),
        "redirects": [redirect_uri(place.settings, path) for path in RETURNS],
        "permissions": permissions(policy),
        "times_only": is_times_only(policy),
        "policy": policy,
        "clouds": offered,
        "chosen": wanted if wanted in offered else _present(org, offered),
        "missing": missing if missing in _MISSING else "",
        "connected": org is not None and org.state in {CONNECTED, ATTENTION},
    }
    return await page(request, "microsoft.html", values, tab="connection")


async def begin(request: web.Request) -> web.Response:
    """POST: the terms are accepted; on to Microsoft's sign-in."""
    place, filled = place_of(request), await form(request)
    chosen = filled.get("cloud")
    if chosen not in _clouds(place):
        return _again({"missing": "cloud"})
    if place.settings.terms and not filled.ticked("terms"):
        return _again({"missing": "terms", "cloud": chosen})
    limits.spend(request, limits.SIGN_INS)
    try:
        address = await _begun(request, chosen)
    except JourneyRefused as refusal:
        told = {"reason": refusal.reason, "code": refusal.code}
        return await page(request, "microsoft_refused.html", told, tab="connection", status=refusal.status)
    if place.settings.terms:
        await _accepted(request)
    return web.Response(status=303, headers={"Location": address})


def _again(query: Mapping[str, str]) -> web.Response:
    return web.Response(status=303, headers={"Location": f"{PATH}?{urlencode(query)}"})


async def _begun(request: web.Request, chosen: str) -> str:
    """Return where the admin signs in, the journey being kept. Raises JourneyRefused."""
    place, state = place_of(request), journeys.new_state()
    app = await registration(place, chosen)
    back = redirect_uri(place.settings, SIGNED_IN)
    try:
        async with asyncio.timeout(_PATIENCE):
            begun = await begin_sign_in(place.tokens, app, redirect_uri=back, state=state)
    except IdentityError as error:
        raise of_identity(error.reason, error.code) from None
    except TimeoutError:
        raise JourneyRefused("busy") from None
    journey = Journey(kind="sign_in", cloud=chosen, client_id=app.credential.client_id, flow=begun.flow)
    await journeys.keep(place, visit_of(request), state, journey, now=clock.now())
    return begun.address


async def _accepted(request: web.Request) -> None:
    """Write down which terms were accepted: their version, and the hash of their text."""
    place, visit = place_of(request), visit_of(request)
    said = place.settings
    details = {"version": said.terms_version, "sha256": hashlib.sha256(said.terms.encode()).hexdigest()}
    act = {"chain": visit.org_id, "actor": visit.actor, "action": "terms.accepted"}
    async with place.store.write() as writing:
        await audit.append(place.store, writing, **act, details=details, now=clock.now())


async def waiting(request: web.Request) -> web.Response:
    """GET: the verdict on what was asked for, or that it is still to come; the page looks again by itself."""
    org = await org_of(request)
    if org is None or not isinstance(org.connection, GraphConnection):
        return away(request, PATH)
    if org.state == CONNECTED and not org.pending and org.reason is None:
        return away(request, "/setup/status")
    found = await standing(place_of(request).store, org.org_id, now=clock.now())
    kept = org.state in {CONNECTED, ATTENTION} and not org.pending
    values: dict[str, Any] = {"kept": kept, "phase": phases.phase(found).value, "mark": progress.mark(found)}
    values |= {"slow": org.reason in SLOW, "asked": _is_asked(org), "pieces": pieces}
    return await page(request, "microsoft_waiting.html", values, tab="connection")


async def check_again(request: web.Request) -> web.Response:
    """POST: have the connection that was refused verified once more, as Microsoft may have taken its time."""
    place, visit, org = place_of(request), visit_of(request), await org_of(request)
    if org is None or not isinstance(org.connection, GraphConnection) or not _is_asked(org):
        return away(request, PATH)
    limits.spend(request, limits.TESTS)
    again = partial(orgs.request, org_id=visit.org_id, connection=org.connection, policy=org.policy)
    await again(place.store, actor=visit.actor, now=clock.now())
    place.wakes.verify.set()
    return away(request, microsoft_return.WAITING)


def _is_asked(org: OrgState) -> bool:
    """Say whether the verdict is on the connection kept: of a change that was refused nothing is."""
    return org.state != CONNECTED or org.pending


def _clouds(place: Place) -> tuple[str, ...]:
    return choices(NAMES, sandbox=SANDBOX, has_sandbox=place.desk.sandbox_url.startswith("https://"))


def _present(org: OrgState | None, offered: tuple[str, ...]) -> str:
    """Return the cloud to begin with: the one the org is connected in."""
    present = org.connection.cloud if org is not None and isinstance(org.connection, GraphConnection) else ""
    return present if present in offered else offered[0]


async def _has_app(place: Place, cloud_name: str) -> bool:
    try:
        await registration(place, cloud_name)
    except JourneyRefused:
        return False
    return True


ROUTES: Final = (
    web.get(PATH, show),
    web.post(PATH, begin),
    web.get(microsoft_return.WAITING, waiting),
    web.post(f"{PATH}/again", check_again),
    *microsoft_return.ROUTES,
)
