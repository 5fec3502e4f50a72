"""Answers how an org does: its state, its mailboxes by bucket, what is known of them, and how the work goes on."""

from typing import Any

from aiohttp import web
from sqlalchemy import and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.access import STORE, Org, org_asked, org_of
from services.publisher.answers import CoverageCounts, Enumeration, OrgStatus, Reading
from services.publisher.asking import parameters
from services.publisher.moments import moment
from services.publisher.reply import reply
from shared.contracts.values import Bucket, Coverage, Instant
from shared.reach import reached
from shared.store import Store
from shared.tables import enumerations, mailboxes, timelines

_WANTED = [bucket.value for bucket in (Bucket.ACTIVE, Bucket.DENIED, Bucket.FAILING)]
_ERRORS = [Bucket.DENIED.value, Bucket.FAILING.value]


async def show_status(request: web.Request) -> web.Response:
    """GET /v1/orgs/{org}/status."""
    org = await org_asked(request)
    parameters(request, ())
    return reply(await _standing(request.app[STORE], org))


async def org_status(store: Store, org_id: str) -> OrgStatus | None:
    """Return how an org does, for whoever reads the store itself; None where there is no such org."""
    org = await org_of(store, org_id)
    return None if org is None else await _standing(store, org)


async def _standing(store: Store, org: Org) -> OrgStatus:
    async with reached(), store.read() as connection:
        buckets = await _counted(connection, org, mailboxes.c.bucket, mailboxes.c.bucket.is_not(None))
        errors = await _counted(connection, org, mailboxes.c.reason, mailboxes.c.bucket.in_(_ERRORS))
        wanted, full, read = await _progress(connection, org)
        enumeration = await _enumeration(connection, org)
    return OrgStatus(
        org_id=org.org_id,
        state=org.state,
        generation=org.generation,
        reason=org.reason,
        sentence=org.sentence,
        connected_at=_moment(org.connected_at),
        buckets={bucket.value: buckets.get(bucket.value, 0) for bucket in Bucket},
        coverage=CoverageCounts(full=full, unknown=wanted - full),
        errors=errors,
        first_reading=Reading(done=read, of=wanted),
        enumeration=enumeration,
    )


async def _counted(connection: AsyncConnection, org: Org, word: Any, among: Any) -> dict[str, int]:
    query = select(word, func.count()).where(mailboxes.c.org_id == org.org_id, among).group_by(word).order_by(word)
    return {found or "unknown": count for found, count in await connection.execute(query)}


async def _progress(connection: AsyncConnection, org: Org) -> tuple[int, int, int]:
    """Return how many mailboxes are to be read, are known, and were read under the present generation."""
    same = and_(timelines.c.org_id == mailboxes.c.org_id, timelines.c.mailbox_id == mailboxes.c.mailbox_id)
    query = (
        select(
            func.count(),
            func.count(case((timelines.c.coverage == Coverage.FULL.value, 1))),
            func.count(case((mailboxes.c.read_generation == org.generation, 1))),
        )
        .select_from(mailboxes.outerjoin(timelines, same))
        .where(mailboxes.c.org_id == org.org_id, mailboxes.c.bucket.in_(_WANTED))
    )
    wanted, full, read = (await connection.execute(query)).one()
    return wanted, full, read


async def _enumeration(connection: AsyncConnection, org: Org) -> Enumeration | None:
    query = select(enumerations).where(enumerations.c.org_id == org.org_id)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    return Enumeration(
        started_at=moment(row["started_at"]),
        finished_at=_moment(row["finished_at"]),
        paused_until=_moment(row["paused_until"]),
        last_error=row["last_error"],
        last_error_at=_moment(row["last_error_at"]),
    )


def _moment(instant: Instant | None) -> str | None:
    return None if instant is None else moment(instant)
