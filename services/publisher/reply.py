"""Writes an answer: JSON from a closed public value, and the headers that every response bears."""

import msgspec
from aiohttp import hdrs, web

from shared.contracts.public import PublicMessage

_ENCODER = msgspec.json.Encoder()


def reply(value: PublicMessage, *, status: int = 200) -> web.Response:
    """Return a public value as a JSON response; one that shows a secret is made with 201, which nobody keeps."""
    return web.Response(status=status, body=_ENCODER.encode(value), content_type="application/json")


async def bear_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Forbid keeping it, unless something else was said of it, and guessing of types; name no software."""
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "busyline"
