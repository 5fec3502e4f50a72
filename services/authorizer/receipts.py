"""Edge: the receipts of orgs that left: what was deleted, when, at whose word, and the audit entry that says so."""

from msgspec import Struct
from sqlalchemy import select

from services.authorizer.leaving import decoded
from services.authorizer.purging import Purge
from shared import clock
from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import purges


class Receipt(Struct, frozen=True, kw_only=True):
    """A disconnection that has ended. `started_at` is when it was asked for; `counts` are by kind.

    `audit_hash` is of the entry that closes it: while an org's chain of entries holds it, its end was not cut off.
    """

    purge_id: str
    org_id: str
    generation: int
    actor: str
    started_at: Instant
    ended_at: Instant
    counts: dict[str, int]
    audit_hash: str


class Printed(Struct, frozen=True, kw_only=True):
    """What is left of an org: what was deleted, by kind, when, at whose word, and the audit entry that closes it."""

    org_id: str
    purge_id: str
    generation: int
    actor: str
    started_at: str
    ended_at: str
    seconds: int
    counts: dict[str, int]
    audit_hash: str


def printed(receipt: Receipt) -> Printed:
    """Return a receipt with its instants in RFC 3339, and how many seconds it took."""
    return Printed(
        org_id=receipt.org_id,
        purge_id=receipt.purge_id,
        generation=receipt.generation,
        actor=receipt.actor,
        started_at=clock.moment(receipt.started_at),
        ended_at=clock.moment(receipt.ended_at),
        seconds=receipt.ended_at - receipt.started_at,
        counts=receipt.counts,
        audit_hash=receipt.audit_hash,
    )


async def receipt(store: Store, org_id: str) -> Receipt | None:
    """Return an org's latest receipt, None where there is none yet."""
    found = await receipts(store, org_id)
    return found[-1] if found else None


async def receipts(store: Store, org_id: str | None = None) -> tuple[Receipt, ...]:
    """Return the receipts of an org, or of all, the oldest first."""
    query = select(purges).where(purges.c.ended_at.is_not(None)).order_by(purges.c.ended_at, purges.c.generation)
    if org_id is not None:
        query = query.where(purges.c.org_id == org_id)
    async with store.read() as reading:
        return tuple(_receipt(decoded(row)) for row in await reading.execute(query))


def _receipt(purge: Purge) -> Receipt:
    return Receipt(
        purge_id=purge.purge_id,
        org_id=purge.org_id,
        generation=purge.generation,
        actor=purge.actor,
        started_at=purge.started_at,
        ended_at=purge.ended_at or 0,
        counts=purge.counts,
        audit_hash=purge.audit_hash or "",
    )
