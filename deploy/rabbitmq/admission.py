"""Decides what a consumer has on the broker, as plain values: its user, its rights, its queue and how that is bound.

Pure. It refuses to widen anything: a binding stays only where the consumer's scope has its routing key.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from deploy.rabbitmq.definitions import (
    CONSUMER,
    NOTHING,
    QUEUE,
    Consumer,
    binding_keys,
    consumer_binding,
    consumer_keys,
    consumer_queue,
    consumer_rights,
    consumer_user,
    hashed,
    queue_name,
)
from services.publisher.consumers import EVERY_ORG, Known
from shared.broker import topology

__all__ = ["QUEUE", "Consumer", "Place", "consumer_user", "is_word", "owns", "place", "scope_on_broker", "to_import"]

_SET: Final = "rabbit_password_hashing_sha256"


class Place(Struct, frozen=True, kw_only=True):
    """What a consumer has on the broker, each part as the management API and the definitions file take it."""

    name: str
    user: str
    account: dict[str, Any]
    permissions: dict[str, str]
    topics: dict[str, str]
    queue: str
    keys: tuple[str, ...]

    def may_bind(self, key: str) -> bool:
        """Say whether a binding with this routing key lies within its scope; RabbitMQ matches anywhere in a key."""
        return re.search(self.topics["read"], key) is not None


def is_word(name: str) -> bool:
    """Say whether a consumer of this name can have a user and a queue on the broker."""
    return CONSUMER.fullmatch(name) is not None


def place(consumer: Consumer) -> Place:
    """Return what a consumer has; without orgs it may bind nothing. Raises ValueError for a name or scope that is none.

    Without a password its account is left empty: it is not to be changed.
    """
    user = consumer_user(consumer)
    secret = hashed(user, consumer.password) if consumer.password else ""
    read = consumer_keys(consumer) if consumer.orgs else NOTHING
    return Place(
        name=consumer.name,
        user=user,
        account={"password_hash": secret, "hashing_algorithm": _SET, "tags": ""} if secret else {},
        permissions=consumer_rights(consumer),
        topics={"exchange": topology.AVAILABILITY, "write": NOTHING, "read": read},
        queue=queue_name(consumer),
        keys=binding_keys(consumer),
    )


def owns(name: str, thing: str) -> bool:
    """Say whether a queue or an exchange of this name is a consumer's own."""
    return thing.startswith(f"consumer.{name}.")


def scope_on_broker(known: Known, *, announced: int) -> tuple[str, ...]:
    """Return the orgs whose updates may reach a consumer's queues: its scope, and an org that left until that is told.

    `announced` is the position up to which the log was announced. An org's id may be another customer's one day.
    """
    if known.every_org:
        return (EVERY_ORG,)
    leaving = {org for org, position in known.departed.items() if position > announced}
    return tuple(sorted({*known.orgs, *leaving}))


def to_import(places: Iterable[Place], vhost: str) -> bytes:
    """Return a definitions file with these alone, for `rabbitmqctl import_definitions`; what else is there stays."""
    found = tuple(places)
    whole = {
        "users": [{"name": each.user, **each.account, "tags": [], "limits": {}} for each in found],
        "permissions": [{"user": each.user, "vhost": vhost, **each.permissions} for each in found],
        "topic_permissions": [{"user": each.user, "vhost": vhost, **each.topics} for each in found],
        "queues": [consumer_queue(each.queue, vhost) for each in found],
        "bindings": [consumer_binding(each.queue, key, vhost) for each in found for key in each.keys],
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=1)
