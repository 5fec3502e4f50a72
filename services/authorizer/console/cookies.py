"""The setup page's two cookies: the session's, and the notice that the next page shows once.

Over https their names begin with `__Host-`: no other host, and no page over http, can set them (RFC 6265bis, 4.1.3).
"""

from typing import Final

from aiohttp import web

from services.authorizer.console.place import place_of

_HOST: Final = "__Host-"
_SESSION: Final = "busyline"
_NOTICE: Final = "busyline-notice"
_NOTICE_SECONDS: Final = 60


def session_id(request: web.Request) -> str:
    """Return the id in a browser's cookie, empty where there is none."""
    return request.cookies.get(name(request, _SESSION), "")


def keep_session(request: web.Request, response: web.Response, session_id: str) -> None:
    """Let the browser keep a session until it is closed."""
    _keep(request, response, _SESSION, session_id, None)


def forget_session(request: web.Request, response: web.Response) -> None:
    """Let the browser forget its session."""
    _keep(request, response, _SESSION, "", 0)


def notice(request: web.Request) -> str:
    """Return the key of the text to show once, as the browser tells it: it may be anything."""
    return request.cookies.get(name(request, _NOTICE), "")


def keep_notice(request: web.Request, response: web.Response, key: str) -> None:
    """Let the next page show a text once."""
    _keep(request, response, _NOTICE, key, _NOTICE_SECONDS)


def forget_notice(request: web.Request, response: web.Response) -> None:
    """Show it no more."""
    _keep(request, response, _NOTICE, "", 0)


def name(request: web.Request, plain: str = _SESSION) -> str:
    """Return a cookie's name here; over plain http, on this machine alone, browsers do not all take the better one."""
    return (_HOST if _secure(request) else "") + plain


def _secure(request: web.Request) -> bool:
    return place_of(request).settings.public_url.startswith("https://")


def _keep(request: web.Request, response: web.Response, plain: str, value: str, max_age: int | None) -> None:
    response.set_cookie(
        name(request, plain),
        value,
        max_age=max_age,
        path="/",
        secure=_secure(request),
        httponly=True,
        samesite="Lax",  # Microsoft and the platform lead here by a link, and the session must be seen then
    )
