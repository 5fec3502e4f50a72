"""Decides whether a request may ask about an org: by its bearer token and the scope behind it.

It refuses to tell an org outside the scope from one that does not exist.
"""

from aiohttp import web
from msgspec import Struct
from sqlalchemy import select

from services.publisher.consumers import Known, bearer_of
from services.publisher.problems import Problem
from shared.connections import DISCONNECTING
from shared.contracts.values import ORG_ID, Instant
from shared.reach import reached
from shared.store import Store
from shared.tables import orgs

STORE: web.AppKey[Store] = web.AppKey("store", Store)
KNOWN = web.RequestKey("known", Known)  # who asks, as the gate found it
COUNTED = web.RequestKey("counted", tuple[str, str])  # whose access it is, about which org, where no token says so
CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Org(Struct, frozen=True, kw_only=True):
    """The org a request asks about, as its row stands. What generations before `shown_from` read is not shown."""

    org_id: str
    generation: int
    state: str
    reason: str | None
    sentence: str | None
    connected_at: Instant | None
    shown_from: int


async def org_asked(request: web.Request) -> Org:
    """Return the org in a request's path.

    Raises Problem: 401 without a good token, 404 for an org absent or outside the token's scope.
    """
    return await _org_for(request, await bearer(request))


async def org_asked_anew(request: web.Request) -> Org:
    """Return the same, token and org as they stand now: for whoever let time pass, for a body is slow to come at will.

    Raises Problem: 401 and 404.
    """
    return await _org_for(request, await bearer_anew(request))


async def _org_for(request: web.Request, known: Known) -> Org:
    org_id = request.match_info["org"]
    async with reached():
        askable = known.may_ask(org_id) and ORG_ID.fullmatch(org_id)
        found = await org_of(request.app[STORE], org_id) if askable else None
    if found is None:
        raise org_unknown()
    return found


async def bearer(request: web.Request) -> Known:
    """Return who asks, as its row stood when the request came. Raises Problem 401 without a good token."""
    found = request.get(KNOWN)
    return await bearer_anew(request) if found is None else found


async def bearer_anew(request: web.Request) -> Known:
    """Return who asks, as its row stands now: for whoever let time pass. Raises Problem 401 without a good token."""
    async with reached():
        known = await bearer_of(request.app[STORE], token_of(request))
    if known is None:
        raise unauthorized()
    return known


def unauthorized() -> Problem:
    """Return the problem of a token that is not valid, or not any more."""
    return Problem(401, "unauthorized", title="A valid bearer token is needed", headers=CHALLENGE)


def org_unknown() -> Problem:
    """Return the problem of an org that does not exist, or not for who asks."""
    return Problem(404, "org_unknown", title="There is no such org")


def token_of(request: web.Request) -> str:
    """Return the bearer token a request brings, or an empty string."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def org_of(store: Store, org_id: str) -> Org | None:
    """Return an org's row, or None where there is none or it is leaving; who may see it is the caller's to know."""
    columns = (orgs.c[name] for name in Org.__struct_fields__)
    query = select(*columns).where(orgs.c.org_id == org_id, orgs.c.state != DISCONNECTING)
    async with store.read() as connection:
        row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else Org(**row)
