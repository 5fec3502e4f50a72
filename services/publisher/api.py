"""Which requests are answered: every operation of the consumers' HTTP, in the order of its page."""

from typing import Final

from services.publisher import (
    availability,
    feed,
    like_google,
    like_graph,
    listing,
    orgs_listing,
    snapshot,
    sse,
    standing,
    subscribing,
)
from services.publisher.finding import slots
from services.publisher.operations import Operation
from services.publisher.webhooks import acting, keeping

OPERATIONS: Final[tuple[Operation, ...]] = (
    *listing.OPERATIONS,
    *availability.OPERATIONS,
    *like_google.OPERATIONS,
    *like_graph.OPERATIONS,
    *subscribing.OPERATIONS,
    *slots.OPERATIONS,
    *orgs_listing.OPERATIONS,
    *standing.OPERATIONS,
    *snapshot.OPERATIONS,
    *feed.OPERATIONS,
    *sse.OPERATIONS,
    *keeping.OPERATIONS,
    *acting.OPERATIONS,
)
