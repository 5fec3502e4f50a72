"""An org that left: consumers are told, what is published of it is deleted, what waits for it is forgotten."""

from collections.abc import Callable

from services.publisher.departure import depart
from services.publisher.handler import Handle
from shared import clock
from shared.broker import Broker, Delivery, Done
from shared.contracts.messages import Message, OrgPurge, OrgPurged
from shared.errors import Reject
from shared.store import Store


def purges(store: Store, broker: Broker, *, wake: Callable[[], None]) -> Handle:
    """Return the handler of `org.purge`; `wake` has the relay tell consumers. Doing it again deletes nothing more."""

    async def handle(message: Message, _: Delivery) -> Done:
        if not isinstance(message, OrgPurge) or message.service != "publisher":
            raise Reject("unexpected_type")
        counts = await depart(store, message.org_id, message.generation, now=clock.now())
        wake()
        forgotten = await broker.forget(message.org_id, "publisher", generation=message.generation)
        purged = OrgPurged(
            org_id=message.org_id,
            purge_id=message.purge_id,
            service="publisher",
            counts={**counts, "messages": forgotten},
        )
        return Done(messages=(purged,))

    return handle
