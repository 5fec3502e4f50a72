"""The Graph client: one answer, complete and of the shape asked for, or a GraphError that says in fixed words why not.

It refuses to send the bearer token to any host but the cloud's own, to follow redirects, and to keep or name bodies.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar

import aiohttp
from msgspec import Raw
from yarl import URL

from shared import clock
from shared.clouds import Cloud
from shared.graph_answers import GraphError, decoded, error_code, pause, shape, user_agent
from shared.graph_batch import MOST_IN_BATCH, WHERE, BatchAnswer, BatchRequest, answers_of, batch_of

__all__ = ["MOST_IN_BATCH", "BatchAnswer", "BatchRequest", "GraphClient", "GraphError", "Session", "answers_of"]

T = TypeVar("T")
Session = aiohttp.ClientSession

BODY_CAP: Final = 64 * 2**20  # a page of 999 events with details is some 5 MB
ERROR_CAP: Final = 64 * 2**10
TIMEOUT: Final = aiohttp.ClientTimeout(total=180, sock_connect=10, sock_read=60)

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_JSON: Final[Mapping[str, str]] = MappingProxyType({"Content-Type": "application/json"})


def open_session(ca_file: str = "", *, connections: int = 64) -> aiohttp.ClientSession:
    """Open the HTTP session that every tenant's client shares; `ca_file` adds a private CA to the system's."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=context, ttl_dns_cache=300, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": user_agent(), "Accept": "application/json"},
        timeout=TIMEOUT,
        trust_env=False,
    )


class GraphClient:
    """Calls to one tenant. `token` gives a bearer token (it may refuse, by raising); `forget` drops a rejected one."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        cloud: Cloud,
        token: Callable[[], Awaitable[str]],
        forget: Callable[[], None],
    ) -> None:
        """Take the shared session and the tenant's way to a token."""
        self._session = session
        self._root = cloud.graph.rstrip("/")
        self._origin = URL(cloud.graph).origin()
        self._token = token
        self._forget = forget

    async def get(self, url: str, kind: type[T], *, headers: Mapping[str, str] = _NONE) -> T:
        """Return one answer decoded into `kind`; `url` is a path with its query, ready encoded, or a nextLink.

        A 401 is tried once more with a fresh token. Raises GraphError, and what `token` raises.
        """
        return await self._call("GET", url, kind, headers=headers)

    async def batch(self, requests: Sequence[BatchRequest]) -> list[BatchAnswer]:
        """Return the answers to at most 20 requests, in the order asked. Raises GraphError if the whole failed."""
        if not requests:
            return []
        answer = await self._call("POST", WHERE, Raw, headers=_JSON, body=batch_of(requests))
        return answers_of([request.id for request in requests], answer)

    async def _call(
        self, method: str, url: str, kind: type[T], *, headers: Mapping[str, str], body: bytes | None = None
    ) -> T:
        target = self._target(url)
        try:
            return await self._once(method, target, kind, headers=headers, body=body)
        except GraphError as error:
            if error.status != 401:
                raise
        self._forget()
        return await self._once(method, target, kind, headers=headers, body=body)

    def _target(self, url: str) -> URL:
        """Return the address to call, verbatim. Raises GraphError for a host that is not the cloud's."""
        if url.startswith("/") and not url.startswith("//"):
            return URL(self._root + url, encoded=True)
        try:
            target = URL(url, encoded=True)
            own = target.origin() == self._origin and target.user is None and target.password is None
        except ValueError:
            own = False
        if not own:
            raise GraphError(status=0, code="foreign_link")
        return target

    async def _once(
        self, method: str, target: URL, kind: type[T], *, headers: Mapping[str, str], body: bytes | None
    ) -> T:
        where = shape(target.path)
        sent = {**headers, "Authorization": f"Bearer {await self._token()}"}
        try:
            async with self._session.request(method, target, headers=sent, data=body, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    raise await _refusal(answer, where)
                if "json" not in answer.content_type:
                    raise GraphError(status=answer.status, code="not_json", url_path=where)
                return decoded(await _body(answer, BODY_CAP, where), kind, where)
        except TimeoutError:  # first: aiohttp's own time-outs are ClientErrors too
            raise GraphError(status=0, code="timeout", url_path=where) from None
        except aiohttp.ClientPayloadError:
            raise GraphError(status=0, code="truncated", url_path=where) from None
        except aiohttp.ClientError:
            raise GraphError(status=0, code="network", url_path=where) from None


async def _body(answer: aiohttp.ClientResponse, cap: int, where: str) -> bytes:
    """Read a body, decompressed, stopping as soon as it outgrows its cap."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > cap:
            raise GraphError(status=answer.status, code="too_large", url_path=where)
        chunks.append(chunk)
    return b"".join(chunks)


async def _refusal(answer: aiohttp.ClientResponse, where: str) -> GraphError:
    ordered = pause(answer.headers.get("Retry-After"), clock.now())
    code = "redirected" if answer.status < 400 else error_code(await _error_body(answer, where))
    return GraphError(status=answer.status, code=code, retry_after=ordered, url_path=where)


async def _error_body(answer: aiohttp.ClientResponse, where: str) -> bytes:
    """Return the body of an error where it can be had: the status alone decides otherwise."""
    try:
        return await _body(answer, ERROR_CAP, where)
    except (GraphError, aiohttp.ClientError, TimeoutError):
        return b""
