"""Doubts a connection, once for all replicas: what turns the whole organisation away may also be a mistake of a moment.

It refuses to judge: the authorizer verifies, and until it has the tenant is left alone.
"""

from services.fetcher.context import Context
from shared.connections import Connected
from shared.contracts.messages import ConnectionDoubted
from shared.contracts.values import Instant


async def doubted(context: Context, *, org: Connected, reason: str, now: Instant) -> tuple[ConnectionDoubted, ...]:
    """Pause the tenant for DOUBT_PAUSE seconds on every replica and return the message to publish.

    Nothing is to be published where any replica raised a doubt less than DOUBT_PAUSE seconds ago. `reason` is a fixed
    word; `now` in UTC seconds.
    """
    if not await context.tenants.doubt(org.org_id, now=now):
        return ()
    context.log.warning("connection.doubted", org_id=org.org_id, generation=org.generation, reason=reason)
    return (ConnectionDoubted(org_id=org.org_id, generation=org.generation, reason=reason),)
