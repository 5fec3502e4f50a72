"""An org that left: what waits for the normalizer is forgotten. It holds nothing else, and so deletes nothing else."""

from collections.abc import Awaitable, Callable

from shared.broker import Broker, Delivery, Done
from shared.contracts.messages import Message, OrgPurge, OrgPurged
from shared.errors import Reject

Handle = Callable[[Message, Delivery], Awaitable[Done]]


def purges(broker: Broker) -> Handle:
    """Return the handler of `org.purge`. What a newer generation brought about, of an org connected anew, stays."""

    async def handle(message: Message, _: Delivery) -> Done:
        if not isinstance(message, OrgPurge) or message.service != "normalizer":
            raise Reject("unexpected_type")
        forgotten = await broker.forget(message.org_id, "normalizer", generation=message.generation)
        return Done(
            messages=(
                OrgPurged(
                    org_id=message.org_id,
                    purge_id=message.purge_id,
                    service="normalizer",
                    counts={"messages": forgotten},
                ),
            )
        )

    return handle
