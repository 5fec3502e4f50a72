"""Edge: spares clients what they hold already. Good answers to GET bear an ETag, and long ones are compressed.

It refuses to touch what is told in pieces (a stream), and any answer but 200: what shows a secret is made with 201.
"""

import asyncio
import gzip
from hashlib import sha256
from typing import Final

from aiohttp import ETag, hdrs, web

from services.publisher.negotiation import takes_gzip
from services.publisher.operations import Handler

SHORT: Final = 1024  # bytes that are not worth compressing
_AT_ONCE: Final = 1 << 16  # bytes compressed while everybody else waits; more of them beside the loop
_EFFORT: Final = 5
_TYPES: Final = frozenset({"application/json", "text/calendar"})
VARY: Final = "Accept, Accept-Encoding, Authorization"


@web.middleware
async def conditional(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 304 where the client holds the very answer, and compress one that is long for who takes it so."""
    response = await handler(request)
    if not isinstance(response, web.Response) or response.status != 200 or response.content_type not in _TYPES:
        return response
    body = response.body
    if not isinstance(body, bytes):
        return response
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
        tag = ETag(value=sha256(body).hexdigest()[:32], is_weak=True)  # of what it says, however it is coded
        response.headers.update({hdrs.CACHE_CONTROL: "private, no-cache", hdrs.VARY: VARY})
        response.etag = tag
        if _holds(request, tag):
            return _unchanged(response)
    await _compress(request, response, body)
    return response


def _holds(request: web.Request, tag: ETag) -> bool:
    """Compare weakly (RFC 9110, 13.1.2)."""
    return any(held.value in ("*", tag.value) for held in request.if_none_match or ())


def _unchanged(response: web.Response) -> web.Response:
    kept = {name: value for name, value in response.headers.items() if name != hdrs.CONTENT_TYPE}
    return web.Response(status=304, headers=kept)


async def _compress(request: web.Request, response: web.Response, body: bytes) -> None:
    if len(body) <= SHORT:
        return
    response.headers[hdrs.VARY] = VARY
    if not takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        return
    response.body = await asyncio.to_thread(_coded, body) if len(body) > _AT_ONCE else _coded(body)
    response.headers[hdrs.CONTENT_ENCODING] = "gzip"


def _coded(body: bytes) -> bytes:
    return gzip.compress(body, _EFFORT, mtime=0)
