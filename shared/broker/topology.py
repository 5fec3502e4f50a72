"""Which exchanges, queues and bindings there are, and where a message goes: plain values, no connection.

Everything is durable; every queue is a quorum queue. RabbitMQ never drops on its own account: what must go is parked.
"""

from typing import Any

from msgspec import Struct

from shared.broker.interface import Unroutable
from shared.contracts.messages import (
    AvailabilitySnapshot,
    CalendarSnapshot,
    ConnectionDoubted,
    MailboxEnumerate,
    MailboxErase,
    MailboxRead,
    MailboxUnreadable,
    Message,
    OrgConnected,
    OrgDisconnected,
    OrgPurge,
    OrgPurged,
    PolicyChanged,
)

EXCHANGE = "busyline"  # the pipeline's own
AVAILABILITY = "availability"  # what consumers bind their queues to
PARKED = "busyline.parked"
NEVER = 1_000_000  # redeliveries before RabbitMQ 4 would drop a message; ours park it long before

RUNGS = (1, 10, 60)  # seconds a delayed message rests at a time; RabbitMQ expires from the head, so one length a queue


class Queue(Struct, frozen=True):
    """A queue of a service: the messages it takes and the routing keys that lead to it."""

    name: str
    takes: tuple[type[Message], ...]
    keys: tuple[str, ...]

    @property
    def service(self) -> str:
        """The service that consumes it."""
        return self.name.partition(".")[0]


class Rung(Struct, frozen=True):
    """A queue where a service's delayed messages rest for `seconds`, and the exchange that leads there."""

    name: str
    exchange: str
    seconds: int
    returns_to: tuple[str, ...]


def type_name(kind: type[Message]) -> str:
    """Return the type a message is known by: mailbox.read.v1."""
    return str(kind.__struct_config__.tag)


def _queue(name: str, *takes: type[Message], suffix: str = "") -> Queue:
    return Queue(name, takes, tuple(type_name(kind) + suffix for kind in takes))


def _purge(service: str, *takes: type[Message]) -> Queue:
    """Return a service's queue of what must go, apart from its work, so that it waits behind nothing."""
    keys = (f"{type_name(OrgPurge)}.{service}", *map(type_name, takes))
    return Queue(f"{service}.purge", (OrgPurge, *takes), keys)


LIVE = ".live"  # what a hint brings about goes by lanes of its own, ahead of backfill, all the way
SHARED = ".exchange"  # readings that share requests are taken many at a time, and hold no others' hands


QUEUES: dict[str, Queue] = {
    queue.name: queue
    for queue in (
        _queue("authorizer.orgs", OrgConnected, PolicyChanged, OrgDisconnected),
        _queue("authorizer.reports", ConnectionDoubted, OrgPurged),
        _queue("fetcher.enumerate", MailboxEnumerate),
        _queue("fetcher.live", MailboxRead, suffix=LIVE),
        _queue("fetcher.backfill", MailboxRead),
        _queue("fetcher.exchange", MailboxRead, suffix=SHARED),
        _purge("fetcher", MailboxErase),
        _queue("normalizer.live", CalendarSnapshot, suffix=LIVE),
        _queue("normalizer.snapshots", CalendarSnapshot),
        _purge("normalizer"),
        _queue("publisher.live", AvailabilitySnapshot, suffix=LIVE),
        _queue("publisher.snapshots", AvailabilitySnapshot, MailboxUnreadable),
        _purge("publisher"),
    )
}


def _rung(service: str, seconds: int) -> Rung:
    return Rung(
        name=f"{service}.delayed" if seconds == RUNGS[0] else f"{service}.delayed.{seconds}s",
        exchange=f"{EXCHANGE}.delayed.{seconds}s",
        seconds=seconds,
        returns_to=tuple(queue.name for queue in QUEUES.values() if queue.service == service),
    )


DELAYED: tuple[Rung, ...] = tuple(
    _rung(service, seconds)
    for service in dict.fromkeys(queue.service for queue in QUEUES.values())
    for seconds in RUNGS
)
EXCHANGES: dict[str, str] = {  # name: type
    EXCHANGE: "topic",
    AVAILABILITY: "topic",
    **{rung.exchange: "direct" for rung in DELAYED},
}
RESTING = frozenset(rung.exchange for rung in DELAYED)


def queue_arguments() -> dict[str, dict[str, Any]]:
    """Return every queue's arguments. They can never change on a live queue: limits belong into policies."""
    kept = {"x-queue-type": "quorum", "x-delivery-limit": NEVER}
    return {
        **{name: dict(kept) for name in QUEUES},
        **{rung.name: _resting(rung.seconds) for rung in DELAYED},
        PARKED: dict(kept),
    }


def _resting(seconds: int) -> dict[str, Any]:
    """Return to the default exchange after the time, under the message's own routing key: its queue's name.

    At-least-once dead-lettering keeps the message until its queue has it; it asks for reject-publish.
    """
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def bindings() -> tuple[tuple[str, str, str], ...]:
    """Return every binding as (exchange, routing key, queue)."""
    work = tuple((EXCHANGE, key, queue.name) for queue in QUEUES.values() for key in queue.keys)
    return work + tuple((rung.exchange, name, rung.name) for rung in DELAYED for name in rung.returns_to)


_BOUND = {(exchange, key): queue for exchange, key, queue in bindings()}
_NAMES = frozenset(queue_arguments())


def queue_of(exchange: str, routing_key: str) -> str | None:
    """Return the one queue of ours that an exchange and a routing key lead to, or None."""
    if not exchange:
        return routing_key if routing_key in _NAMES else None
    return _BOUND.get((exchange, routing_key))


def is_queue(name: str) -> bool:
    """Say whether a queue of this name is ours."""
    return name in _NAMES


def route(message: Message) -> str:
    """Return a message's routing key: its type, what is live apart. Raises Unroutable for a type no queue takes."""
    key = type_name(type(message))
    match message:
        case MailboxRead(live=True) | CalendarSnapshot(live=True) | AvailabilitySnapshot(live=True):
            key += LIVE
        case MailboxRead(exchange=True):
            key += SHARED
        case OrgPurge(service=service):
            key += f".{service}"
    if (EXCHANGE, key) not in _BOUND:
        raise Unroutable(key)
    return key


def resting_place(seconds: float) -> str:
    """Return the exchange for a message that has so many seconds to rest: at most one second too long a time."""
    rung = max((rung for rung in RUNGS if rung <= seconds + 1), default=RUNGS[0])
    return f"{EXCHANGE}.delayed.{rung}s"


def definitions(vhost: str = "/") -> dict[str, Any]:
    """Return the topology as RabbitMQ's definitions file has it, for brokers where services may not declare."""
    common = {"vhost": vhost, "durable": True, "auto_delete": False}
    return {
        "vhosts": [{"name": vhost}],
        "exchanges": [
            {"name": name, "type": kind, "internal": False, "arguments": {}, **common}
            for name, kind in EXCHANGES.items()
        ],
        "queues": [{"name": name, "arguments": arguments, **common} for name, arguments in queue_arguments().items()],
        "bindings": [
            {
                "source": exchange,
                "vhost": vhost,
                "destination": queue,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for exchange, key, queue in bindings()
        ],
    }
