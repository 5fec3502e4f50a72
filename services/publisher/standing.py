"""Answers how an org does: its state, its mailboxes by bucket, what is known of them, and how the work goes on."""

from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import RowMapping, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.access import STORE, Org, org_asked, org_of
from services.publisher.answers import CoverageCounts, Enumeration, Held, OrgStatus, Reading, Subscriptions
from services.publisher.asking import parameters
from services.publisher.moments import moment
from services.publisher.operations import Operation
from services.publisher.reply import reply
from shared import clock
from shared.contracts.values import Bucket, Coverage, Instant
from shared.reach import reached
from shared.store import Store
from shared.tables import enumerations, mailboxes, subscriptions, timelines

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
    ours = mailboxes.c.org_id == org.org_id
    async with reached(), store.read() as connection:
        buckets = await _counted(connection, mailboxes.c.bucket, ours)
        errors = await _counted(connection, mailboxes.c.reason, ours, mailboxes.c.bucket.in_(_ERRORS))
        waiting = await _counted(connection, mailboxes.c.waiting, ours, mailboxes.c.waiting.is_not(None))
        progress = await _progress(connection, org)
        subscribed = await _subscriptions(connection, org, clock.now())
        enumeration = await _enumeration(connection, org)
    return OrgStatus(
        org_id=org.org_id,
        state=org.state,
        generation=org.generation,
        reason=org.reason,
        sentence=org.sentence,
        connected_at=_moment(org.connected_at),
        buckets={bucket.value: buckets.get(bucket.value, 0) for bucket in Bucket},
        coverage=CoverageCounts(full=progress.full, unknown=progress.wanted - progress.full),
        errors=errors,
        first_reading=Reading(done=progress.read, of=progress.wanted),
        enumeration=_enumeration_of(enumeration),
        held=_held(enumeration),
        waiting=waiting,
        subscriptions=subscribed,
        oldest_as_of=_moment(progress.oldest),
    )


async def _counted(connection: AsyncConnection, word: Any, *among: Any) -> dict[str, int]:
    query = select(word, func.count()).where(*among).group_by(word).order_by(word)
    return {found or "unknown": count for found, count in await connection.execute(query)}


class _Progress(Struct, frozen=True):
    """How many mailboxes are to be read, are known, were read under the present generation; as of when the oldest."""

    wanted: int
    full: int
    read: int
    oldest: Instant | None


async def _progress(connection: AsyncConnection, org: Org) -> _Progress:
    same = and_(timelines.c.org_id == mailboxes.c.org_id, timelines.c.mailbox_id == mailboxes.c.mailbox_id)
    full = and_(timelines.c.coverage == Coverage.FULL.value, timelines.c.generation >= org.shown_from)
    active = mailboxes.c.bucket == Bucket.ACTIVE.value
    query = (
        select(
            func.count(),
            func.count(case((full, 1))),
            func.count(case((mailboxes.c.read_generation == org.generation, 1))),
            func.min(case((and_(full, active), timelines.c.as_of))),
        )
        .select_from(mailboxes.outerjoin(timelines, same))
        .where(mailboxes.c.org_id == org.org_id, mailboxes.c.bucket.in_(_WANTED))
    )
    return _Progress(*(await connection.execute(query)).one())


async def _subscriptions(connection: AsyncConnection, org: Org, now: Instant) -> Subscriptions:
    wanted = (subscriptions.c.org_id == org.org_id, subscriptions.c.wanted)
    live = and_(subscriptions.c.subscription_id.is_not(None), subscriptions.c.expires_at > now)
    query = select(func.count(), func.count(case((live, 1)))).where(*wanted)
    asked, promised = (await connection.execute(query)).one()
    dead = or_(subscriptions.c.subscription_id.is_(None), func.coalesce(subscriptions.c.expires_at, 0) <= now)
    without = and_(subscriptions.c.reason.is_not(None), dead)
    reasons = await _counted(connection, subscriptions.c.reason, *wanted, without)
    return Subscriptions(wanted=asked, live=promised, reasons=reasons)


async def _enumeration(connection: AsyncConnection, org: Org) -> RowMapping | None:
    query = select(enumerations).where(enumerations.c.org_id == org.org_id)
    return (await connection.execute(query)).mappings().one_or_none()


def _enumeration_of(row: RowMapping | None) -> Enumeration | None:
    if row is None or not row["run"]:  # without a run the row holds a pause alone: nothing was searched yet
        return None
    return Enumeration(
        started_at=moment(row["started_at"]),
        finished_at=_moment(row["finished_at"]),
        paused_until=_moment(row["paused_until"]),
        last_error=row["last_error"],
        last_error_at=_moment(row["last_error_at"]),
    )


def _held(row: RowMapping | None) -> Held | None:
    if row is None or row["held"] is None:
        return None
    return Held(removal=row["held"], of=row["held_of"] or 0)


def _moment(instant: Instant | None) -> str | None:
    return None if instant is None else moment(instant)


OPERATIONS = (
    Operation(
        name="orgStatus",
        method="GET",
        path="/v1/orgs/{org}/status",
        summary="How the org does",
        group="Organisations",
        handler=show_status,
        answers=OrgStatus,
        problems=(404,),
    ),
)
