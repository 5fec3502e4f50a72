"""Stands before every page: who is signed in, that a change comes from a page of ours, and what a failure looks like.

It refuses whoever has no session, every change without the session's token, and to show what went wrong inside.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import ClientConnectionResetError, web

from services.authorizer.console import assets, cookies, links, sessions
from services.authorizer.console.api_problems import Problem, answer, of_error
from services.authorizer.console.forms import sent
from services.authorizer.console.links import LinkRefused
from services.authorizer.console.place import VISIT, Visit, place_of
from services.authorizer.console.rendering import away, bare, page
from services.authorizer.console.returning import is_origin
from shared import clock, logs

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
API: Final = "/setup/api/"
PUBLIC: Final = frozenset({"/", "/livez", "/readyz", "/setup/enter", "/setup/signed-out", "/setup/api/openapi.json"})
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS: Final = frozenset({"same-origin", "none"})  # none: typed or bookmarked, by the browser's own hand
_KNOWN: Final = frozenset({400, 403, 404, 405, 413, 429, 503})
_BEARER: Final = "Bearer "


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure with a designed page, or as problem+json below the API; log what was not foreseen."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return await _refused(request, error)
    except ClientConnectionResetError:
        return web.Response(status=503)  # whoever asked is gone: nobody reads it, and nothing failed
    except Exception as error:
        if request.writer.output_size:  # half of an answer is on its way: aiohttp cuts it off, no page fits into it
            logs.get("authorizer").error("request.failed", **logs.failure(error))
            raise
        return await _refused(request, error)  # `of_error` logs what is not foreseen


async def _refused(request: web.Request, error: Exception) -> web.Response:
    """Return the page, or below the API the problem, of an error, with the headers that say what to do."""
    problem = of_error(error)
    if request.path.startswith(API):
        return answer(problem)
    status, wait = problem.body.status, int(problem.headers.get("Retry-After", "0"))
    shown = status if status in _KNOWN else (400 if status < 500 else 500)
    values = {"error": shown, "wait": wait}
    if status < 500:
        response = await page(request, "error.html", values, status=status)
    else:
        response = bare(request, "error.html", values, status=status)
    response.headers.update(problem.headers)
    return response


@web.middleware
async def signed_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in whoever has a session, or below the API a signed link as a bearer token; show the others the way."""
    if request.match_info.http_exception is not None or is_public(request.path):
        return await handler(request)
    bearer = request.headers.get("Authorization", "")
    if request.path.startswith(API) and bearer:
        found: Visit | sessions.Gone = await _by_link(request, bearer)
    else:
        place = place_of(request)
        live = "text/event-stream" in request.headers.get("Accept", "")  # a page left open is nobody at work
        session_id = cookies.session_id(request)
        found = await sessions.visit(place.store, place.vault, session_id, now=clock.now(), seen=not live)
    if isinstance(found, Visit):
        request[VISIT] = found
        return await handler(request)
    if request.path.startswith(API):
        return answer(Problem(401, "not_signed_in", headers={"WWW-Authenticate": "Bearer"}))
    return _signed_out(request, found)


def is_public(path: str) -> bool:
    """Say whether a path is for everybody."""
    return path in PUBLIC or path.startswith(assets.FOLDER)


async def _by_link(request: web.Request, bearer: str) -> Visit | sessions.Gone:
    """Return the visit of a program that shows a signed link: as often as it likes, unless a browser followed it."""
    place, now = place_of(request), clock.now()
    try:
        link = links.checked(
            bearer.removeprefix(_BEARER),
            keys=place.settings.link_keys,
            public_url=place.settings.public_url,
            return_to=place.settings.return_to,
            now=now,
        )
    except LinkRefused:
        return "none"
    if await sessions.was_followed(place.store, link):
        return "none"  # it lies in a browser's history by now
    return Visit(
        org_id=link.org_id,
        actor=link.actor,
        return_to="",
        csrf="",
        session_hash=sessions.hashed(f"{link.org_id}/{link.actor}"),  # whichever link: what was begun is gone on with
        created_at=link.issued_at,
    )


def _signed_out(request: web.Request, gone: sessions.Gone) -> web.Response:
    response = away(request, "/setup/signed-out" + ("?reason=idle" if gone == "idle" else ""))
    if cookies.session_id(request):
        cookies.forget_session(request, response)
    return response


@web.middleware
async def from_us(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a change that no page of ours sent: by the browser's word, by its origin, by the session's token."""
    if request.method in SAFE or request.match_info.http_exception is not None:
        return await handler(request)
    if not _from_our_origin(request):
        raise web.HTTPForbidden
    visit = request.get(VISIT)
    by_cookie = visit is not None and visit.csrf
    if by_cookie and not await _has_token(request):
        raise web.HTTPForbidden
    if visit is None and "Origin" not in request.headers and "Sec-Fetch-Site" not in request.headers:
        raise web.HTTPForbidden  # nothing proves where it comes from: there is no session whose token could
    return await handler(request)


def _from_our_origin(request: web.Request) -> bool:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site not in _OURS:
        return False
    return origin is None or is_origin(origin, place_of(request).settings.public_url)


async def _has_token(request: web.Request) -> bool:
    token = request.headers.get("X-CSRF-Token") or ""
    if not token and request.content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        posted = (await sent(request)).get("csrf")
        token = posted if isinstance(posted, str) else ""
    return bool(token) and sessions.is_csrf_token(place_of(request).vault, cookies.session_id(request), token)
