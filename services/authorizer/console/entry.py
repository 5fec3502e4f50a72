"""The entrance and the way out: a platform's link opens a session, a button ends it.

It refuses every link but a fresh, well-signed one for an IT admin, each with its own page; one for another org than the
one signed in asks first.
"""

from typing import Final

from aiohttp import web

from services.authorizer.console import cookies, links, sessions
from services.authorizer.console.forms import form
from services.authorizer.console.links import Link, LinkRefused
from services.authorizer.console.place import Visit, place_of, visit_of
from services.authorizer.console.rendering import away, page
from shared import clock, logs
from shared.contracts.values import Instant

_STATUS: Final = {"role": 403}


async def enter(request: web.Request) -> web.Response:
    """GET /setup/enter?link=...: sign in by a link."""
    if "prefetch" in request.headers.get("Sec-Purpose", ""):
        raise web.HTTPServiceUnavailable  # a browser that reads ahead must not use the link up
    token = request.query.get("link", "")
    try:
        return await _entered(request, token, sure=False)
    except LinkRefused as refusal:
        return await _refused(request, refusal)


async def enter_instead(request: web.Request) -> web.Response:
    """POST /setup/enter: sign in by a link for another org, or as somebody else, than is signed in."""
    try:
        return await _entered(request, (await form(request)).get("link"), sure=True)
    except LinkRefused as refusal:
        return await _refused(request, refusal)


async def _entered(request: web.Request, token: str, *, sure: bool) -> web.Response:
    place, now = place_of(request), clock.now()
    told = place.settings
    link = links.checked(token, keys=told.link_keys, public_url=told.public_url, return_to=told.return_to, now=now)
    visit = await _present(request, now)
    if visit is not None and (visit.org_id, visit.actor) != (link.org_id, link.actor) and not sure:
        return await page(request, "enter_other.html", {"link": link, "token": token, "present": visit})
    return await _begun(request, link, now)


async def _present(request: web.Request, now: Instant) -> Visit | None:
    place = place_of(request)
    found = await sessions.visit(place.store, place.vault, cookies.session_id(request), now=now)
    return found if isinstance(found, Visit) else None


async def _begun(request: web.Request, link: Link, now: Instant) -> web.Response:
    opened = await sessions.begin(place_of(request).store, link, former=cookies.session_id(request), now=now)
    response = away(request, "/setup")
    cookies.keep_session(request, response, opened.session_id)
    logs.get("authorizer").info("session.begun", org_id=link.org_id)
    return response


async def _refused(request: web.Request, refusal: LinkRefused) -> web.Response:
    logs.get("authorizer").warning("link.refused", reason=refusal.reason)
    return await page(request, "link_refused.html", {"reason": refusal.reason}, status=_STATUS.get(refusal.reason, 400))


async def sign_out(request: web.Request) -> web.Response:
    """POST /setup/sign-out: end the session; back to the platform where the link named a way back."""
    visit = visit_of(request)
    await sessions.end(place_of(request).store, visit.session_hash)
    if visit.return_to:
        response = web.Response(status=303, headers={"Location": visit.return_to})
    else:
        response = away(request, "/setup/signed-out?reason=out")
    cookies.forget_session(request, response)
    return response


async def signed_out(request: web.Request) -> web.Response:
    """GET /setup/signed-out: nobody is signed in, why, and how to come in."""
    reason = request.query.get("reason", "")
    return await page(request, "signed_out.html", {"reason": reason if reason in {"idle", "out"} else "none"})


ROUTES: Final = (
    web.get("/setup/enter", enter, allow_head=False),  # a HEAD would use the link up
    web.post("/setup/enter", enter_instead),
    web.post("/setup/sign-out", sign_out),
    web.get("/setup/signed-out", signed_out),
)
