"""Where Microsoft leads an admin back: signed in, then consented. The tenant is that of the validated ID token.

It refuses whatever proves nothing: a state that is not this session's, a token that does not hold, a role that may not
consent, a consent for another tenant. What counts then is a real token and a real read: the authorizer verifies.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Final

from aiohttp import web

from services.authorizer import audit, orgs
from services.authorizer.console import microsoft_journeys as journeys
from services.authorizer.console.microsoft_app import CONSENTED, SIGNED_IN, app_of, redirect_uri
from services.authorizer.console.microsoft_journeys import Journey
from services.authorizer.console.microsoft_rules import (
    UNTOLD,
    JourneyRefused,
    Kind,
    of_identity,
    role,
    see_consent,
    see_error,
)
from services.authorizer.console.place import place_of, visit_of
from services.authorizer.console.rendering import away, org_of, page
from shared import clock, logs
from shared.connections import IN_FORCE
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.errors import Retry
from shared.id_tokens import IdClaims
from shared.identity import IdentityError
from shared.sign_in import Registration, consent_address, finish_sign_in

WAITING: Final = "/setup/connect/microsoft/waiting"
_PATIENCE: Final = 30.0  # seconds that Microsoft is asked for

Handler = Callable[[web.Request], Awaitable[web.Response]]


def _told(handler: Handler) -> Handler:
    """Let a journey that ends be told of on a page of its own."""

    @wraps(handler)
    async def answered(request: web.Request) -> web.Response:
        if "prefetch" in request.headers.get("Sec-Purpose", ""):
            raise web.HTTPServiceUnavailable  # a browser that reads ahead must not use the state up
        try:
            return await handler(request)
        except JourneyRefused as refusal:
            told = {"reason": refusal.reason, "code": refusal.code}
            logs.get("authorizer").warning("journey.refused", reason=refusal.reason, status=refusal.code)
            return await page(request, "microsoft_refused.html", told, tab="connection", status=refusal.status)

    return answered


@_told
async def signed_in(request: web.Request) -> web.Response:
    """GET /setup/microsoft/signed-in: who signed in, and on to the consent of their tenant."""
    journey = await _journey(request, "sign_in")
    app = await app_of(place_of(request), journey)
    try:
        see_error(request.query)
        claims = await _claims(request, app, journey)
        named = role(claims.wids)
        if named == UNTOLD:
            await _see_ours(request, claims)
    except JourneyRefused as refusal:
        await _note(request, "microsoft.sign_in_refused", reason=refusal.reason, code=refusal.code)
        raise
    await _note(request, "microsoft.signed_in", role=named)
    return await _to_consent(request, app, claims, named=named)


async def _journey(request: web.Request, kind: Kind) -> Journey:
    state = request.query.get("state", "")
    return await journeys.take(place_of(request), visit_of(request), state, kind, now=clock.now())


async def _claims(request: web.Request, app: Registration, journey: Journey) -> IdClaims:
    """Return who signed in. Raises JourneyRefused."""
    tokens = place_of(request).tokens
    try:
        async with asyncio.timeout(_PATIENCE):
            return await finish_sign_in(tokens, app, flow=journey.flow, query=request.query, now=clock.now())
    except IdentityError as error:
        raise of_identity(error.reason, error.code) from None
    except TimeoutError:
        raise JourneyRefused("busy") from None


async def _see_ours(request: web.Request, claims: IdClaims) -> None:
    """See that who signed in without a role told is of the tenant that the org is connected to. Raises JourneyRefused.

    The consent proves no role: anybody of a tenant could sign in, write its redirect by hand, and wait until an admin
    has consented for another org.
    """
    org = await org_of(request)
    if org is None or org.state not in IN_FORCE or org.tenant_id != claims.tid:
        raise JourneyRefused("role_unproven")


async def _to_consent(request: web.Request, app: Registration, claims: IdClaims, *, named: str) -> web.Response:
    place, state, client_id = place_of(request), journeys.new_state(), app.credential.client_id
    journey = Journey(kind="consent", cloud=app.cloud.name, client_id=client_id, tenant_id=claims.tid, role=named)
    await journeys.keep(place, visit_of(request), state, journey, now=clock.now())
    back = redirect_uri(place.settings, CONSENTED)
    address = consent_address(app.cloud, client_id, tenant_id=claims.tid, redirect_uri=back, state=state)
    return web.Response(status=303, headers={"Location": address})


@_told
async def consented(request: web.Request) -> web.Response:
    """GET /setup/microsoft/consented: the tenant's admin said yes or no; a yes is verified by the authorizer."""
    journey = await _journey(request, "consent")
    app = await app_of(place_of(request), journey)
    try:
        see_consent(request.query, journey.tenant_id)
        await _request(request, GraphConnection(tenant_id=journey.tenant_id, cloud=app.cloud.name))
    except JourneyRefused as refusal:
        await _note(request, "microsoft.consent_refused", reason=refusal.reason, code=refusal.code)
        raise
    return away(request, WAITING)


async def _request(request: web.Request, connection: GraphConnection) -> None:
    """Ask for the org to be connected, as the admin who is signed in. Raises JourneyRefused."""
    place, visit, org = place_of(request), visit_of(request), await org_of(request)
    policy = org.policy if org is not None else Policy()
    wanted = partial(orgs.request, org_id=visit.org_id, connection=connection, policy=policy)
    try:
        heard = await wanted(place.store, actor=visit.actor, now=clock.now())
    except Retry:
        raise JourneyRefused("purge_under_way") from None
    if not heard:
        raise JourneyRefused("overtaken")
    place.wakes.verify.set()


async def _note(request: web.Request, action: str, **details: str | int) -> None:
    """Write into the org's chain, as the admin who is signed in; never a tenant, never a person of it."""
    place, visit = place_of(request), visit_of(request)
    act = {"chain": visit.org_id, "actor": visit.actor, "action": action}
    async with place.store.write() as writing:
        await audit.append(place.store, writing, **act, details=details, now=clock.now())


ROUTES: Final = (
    web.get(SIGNED_IN, signed_in, allow_head=False),  # a HEAD would use the state up
    web.get(CONSENTED, consented, allow_head=False),
)
