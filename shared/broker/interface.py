"""What a service sees of the broker: values it returns, values it is given, and the protocol both engines follow.

Nothing here knows AMQP.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from shared.contracts.messages import Message
from shared.contracts.values import Instant


class Unroutable(Exception):  # noqa: N818 -- it says what the message is
    """No queue takes a message of this type: the topology on the broker is not ours. `message_type` names it."""

    def __init__(self, message_type: str) -> None:
        """Take the routing key that led nowhere."""
        super().__init__("unroutable")
        self.message_type = message_type


class Outgoing(Struct, frozen=True):
    """A message to be delivered no sooner than `delay` seconds from now."""

    message: Message
    delay: float = 0.0


class Done(Struct, frozen=True):
    """What a handler returns: `messages` are published first, then `commit` runs, then the delivery is acknowledged."""

    messages: tuple[Message | Outgoing, ...] = ()
    commit: Callable[[], Awaitable[None]] | None = None


class Delivery(Struct, frozen=True):
    """What is known of this delivery beside its message. `attempt` counts tries of ours, from 1."""

    message_id: str
    attempt: int
    redelivered: bool
    published_at: Instant


class Consumer(Struct, frozen=True):
    """One queue (a name from `topology.QUEUES`) with its handler; up to `in_flight` messages are handled at a time."""

    queue: str
    handle: Callable[[Message, Delivery], Awaitable[Done]]
    in_flight: int = 32


class Parked(Struct, frozen=True, kw_only=True):
    """A dead letter without its body. `parked_id` names it to show, replay and drop; `size` is in bytes."""

    parked_id: str
    queue: str
    reason: str
    where: str
    error_type: str
    parked_at: Instant
    attempts: int
    message_id: str
    message_type: str
    org_id: str
    size: int


class Broker(Protocol):
    """Where messages pass. Both engines behave the same; only `memory://` forgets everything when it is closed."""

    async def publish(self, messages: Sequence[Message | Outgoing]) -> None:
        """Return once every message is confirmed, trying across reconnects. Raises Unroutable."""

    def announce(self, events: Sequence[tuple[str, bytes, dict[str, str]]]) -> Awaitable[bool]:
        """Hand (routing key, body, headers) for consumers' exchange to the broker before returning; nobody need listen.

        Waiting gives True once all are confirmed. Where the broker is not there to take them at this moment nothing is
        sent, now or later: waiting gives False as soon as it is there, and what may be said by then is to be announced
        anew. Waiting raises ConnectionError where the connection is lost first, and Halt where the broker refuses us.
        """
        ...

    async def run(self, consumers: Sequence[Consumer], *, service: str, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, then finish what is in hand and return. Raises Halt when a handler does."""

    async def parked(self, *, limit: int = 100) -> list[Parked]:
        """Return up to `limit` dead letters, the oldest first."""
        ...

    async def show(self, parked_id: str) -> bytes | None:
        """Return a dead letter's body as it came, or None where there is no such dead letter."""

    async def replay(self, parked_id: str) -> bool:
        """Put a dead letter back into its queue as a first attempt; False where there is no such dead letter."""
        ...

    async def drop(self, parked_id: str) -> bool:
        """Delete a dead letter for good; False where there is no such dead letter."""
        ...

    async def forget(self, org_id: str, service: str, *, parked: bool = False, generation: int | None = None) -> int:
        """Remove an org's messages from a service's queues and delays, on request its dead letters; return how many.

        Each queue is gone through once, as deep as it is at the start; other orgs' messages keep their order, though
        they cannot be consumed meanwhile. `generation`: only messages up to it, so that one connected anew is spared.
        Raises Retry (not counted) where the broker cannot be reached; what was removed by then stays removed.
        """
        ...

    async def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue, those in hand not counted."""
        ...

    async def close(self) -> None:
        """Close every connection; what is not acknowledged stays with the broker."""
