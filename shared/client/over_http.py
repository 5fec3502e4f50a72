"""Edge: the publisher's HTTP as a follower uses it: snapshot, change feed, Server-Sent Events.

It tells what may be tried again (Away) from what may not (Refused, PositionGone), and follows no redirect: the token
goes nowhere but to the address given.
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from shared.client.errors import Away, PositionGone, Refused, Unreadable
from shared.client.frames import Frame, Frames
from shared.client.updates import Update, opened, update_of
from shared.contracts.public import AvailabilityUpdated

SILENCE = 60.0  # seconds without a byte, not even a heartbeat, after which a connection counts as lost
PATIENCE = 30.0  # seconds for any other answer
PAGE = 500
GONE = 410


class Http(Struct, frozen=True, kw_only=True):
    """Where the publisher answers (https://busyline.example), as whom, and of which orgs one wants to hear.

    Without orgs updates of every org in the token's scope come. `ca_file` holds the certificates to trust.
    """

    url: str
    token: str
    orgs: tuple[str, ...] = ()
    ca_file: str = ""

    def __repr__(self) -> str:
        """Keep the token out of logs."""
        return f"Http(url={self.url!r}, orgs={self.orgs!r})"


class Batch(Struct, frozen=True, kw_only=True):
    """Updates in order, and the position reached with them; `more` where others wait already."""

    updates: tuple[Update, ...]
    position: int | None
    more: bool = False


class Entry(Struct, frozen=True, kw_only=True):
    """What a snapshot says of one mailbox over its whole window; every update of it up to `position` is in it."""

    position: int
    held: AvailabilityUpdated


class SnapshotPage(Struct, frozen=True, kw_only=True):
    """One page of a snapshot; `position` is where to go on once all of it is taken, `cursor` None on the last one."""

    position: int
    entries: tuple[Entry, ...]
    cursor: str | None


class Talk:
    """Requests to one publisher, over one pool of connections."""

    def __init__(self, session: aiohttp.ClientSession, http: Http) -> None:
        """Take the pool and where it leads."""
        self._session = session
        self._http = http

    async def snapshot(self, org_id: str, cursor: str | None = None) -> SnapshotPage:
        """Return one page of an org's snapshot. Raises Away, Refused, Unreadable."""
        query = [("limit", str(PAGE)), *([("cursor", cursor)] if cursor else [])]
        page = await self._json(f"/v1/orgs/{org_id}/snapshot", query)
        try:
            entries = tuple(_entry(each) for each in page["mailboxes"])
            return SnapshotPage(position=int(page["position"]), entries=entries, cursor=page["next"])
        except (KeyError, TypeError, ValueError):  # msgspec.ValidationError is one
            raise Unreadable("not_a_snapshot") from None

    async def updates(self, orgs: Sequence[str], after: int) -> Batch:
        """Return the next updates of these orgs after a position. Raises Away, Refused, PositionGone, Unreadable."""
        page = await self._json("/v1/updates", [("after", str(after)), ("limit", str(PAGE)), *_named(orgs)])
        try:
            told = (update_of(msgspec.json.encode(each)) for each in page["updates"])
            updates = tuple(each for each in told if each is not None)
            return Batch(updates=updates, position=int(page["position"]), more=bool(page["more"]))
        except (KeyError, TypeError, ValueError):
            raise Unreadable("not_a_page_of_updates") from None

    async def stream(self, orgs: Sequence[str], after: int | None) -> AsyncGenerator[Batch, None]:
        """Yield what comes of these orgs, of all in scope where none is named, until the server ends the stream.

        A batch may only move the position on. Raises Away, Refused, PositionGone, Unreadable.
        """
        headers = {"Accept": "text/event-stream"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        frames = Frames()
        async with self._asked("/v1/stream", _named(orgs), headers, _endless()) as answer:
            async for chunk in answer.content.iter_any():
                yield _batch(frames.feed(chunk))

    async def _json(self, path: str, query: list[tuple[str, str]]) -> dict[str, Any]:
        async with self._asked(path, query, {}, aiohttp.ClientTimeout(total=PATIENCE)) as answer:
            try:
                return msgspec.json.decode(await answer.read(), type=dict[str, Any])
            except msgspec.MsgspecError:
                raise Unreadable("not_json") from None

    @asynccontextmanager
    async def _asked(
        self, path: str, query: list[tuple[str, str]], headers: dict[str, str], patience: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self._http.url.rstrip("/") + path
        headers = {"Authorization": f"Bearer {self._http.token}", **headers}
        try:
            asked = self._session.get(url, params=query, headers=headers, timeout=patience, allow_redirects=False)
            async with asked as answer:
                if answer.status != 200:
                    raise _error(answer.status, await answer.content.read(1 << 16), answer.headers.get("Retry-After"))
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Away(f"http_{type(error).__name__}") from None


@asynccontextmanager
async def talking(http: Http) -> AsyncIterator[Talk]:
    """Give a publisher to talk to while the block runs."""
    trusted: Any = ssl.create_default_context(cafile=http.ca_file) if http.ca_file else True
    connector = aiohttp.TCPConnector(ssl=trusted, limit=4)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Talk(session, http)


def _named(orgs: Sequence[str]) -> list[tuple[str, str]]:
    return [("org", each) for each in orgs]


def _endless() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=SILENCE)


def _batch(frames: list[Frame]) -> Batch:
    told = (update_of(frame.data) for frame in frames if frame.data and frame.event != "position")
    last = next((frame.id for frame in reversed(frames) if frame.id), "")
    return Batch(updates=tuple(each for each in told if each is not None), position=_number(last))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _entry(value: dict[str, Any]) -> Entry:
    rest = dict(value)
    return Entry(position=int(rest.pop("position")), held=opened(AvailabilityUpdated, rest))


def _error(status: int, body: bytes, retry_after: str | None) -> Away | Refused | PositionGone:
    """Return what an answer other than 200 means. A refusal that is no problem of ours is a proxy's, and passes."""
    code = _code(body) or ("redirected" if 300 <= status < 400 else "")
    if status == 429 or status >= 500 or not code:
        return Away(code or f"http_{status}", float(_number(retry_after or "") or 0))
    return PositionGone(code) if status == GONE else Refused(code)


def _code(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body, type=dict[str, Any]).get("code", ""))
    except msgspec.MsgspecError:
        return ""
