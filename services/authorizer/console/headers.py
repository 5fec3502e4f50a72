"""Decides the headers that every response bears: no script but ours, no frame, no cache, no guessing of types."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from services.authorizer.console.place import SetupSettings
from services.authorizer.console.returning import origin
from shared.clouds import NAMES, SANDBOX, cloud

_YEAR: Final = 365 * 86_400
_OFF: Final = (
    "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone", "midi",
    "payment", "usb",
)  # fmt: skip


def policy(form_targets: Sequence[str]) -> str:
    """Return the Content-Security-Policy; forms may lead to `form_targets`: a browser looks at redirects as well."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            " ".join(("form-action 'self'", *form_targets)),
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )


def form_targets(settings: SetupSettings, sandbox_url: str) -> list[str]:
    """Return where a form may lead: Microsoft's sign-in pages, and the addresses that may be returned to."""
    logins = {cloud(name).login for name in NAMES if name != SANDBOX}
    if sandbox_url:
        logins.add(cloud(SANDBOX, sandbox_url=sandbox_url).login)
    return sorted(logins | {origin(address) for address in settings.return_to})


def bear(settings: SetupSettings, sandbox_url: str) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return what puts the headers on each response as it begins."""
    fixed = {
        "Content-Security-Policy": policy(form_targets(settings, sandbox_url)),
        "X-Content-Type-Options": "nosniff",
        # not no-referrer: under that browsers send `Origin: null` with our own forms (Fetch, 3.2.7)
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": ", ".join(f"{name}=()" for name in _OFF),
        "Server": "busyline",
    }
    if settings.public_url.startswith("https://"):
        fixed["Strict-Transport-Security"] = f"max-age={_YEAR}"

    async def put(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(fixed)
        response.headers.setdefault("Cache-Control", "no-store")

    return put
