"""Edge: how far a disconnection is, and its receipt as it is printed."""

from typing import Final

from sqlalchemy import func, select

from services.authorizer import leaving
from services.authorizer.purging import Purge
from services.authorizer.receipts import Printed, printed
from shared.store import Store
from shared.tables import enumerations, feeds, mailboxes, orgs, policies, streams, subscriptions, timelines, updates

__all__ = ["Printed", "held", "latest", "printed"]

_HELD: Final = {
    "authorizer": (orgs, policies),
    "fetcher": (mailboxes, subscriptions, enumerations, streams),
    "publisher": (timelines, updates, feeds),
}


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
