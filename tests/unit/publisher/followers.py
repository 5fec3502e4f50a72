"""Consumers that follow the update log over HTTP, knowing only what they were told; and what they should hold."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout
from sqlalchemy import select

from services.publisher.news import update
from services.publisher.timeline import from_row
from shared.contracts.public import AvailabilityUpdated, MailboxRemoved
from shared.store import Store
from shared.tables import timelines
from tests.unit.publisher.readings import Copy, hourly

Key = tuple[str, str]


class Replica:
    """What a consumer holds of every mailbox, and the position it goes on from; None: it has no idea."""

    def __init__(self) -> None:
        self.position: int | None = None
        self.copies: dict[Key, Copy] = {}
        self.applied: dict[Key, int] = {}  # position of the last update applied, by mailbox
        self.begun: dict[str, int] = {}  # position of the snapshot, by org
        self.seen: Counter[int] = Counter()  # how often each position came

    def apply(self, event: dict[str, Any]) -> None:
        """Apply an update, by the rules of the documentation."""
        position, org_id = int(event["sequence"]), event["orgid"]
        self.seen[position] += 1
        if position <= self.begun.get(org_id, 0):
            return
        if event["type"] == "org.removed.v1":
            self.forget(org_id, upto=position)
            return
        key = org_id, event["data"]["mailbox_id"]
        if position <= self.applied.get(key, 0):
            return
        self.applied[key] = position
        kind = AvailabilityUpdated if event["type"] == "availability.updated.v1" else MailboxRemoved
        self.copies.setdefault(key, Copy()).apply(msgspec.convert(event["data"], type=kind))

    def forget(self, org_id: str, *, upto: int = 1 << 62) -> None:
        """Drop what is held of an org up to a position."""
        for key in [key for key in self.applied if key[0] == org_id and self.applied[key] <= upto]:
            del self.applied[key]
            self.copies.pop(key, None)

    def restart(self, org_id: str, position: int, entries: Iterable[dict[str, Any]]) -> None:
        """Take an org's snapshot in place of what is held of it."""
        self.forget(org_id)
        self.begun[org_id] = position
        for entry in entries:
            key = org_id, entry["mailbox_id"]
            self.applied[key] = entry.pop("position")
            self.copies[key] = Copy()
            self.copies[key].apply(msgspec.convert(entry, type=AvailabilityUpdated))

    @property
    def duplicates(self) -> int:
        """How many updates came more than once."""
        return sum(count - 1 for count in self.seen.values())

    def held(self) -> dict[Key, Any]:
        """Return what is held of each mailbox, to be compared."""
        return {key: plain(copy) for key, copy in self.copies.items() if not copy.removed}


def plain(copy: Copy) -> Any:
    """Return a copy as values; where nothing is known, no more than that."""
    return (copy.window, copy.line, in_order(copy.events)) if copy.known else "unknown"


def in_order(events: Iterable[Any] | None) -> Any:
    """Return events in an order of their own."""
    return None if events is None else sorted(events, key=msgspec.json.encode)


async def published(store: Store, *org_ids: str) -> dict[Key, Any]:
    """Return what a consumer of these orgs should hold: what the publisher has."""
    query = select(timelines).where(timelines.c.org_id.in_(org_ids))
    async with store.read() as connection:
        rows = [from_row(dict(row)) for row in (await connection.execute(query)).mappings()]
    found: dict[Key, Any] = {}
    for timeline in rows:
        if timeline.gone:
            continue
        told = update(timeline, timeline.window)
        known = told.coverage.value == "full"
        state = (timeline.window, hourly(told.busy), in_order(told.events))
        found[timeline.org_id, timeline.mailbox_id] = state if known else "unknown"
    return found


class Follower:
    """A consumer over HTTP with one replica. It can be cut off anywhere and goes on from what it kept."""

    def __init__(self, session: ClientSession, url: str, token: str, *orgs: str) -> None:
        self.session = session
        self.url = url
        self.orgs = orgs  # of which it takes snapshots
        self.replica = Replica()
        self.bearer = {"Authorization": f"Bearer {token}"}
        self.snapshots = 0

    async def get(self, path: str, **query: Any) -> tuple[int, dict[str, Any]]:
        """Ask, and return status and body."""
        asked = {name: str(value) for name, value in query.items()}
        async with self.session.get(self.url + path, params=asked, headers=self.bearer) as response:
            return response.status, await response.json()

    async def begin(self, *, limit: int = 100) -> None:
        """Take a snapshot of every org that is there, and go on from the lowest position."""
        found = [place for each in self.orgs if (place := await self._snapshot(each, limit)) is not None]
        if found:
            self.replica.position = min(found)
        else:
            self._take_page((await self.get("/v1/updates"))[1])  # what is kept begins after what is forgotten

    async def _snapshot(self, org_id: str, limit: int) -> int | None:
        """Take an org's snapshot and return its position; None where there is no such org."""
        self.snapshots += 1
        entries: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": limit}
        while True:
            status, page = await self.get(f"/v1/orgs/{org_id}/snapshot", **query)
            if status == 404:
                self.replica.forget(org_id)
                return None
            if status == 410:
                entries, query = [], {"limit": limit}
                continue
            assert status == 200, page
            entries += page["mailboxes"]
            if page["next"] is None:
                self.replica.restart(org_id, page["position"], entries)
                return int(page["position"])
            query["cursor"] = page["next"]
            await self.between()

    async def between(self) -> None:
        """Be slow between two pages of a snapshot; tests put something here."""

    def _take_page(self, page: dict[str, Any], *, keep: bool = True) -> None:
        for event in page["updates"]:
            self.replica.apply(event)
        if keep:
            self.replica.position = page["position"]

    async def read(self, *, limit: int = 100, keep: bool = True) -> bool:
        """Read a page of the feed; False where it was the last. With `keep` off it is cut before it could note it."""
        if self.replica.position is None:
            await self.begin()
        status, page = await self.get("/v1/updates", after=self.replica.position, limit=limit)
        if status == 410:
            await self.begin()
            return True
        assert status == 200, page
        self._take_page(page, keep=keep)
        return bool(page["more"])

    async def listen(self, *, most: int, quiet: int = 2) -> None:
        """Read a stream until so many bytes or heartbeats came, and cut it there."""
        if self.replica.position is None:
            await self.begin()
        headers = self.bearer | {"Last-Event-ID": str(self.replica.position)}
        forever = ClientTimeout(total=None, sock_read=30)
        async with self.session.get(f"{self.url}/v1/stream", headers=headers, timeout=forever) as response:
            if response.status == 410:
                await self.begin()
                return
            assert response.status == 200, await response.text()
            async for fields in frames(response.content.iter_any(), most=most):
                quiet -= not fields
                self.take(fields)
                if quiet <= 0:
                    break
            response.close()

    def take(self, fields: dict[str, str]) -> None:
        """Take one server-sent event: apply what it tells, then note its id."""
        if fields.get("event", "position") != "position":
            self.replica.apply(json.loads(fields["data"]))
        if "id" in fields:
            self.replica.position = int(fields["id"])


async def frames(chunks: AsyncIterator[bytes], *, most: int = 1 << 62) -> AsyncIterator[dict[str, str]]:
    """Yield the fields of each whole server-sent event within so many bytes; of a comment there are none."""
    held = b""
    try:
        async for chunk in chunks:
            held += chunk[:most]
            most -= len(chunk)
            *whole, held = held.split(b"\n\n")
            for frame in whole:
                yield dict(line.split(": ", 1) for line in frame.decode().split("\n") if not line.startswith(":"))
            if most <= 0:
                return
    except (ClientError, OSError):
        return
