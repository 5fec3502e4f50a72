"""The sandbox as a client: posts to notification addresses over connections that are kept.

It follows no redirect, reads no more of an answer than it needs, and turns every failure into a status of 0.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from msgspec import Struct
from yarl import URL

_MOST_READ = 8192
_CONNECTIONS = 64


class Reply(Struct, frozen=True, kw_only=True):
    """What an address answered; status 0 where nothing came in time."""

    status: int = 0
    content_type: str = ""
    body: bytes = b""


class Letter(Struct, frozen=True, kw_only=True):
    """One POST: an address whose query is encoded already, and how many seconds it may take."""

    url: str
    body: bytes
    content_type: str
    seconds: float


Post = Callable[[Letter], Awaitable[Reply]]


class Poster:
    """Posts, with one session for everything, made when it is first needed."""

    def __init__(self, *ca_files: Path | None) -> None:
        """Take further authorities to trust, where such files exist."""
        self._ca_files = ca_files
        self._session: aiohttp.ClientSession | None = None

    async def post(self, letter: Letter) -> Reply:
        """Post a letter and return the answer. Never raises."""
        session = self._session = self._session or self._opened()
        limit = aiohttp.ClientTimeout(total=letter.seconds)
        try:
            async with session.post(
                URL(letter.url, encoded=True),
                data=letter.body,
                headers={"Content-Type": letter.content_type},
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                body = await answer.content.read(_MOST_READ)
                return Reply(status=answer.status, content_type=answer.content_type, body=body)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return Reply()

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # lets the transports say goodbye

    def _opened(self) -> aiohttp.ClientSession:
        trust = ssl.create_default_context()
        for path in self._ca_files:
            if path is not None and path.is_file():
                trust.load_verify_locations(cafile=str(path))
        connector = aiohttp.TCPConnector(ssl=trust, limit=0, limit_per_host=_CONNECTIONS, keepalive_timeout=30)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        )
