"""One reading in, nothing out: what is published goes by way of the update log, in the transaction that wrote it."""

from collections.abc import Awaitable, Callable, Sequence

from services.publisher.plan import Found, Outcome
from services.publisher.timelines import publish
from shared import clock
from shared.broker import Delivery, Done
from shared.contracts.messages import AvailabilitySnapshot, MailboxUnreadable, Message
from shared.errors import Reject
from shared.store import Store

Publish = Callable[[Found], Awaitable[Outcome]]
Handle = Callable[[Message, Delivery], Awaitable[Done]]


def batches(store: Store, *, wake: Callable[[], None]) -> Callable[[Sequence[Found]], Awaitable[Sequence[Outcome]]]:
    """Return what publishes one batch of readings and calls `wake` where something is to be told."""

    async def batch(found: Sequence[Found]) -> Sequence[Outcome]:
        outcomes = await publish(store, found, now=clock.now())
        if Outcome.PUBLISHED in outcomes:
            wake()
        return outcomes

    return batch


def handler(publish_one: Publish) -> Handle:
    """Return the handler of `availability.snapshot` and `mailbox.unreadable`, idempotent by version and generation."""

    async def handle(message: Message, _: Delivery) -> Done:
        if not isinstance(message, AvailabilitySnapshot | MailboxUnreadable):
            raise Reject("unexpected_type")
        await publish_one(message)
        return Done()

    return handle
