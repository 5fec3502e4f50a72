"""Edge: how far a disconnection is, and its receipt as it is printed."""

from typing import Final

from msgspec import Struct
from sqlalchemy import func, select

from services.authorizer import leaving
from services.authorizer.purging import Purge
from services.authorizer.receipts import Receipt
from shared import clock
from shared.store import Store
from shared.tables import enumerations, mailboxes, orgs, policies, streams, subscriptions, timelines, updates

_HELD: Final = {
    "authorizer": (orgs, policies),
    "fetcher": (mailboxes, subscriptions, enumerations, streams),
    "publisher": (timelines, updates),
}


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


async def latest(store: Store, org_id: str) -> Purge | None:
    """Return an org's last disconnection, under way or ended; None where it was never disconnected."""
    async with store.read() as reading:
        return await leaving.latest(reading, org_id)


async def held(store: Store, org_id: str) -> dict[str, int]:
    """Return how many rows each service that keeps rows still holds of an org."""
    counts = {}
    async with store.read() as reading:
        for service, tables in _HELD.items():
            counts[service] = 0
            for table in tables:
                query = select(func.count()).select_from(table).where(table.c.org_id == org_id)
                counts[service] += (await reading.execute(query)).scalar_one()
    return counts
