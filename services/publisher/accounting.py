"""Edge: how often each consumer asked what, of which org, and how it was answered; by the hour, never what was in it.

It is counted in memory and written every few seconds and at the end. It refuses to name an org that is not in force.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from msgspec import Struct
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import clock, logs
from shared.connections import DISCONNECTING
from shared.contracts.values import DAY, Instant
from shared.errors import Retry
from shared.reach import reached
from shared.store import Store
from shared.tables import accesses, orgs

HOUR: Final = 3600
PAUSE: Final = 5.0  # seconds between two writings
_BETWEEN: Final = 720  # writings between two times that old rows are deleted: an hour
NO_ORG: Final = ""


class Access(Struct, frozen=True):
    """What is counted: the hour's first second, who, about which org ("" for no single one), what, the HTTP status."""

    hour: Instant
    consumer: str
    org_id: str
    operation: str
    status: int


class Tally:
    """What was asked since it was written last."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts: Counter[Access] = Counter()

    def count(self, consumer: str, org_id: str, operation: str, *, status: int, now: Instant) -> None:
        """Count one access."""
        self._counts[Access(now - now % HOUR, consumer, org_id, operation, status)] += 1

    async def write(self, store: Store) -> None:
        """Write what was counted, and begin anew; what cannot be written is kept. Raises Retry."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            async with reached(), store.write() as connection:
                await store.publication_lock(connection)  # under which orgs leave: no row names one that left
                gone = await _gone(connection, {access.org_id for access in counts} - {NO_ORG})
                await _add(store, connection, _rows(counts, gone))
        except BaseException:
            self._counts.update(counts)
            raise

    async def keep(self, store: Store, *, days: int, stop: asyncio.Event) -> None:
        """Write every few seconds until `stop` is set, and then once more; delete what is older than so many days.

        With 0 days all is kept.
        """
        turn, ended = 0, False
        while not ended:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), PAUSE)
            ended = stop.is_set()
            try:
                await self.write(store)
                if days and turn % _BETWEEN == 0:
                    await forget_old(store, before=clock.now() - days * DAY)
                turn += 1
            except Retry as pause:
                logs.get("publisher").warning("accounting.paused", reason=pause.reason)
            except Exception as error:  # noqa: BLE001 -- consumers are answered all the same; what was counted is kept
                logs.get("publisher").error("accounting.failed", **logs.failure(error))


async def forget_old(store: Store, *, before: Instant) -> None:
    """Delete the rows of hours that ended before an instant. Raises Retry."""
    async with reached(), store.write() as connection:
        await connection.execute(delete(accesses).where(accesses.c.hour <= before - HOUR))


async def counted(store: Store, consumer: str, *, since: Instant) -> list[tuple[Access, int]]:
    """Return a consumer's accesses from the hour of an instant on, in order of time."""
    query = (
        select(accesses)
        .where(accesses.c.consumer == consumer, accesses.c.hour >= since - since % HOUR)
        .order_by(accesses.c.hour, accesses.c.org_id, accesses.c.operation, accesses.c.status)
    )
    async with store.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    names = Access.__struct_fields__
    return [(Access(*(row[name] for name in names)), row["count"]) for row in rows]


async def _gone(connection: AsyncConnection, named: set[str]) -> set[str]:
    query = select(orgs.c.org_id).where(orgs.c.org_id.in_(named), orgs.c.state != DISCONNECTING)
    return named - set((await connection.execute(query)).scalars()) if named else set()


def _rows(counts: Counter[Access], gone: set[str]) -> Iterable[tuple[Access, int]]:
    merged: Counter[Access] = Counter()
    for access, count in counts.items():
        org_id = NO_ORG if access.org_id in gone else access.org_id
        merged[Access(access.hour, access.consumer, org_id, access.operation, access.status)] += count
    return merged.items()


async def _add(store: Store, connection: AsyncConnection, rows: Iterable[tuple[Access, int]]) -> None:
    """Add to the rows that are there; in one order, for another replica may be at the same ones."""
    names = Access.__struct_fields__
    values = [{name: getattr(access, name) for name in names} | {"count": count} for access, count in rows]
    values.sort(key=lambda row: tuple(row[name] for name in names))
    new = store.upsert(accesses)
    more = accesses.c.count + new.excluded.count
    await connection.execute(new.on_conflict_do_update(index_elements=list(names), set_={"count": more}), values)
