"""An organisation on an Exchange server under trial: everything in one process around the sandbox, what was asked."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from sqlalchemy import select, update

from deploy.sandbox import SandboxOptions
from deploy.sandbox.calendar import Item
from services.authorizer import orgs as authorizer_orgs
from services.authorizer.orgs import OrgState
from services.authorizer.settings import Settings as AuthorizerSettings
from services.fetcher.settings import Settings as FetcherSettings
from shared import clock
from shared.contracts.messages import Connection, EwsConnection, OrgConnected, PolicyChanged
from shared.contracts.policy import Detail, Policy
from shared.tables import mailboxes, timelines
from tests.pipeline.embedded import Embedded, Wanted, embedded, way_in
from tests.waiting import until

HOUR = 3600
FREE_BUSY = Policy(poll_seconds=3600)
DETAILS = Policy(detail=Detail.DETAILS, poll_seconds=3600)
OFTEN = 1  # seconds between two polls
READING = ("SyncFolderItems", "FindItem", "GetItem", "GetUserAvailability")


class Organisation:
    """What runs, and what tests want to know of its one organisation."""

    def __init__(self, here: Embedded, log: StringIO, passed: list[bytes]) -> None:
        self.here = here
        self.scene = here.scene
        self.sandbox = here.sandbox
        self.store = here.rim.store
        self.broker = here.rim.broker
        self.log = log
        self.passed = passed

    def addresses(self) -> list[str]:
        return sorted(person.address for person in self.sandbox.mailboxes())

    def asked(self) -> Counter[str]:
        """Return how often each operation that reads was asked for."""
        kinds = self.sandbox.requests.kinds
        return Counter({name: kinds[f"EWS {name}"] for name in READING if kinds[f"EWS {name}"]})

    def failed_sign_ins(self) -> int:
        return self.sandbox.state.ews.failed_sign_ins.total()

    async def org(self) -> OrgState:
        found = await authorizer_orgs.org(self.store, self.scene.org_id)
        assert found is not None
        return found

    async def stands(self, state: str, *, seconds: float = 20) -> OrgState:
        """Wait until the organisation stands so."""

        async def so() -> bool:
            found = await authorizer_orgs.org(self.store, self.scene.org_id)
            return found is not None and found.state == state and not found.pending

        await until(so, seconds)
        return await self.org()

    async def connect(self, connection: Connection, *, policy: Policy | None = None) -> None:
        """Say, as a platform would, that the organisation is connected so."""
        self.scene.policy = policy or self.scene.policy
        asked = OrgConnected(org_id=self.scene.org_id, connection=connection, policy=self.scene.policy)
        await self.broker.publish([asked])

    async def under(self, policy: Policy) -> None:
        """Put another policy in force."""
        before, self.scene.policy = (await self.org()).generation, policy
        await self.broker.publish([PolicyChanged(org_id=self.scene.org_id, policy=policy)])

        async def risen() -> bool:
            return (await self.org()).generation > before

        await until(risen)

    def way_in(self, **fields: Any) -> EwsConnection:
        """Return the connection, with fields of it changed."""
        connection = way_in(self.sandbox, "ews", self.scene.org_id)[1]
        assert isinstance(connection, EwsConnection)
        return replace(connection, **fields)

    async def rows(self) -> dict[str, Any]:
        """Return the row of every mailbox that has not left, by address."""
        here = (mailboxes.c.org_id == self.scene.org_id, mailboxes.c.bucket != "removed")
        query = select(mailboxes).where(*here)
        async with self.store.read() as connection:
            return {row.address: row for row in await connection.execute(query)}

    async def buckets(self) -> dict[str, tuple[str, str | None]]:
        return {address: (row.bucket, row.reason) for address, row in (await self.rows()).items()}

    async def settled(self, *, within: float = 30) -> None:
        """Wait until what is published is what the calendars say, and nobody reads."""
        await self.scene.agrees(within=within)
        await until(self.at_rest, within)

    async def at_rest(self) -> bool:
        return not any(row.lease_id or row.dirty or row.version == 0 for row in await self._active())

    async def make_due(self) -> dict[str, int]:
        """Let every active mailbox be due now; return the versions of their readings so far, by id."""
        rows = await self._active()
        before, last = {row.mailbox_id: row.version for row in rows}, max(row.read_at or 0 for row in rows)
        await until(lambda: clock.now() > last)  # a reading of the same second would answer
        here = (mailboxes.c.org_id == self.scene.org_id) & mailboxes.c.mailbox_id.in_(before)
        async with self.store.write() as connection:
            await connection.execute(update(mailboxes).where(here).values(due_at=clock.now()))
        return before

    async def read_again(self) -> None:
        """Let every active mailbox be due now, and wait until each was looked at since."""
        before = await self.make_due()

        async def done() -> bool:
            rows = [row for row in await self._active() if row.mailbox_id in before]
            return all(row.version > before[row.mailbox_id] and not row.lease_id for row in rows)

        await until(done)

    async def _active(self) -> list[Any]:
        return [row for row in (await self.rows()).values() if row.bucket == "active"]

    async def table(self, name: str) -> list[Any]:
        """Return all rows of a table."""
        async with self.store.read() as connection:
            return list(await connection.execute(select(timelines.metadata.tables[name])))

    async def holding(self, word: str) -> list[str]:
        """Return the tables in which a word is found."""
        async with self.store.read() as connection:
            tables = timelines.metadata.sorted_tables
            kept = {each.name: (await connection.execute(select(each))).all() for each in tables}
        return [name for name, rows in kept.items() if word in whole(rows)]


def whole(rows: Iterable[Any]) -> str:
    """Return rows as one text with nothing left out: a row's own is cut in the middle."""
    return repr([tuple(row) for row in rows])


def meeting(hours: int, **more: Any) -> Item:
    """Return a meeting of an hour, so many hours from this one."""
    start = clock.now() - clock.now() % HOUR + hours * HOUR
    return Item(item_id="", start=start, end=start + HOUR, **{"show_as": "busy"} | more)


@asynccontextmanager
async def organisation(
    folder: Path,
    *,
    policy: Policy = FREE_BUSY,
    fetcher: FetcherSettings | None = None,
    connects: bool = True,
    provider: str = "ews",
    **sandbox: Any,
) -> AsyncIterator[Organisation]:
    """Give an organisation that was read once; one that does not connect is not waited for."""
    log, passed = StringIO(), list[bytes]()

    def tap(where: str, body: bytes, headers: Mapping[str, object]) -> None:
        passed.append(where.encode() + body + repr(headers).encode())

    wanted = Wanted(
        folder=folder,
        sandbox=SandboxOptions(folder=folder, **{"mailboxes": 6, "events": 8} | sandbox),
        policy=policy,
        provider=provider,
        hints=provider == "graph",
        authorizer=AuthorizerSettings(),
        fetcher=fetcher or FetcherSettings(),
        log=log,
        tap=tap,
    )
    async with embedded(wanted) as here:
        made = Organisation(here, log, passed)
        if connects:
            await made.settled()
        yield made
