"""Edge: how an org stands, counted from the rows there are: its mailboxes by cause, how far reading is, how fresh.

It judges nothing, and reads no content of any calendar.
"""

from typing import Any, Final

from msgspec import Struct
from sqlalchemy import and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.authorizer import leaving, orgs
from services.authorizer.orgs import OrgState
from services.authorizer.purging import Purge
from shared.contracts.values import Bucket, Coverage, Instant
from shared.store import Store
from shared.tables import enumerations, mailboxes, policies, timelines
from shared.tables import orgs as organisations

_PROMPT: Final = 600  # seconds after a generation began within which its first search does; later ones are daily
_ACTIVE: Final = mailboxes.c.bucket == Bucket.ACTIVE.value


class Cause(Struct, frozen=True, kw_only=True):
    """So many mailboxes are in a bucket for a reason (a fixed word; empty where none is given)."""

    bucket: Bucket
    reason: str
    count: int


class Search(Struct, frozen=True, kw_only=True):
    """The last search for the org's mailboxes, made under the present generation (`current`), as its first (`first`).

    `error` is its last trouble, a fixed word. `held` of `held_of` mailboxes would be removed, which waits for a word.
    """

    current: bool
    first: bool
    started_at: Instant
    finished_at: Instant | None = None
    error: str = ""
    held: int = 0
    held_of: int = 0


class Standing(Struct, frozen=True, kw_only=True):
    """How an org stands at `now`. `org` is None where it is not known (any more); `purge` is its last disconnection.

    `causes` count every object of the directory once. Of the active ones `read` were read under the present
    generation; `oldest` and `median` say when they were read last. `waiting` counts, by fixed words, those whose
    reading is to be tried again. `uncovered`: of an active one nothing is published yet.
    """

    now: Instant
    org: OrgState | None = None
    purge: Purge | None = None
    causes: tuple[Cause, ...] = ()
    waiting: dict[str, int] = {}
    read: int = 0
    oldest: Instant | None = None
    median: Instant | None = None
    uncovered: bool = False
    search: Search | None = None
    verify_at: Instant | None = None
    left: dict[str, int] = {}

    def in_bucket(self, *buckets: Bucket) -> int:
        """Return how many mailboxes are in these buckets."""
        return sum(cause.count for cause in self.causes if cause.bucket in buckets)

    @property
    def to_read(self) -> int:
        """How many mailboxes are read."""
        return self.in_bucket(Bucket.ACTIVE)


async def standing(store: Store, org_id: str, *, now: Instant) -> Standing:
    """Return how an org stands; of one that is leaving, what is left of it."""
    state = await orgs.org(store, org_id)
    async with store.read() as reading:
        purge = await leaving.latest(reading, org_id)
        if state is None or (purge is not None and purge.ended_at is None):
            left = await leaving.held(reading, org_id) if purge is not None and purge.ended_at is None else {}
            return Standing(now=now, org=state, purge=purge, left=left)
        counted = await _counted(reading, org_id, state.generation)
        read = sum(row.read for row in counted)
        active = sum(row.number for row in counted if row.bucket == Bucket.ACTIVE.value)
        return Standing(
            now=now,
            org=state,
            purge=purge,
            causes=_causes(counted),
            waiting=_waiting(counted),
            read=read,
            oldest=min((row.oldest for row in counted if row.oldest is not None), default=None),
            median=await _median(reading, org_id, sum(row.known for row in counted)),
            uncovered=await _covered(reading, org_id) < active,
            search=await _search(reading, org_id, state.generation),
            verify_at=await _verify_at(reading, org_id),
        )


async def _counted(reading: AsyncConnection, org_id: str, generation: int) -> list[Any]:
    """Go through an org's mailboxes once."""
    table = mailboxes.c
    query = (
        select(
            table.bucket,
            table.reason,
            table.waiting,
            func.count().label("number"),
            func.count(case((and_(_ACTIVE, table.read_generation == generation), 1))).label("read"),
            func.count(case((_ACTIVE, table.read_at))).label("known"),
            func.min(case((_ACTIVE, table.read_at))).label("oldest"),
        )
        .where(table.org_id == org_id)
        .group_by(table.bucket, table.reason, table.waiting)
    )
    return list(await reading.execute(query))


def _causes(counted: list[Any]) -> tuple[Cause, ...]:
    """Return the causes, the most frequent first."""
    sums: dict[tuple[str, str], int] = {}
    for row in counted:
        key = (row.bucket, row.reason or "")
        sums[key] = sums.get(key, 0) + row.number
    found = [Cause(bucket=Bucket(bucket), reason=reason, count=n) for (bucket, reason), n in sums.items()]
    return tuple(sorted(found, key=lambda cause: (-cause.count, cause.bucket, cause.reason)))


def _waiting(counted: list[Any]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in counted:
        if row.waiting is not None:
            sums[row.waiting] = sums.get(row.waiting, 0) + row.number
    return dict(sorted(sums.items()))


async def _median(reading: AsyncConnection, org_id: str, known: int) -> Instant | None:
    """Return when the mailbox in the middle was read; of an even number the older one."""
    if not known:
        return None
    table = mailboxes.c
    among = (table.org_id == org_id, _ACTIVE, table.read_at.is_not(None))
    query = select(table.read_at).where(*among).order_by(table.read_at).limit(1).offset((known - 1) // 2)
    return (await reading.execute(query)).scalar_one_or_none()


async def _covered(reading: AsyncConnection, org_id: str) -> int:
    """Count the mailboxes of which everything is published: an index tells, without a look at any calendar."""
    mine = (timelines.c.org_id == org_id, timelines.c.coverage == Coverage.FULL.value)
    return int((await reading.execute(select(func.count()).select_from(timelines).where(*mine))).scalar_one())


async def _search(reading: AsyncConnection, org_id: str, generation: int) -> Search | None:
    """Return the last search; a row without a run holds a pause alone."""
    row = (await reading.execute(select(enumerations).where(enumerations.c.org_id == org_id))).one_or_none()
    if row is None or not row.run:
        return None
    mine = (policies.c.org_id == org_id, policies.c.generation == generation)
    began = (await reading.execute(select(policies.c.created_at).where(*mine))).scalar_one_or_none() or 0
    return Search(
        current=row.generation == generation,
        first=row.started_at < began + _PROMPT,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=row.last_error or "",
        held=row.held or 0,
        held_of=row.held_of or 0,
    )


async def _verify_at(reading: AsyncConnection, org_id: str) -> Instant | None:
    query = select(organisations.c.verify_at).where(organisations.c.org_id == org_id)
    return (await reading.execute(query)).scalar_one_or_none()
