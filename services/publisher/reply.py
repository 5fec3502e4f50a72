"""Writes an answer: JSON from a closed public value, and the headers that every response bears."""

import msgspec
from aiohttp import web

from shared.contracts.public import PublicMessage

_ENCODER = msgspec.json.Encoder()


def reply(value: PublicMessage) -> web.Response:
    """Return a public value as a JSON response."""
    return web.Response(body=_ENCODER.encode(value), content_type="application/json")


async def bear_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Forbid caching and guessing of types, and name no software."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "busyline"
