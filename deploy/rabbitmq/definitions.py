"""Writes RabbitMQ's definitions: the topology, and for each user exactly the rights its work needs.

Pure: the same passwords give the same bytes. It refuses a user it does not know and writes passwords only hashed.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from shared.broker import topology
from shared.contracts.values import ORG_ID

VHOST = "busyline"
DEFAULT_EXCHANGE = "amq.default"  # the name RabbitMQ checks rights on when a message is sent to a queue by its name
NOTHING = "^$"
QUEUE: dict[str, Any] = {"durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}}
DAY_MS = 86_400_000
CONSUMER = re.compile(r"[a-z][a-z0-9-]{0,39}")
ADMISSION = "admission"  # the user of BUSYLINE_BROKER_ADMIN_URL, which makes consumers' users and queues
_ITS_RIGHTS = {
    "configure": r"^consumer\..*$",
    "write": r"^consumer\..*$",
    "read": rf"^({re.escape(topology.AVAILABILITY)}|consumer\..*)$",
}


class Rights(Struct, frozen=True, kw_only=True):
    """What a user of ours does: the queues it takes from, and the routing keys it publishes.

    `takes` are whole queues; who takes also delays, tries again and parks. `forgets` are queues it takes what is left
    of an org from when it leaves. `announces` is publishing to consumers.
    """

    takes: tuple[str, ...] = ()
    forgets: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()
    announces: bool = False
    settles: bool = False  # replays and drops dead letters


def _queues(service: str) -> tuple[str, ...]:
    return tuple(name for name, queue in topology.QUEUES.items() if queue.service == service)


def _rungs(service: str) -> tuple[str, ...]:
    return tuple(rung.name for rung in topology.DELAYED if rung.name.partition(".")[0] == service)


USERS: dict[str, Rights] = {
    "authorizer": Rights(
        takes=_queues("authorizer"),
        publishes=(
            "mailbox.enumerate.v1",
            "mailbox.read.v1",  # an admin has mailboxes read again
            "mailbox.read.v1.live",
            "mailbox.read.v1.exchange",
            *(f"org.purge.v1.{service}" for service in ("fetcher", "normalizer", "publisher")),
        ),
    ),
    "fetcher": Rights(
        takes=_queues("fetcher"),
        forgets=(*_rungs("fetcher"), topology.PARKED),  # it has seen every calendar that may lie there
        publishes=(
            "mailbox.enumerate.v1",
            "mailbox.read.v1",
            "mailbox.read.v1.live",
            "mailbox.read.v1.exchange",
            "calendar.snapshot.v1",
            "calendar.snapshot.v1.live",
            "mailbox.unreadable.v1",
            "connection.doubted.v1",
            "org.purged.v1",
        ),
    ),
    "normalizer": Rights(
        takes=_queues("normalizer"),
        forgets=_rungs("normalizer"),
        publishes=("availability.snapshot.v1", "availability.snapshot.v1.live", "org.purged.v1"),
    ),
    "publisher": Rights(
        takes=_queues("publisher"), forgets=_rungs("publisher"), publishes=("org.purged.v1",), announces=True
    ),
    "platform": Rights(publishes=("org.connected.v1", "policy.changed.v1", "org.disconnected.v1")),
    "operator": Rights(takes=(topology.PARKED,), publishes=("mailbox.erase.v1",), settles=True),
}

POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    # Dead letters may hold what nobody should keep for ever.
    "parked": (rf"^{re.escape(topology.PARKED)}$", {"message-ttl": 30 * DAY_MS}),
    # A consumer that stays away must not fill the broker's disk: it resumes over HTTP from its position.
    "consumers": (r"^consumer\.", {"max-length-bytes": 256 * 2**20}),
}


class Consumer(Struct, frozen=True, kw_only=True):
    """A downstream application on the broker, with one queue, `consumer.<name>.updates`, for the orgs it may see."""

    name: str
    password: str
    orgs: tuple[str, ...]  # ("*",) for every org


def document(passwords: Mapping[str, str], consumers: Iterable[Consumer] = ()) -> bytes:
    """Return the definitions file as JSON, with a user for each password (keys of USERS, ADMISSION) and each consumer.

    Without passwords it holds no users. Raises ValueError for a user that is not known, or a password that is empty.
    """
    consumers = tuple(consumers)
    users: list[dict[str, Any]] = []
    permissions: list[dict[str, Any]] = []
    topics: list[dict[str, Any]] = []
    for name, password in sorted(passwords.items()):
        if name == ADMISSION:
            users.append(_user(name, password, "administrator"))  # RabbitMQ lets nobody else make users
            permissions.append(_permission(name, **_ITS_RIGHTS))
            continue
        if name not in USERS:
            raise ValueError(f"no broker user is called {name}; there are {', '.join(USERS)}")
        users.append(_user(name, password))
        permissions.append(_permission(name, **_rights(USERS[name])))
        topics += _topics(name, USERS[name])
    for consumer in consumers:
        users.append(_user(consumer_user(consumer), consumer.password))
        permissions.append(_permission(consumer_user(consumer), **consumer_rights(consumer)))
        topics.append(_topic(consumer_user(consumer), topology.AVAILABILITY, read=consumer_keys(consumer)))
    policies = [_policy(name, pattern, rules) for name, (pattern, rules) in POLICIES.items()]
    common = topology.definitions(VHOST)
    common["queues"] += [consumer_queue(queue_name(each), VHOST) for each in consumers]
    common["bindings"] += [
        consumer_binding(queue_name(each), key, VHOST) for each in consumers for key in binding_keys(each)
    ]
    whole = common | {
        "users": users,
        "permissions": permissions,
        "topic_permissions": topics,
        "policies": policies,
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"


# -- users of ours ------------------------------------------------------------------------------------------------


def _rights(rights: Rights) -> dict[str, str]:
    """Return what a user may configure, write and read. Nobody declares: the definitions have declared everything."""
    writes = []
    if rights.publishes:
        writes.append(topology.EXCHANGE)
    if rights.announces:
        writes.append(topology.AVAILABILITY)
    if rights.takes:
        writes += [DEFAULT_EXCHANGE, *([] if rights.settles else sorted(topology.RESTING))]
    return {"configure": NOTHING, "write": _exactly(writes), "read": _exactly((*rights.takes, *rights.forgets))}


def _topics(user: str, rights: Rights) -> list[dict[str, Any]]:
    """Limit the routing keys; where RabbitMQ finds no such limit for an exchange, every key is allowed."""
    keys = _exactly(rights.publishes)
    shown = "^.*$" if rights.announces else NOTHING
    return [
        _topic(user, topology.EXCHANGE, write=keys),
        _topic(user, topology.AVAILABILITY, write=shown),
    ]


# -- consumers ----------------------------------------------------------------------------------------------------


def consumer_user(consumer: Consumer) -> str:
    """Return a consumer's user name. Raises ValueError for a name that could not be one word of a queue's name."""
    if not CONSUMER.fullmatch(consumer.name):
        raise ValueError("a consumer's name is 1 to 40 lower-case letters, digits and -, beginning with a letter")
    return f"consumer-{consumer.name}"


def consumer_rights(consumer: Consumer) -> dict[str, str]:
    """Return what a consumer may do: take from its own queue, and bind it to the consumers' exchange.

    It declares nothing: a queue that refuses what is published (`x-overflow`) would hold up everybody's updates.
    """
    own = rf"consumer\.{re.escape(consumer.name)}\..*"
    read = rf"^({re.escape(topology.AVAILABILITY)}|{own})$"
    return {"configure": NOTHING, "write": f"^{own}$", "read": read}


def consumer_queue(name: str, vhost: str) -> dict[str, Any]:
    """Return a consumer's queue: durable, and replicated where there are several nodes."""
    return {"name": name, "vhost": vhost, **QUEUE}


def consumer_binding(name: str, key: str, vhost: str) -> dict[str, Any]:
    """Return what leads updates with a routing key to a consumer's queue."""
    return {
        "source": topology.AVAILABILITY,
        "vhost": vhost,
        "destination": name,
        "destination_type": "queue",
        "routing_key": key,
        "arguments": {},
    }


def queue_name(consumer: Consumer) -> str:
    """Return the name of a consumer's queue."""
    return f"consumer.{consumer.name}.updates"


def binding_keys(consumer: Consumer) -> tuple[str, ...]:
    """Return the routing keys that a consumer's queue is bound with: each names one of its orgs, or all."""
    return tuple("#" if org == "*" else f"{org}.#" for org in consumer.orgs)


def consumer_keys(consumer: Consumer) -> str:
    """Return the expression that its binding keys must match: they name one of its orgs. Raises ValueError."""
    if consumer.orgs == ("*",):
        return "^.*$"
    if not consumer.orgs or not all(ORG_ID.fullmatch(org) for org in consumer.orgs):
        raise ValueError("a consumer has one org or more, each 1 to 64 letters, digits, - or _, or the one word *")
    return rf"^({'|'.join(map(re.escape, consumer.orgs))})\."


# -- rows of the file ---------------------------------------------------------------------------------------------


def _user(name: str, password: str, *tags: str) -> dict[str, Any]:
    if not password:
        raise ValueError(f"the password of {name} is empty")
    return {
        "name": name,
        "password_hash": hashed(name, password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": list(tags),
        "limits": {},
    }


def hashed(name: str, password: str) -> str:
    """Return base64(salt + SHA-256(salt + password)); the salt is made of both, so that the file is reproducible."""
    salt = hmac.digest(password.encode(), name.encode(), "sha256")[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _permission(user: str, *, configure: str, write: str, read: str) -> dict[str, Any]:
    return {"user": user, "vhost": VHOST, "configure": configure, "write": write, "read": read}


def _topic(user: str, exchange: str, *, write: str = NOTHING, read: str = NOTHING) -> dict[str, Any]:
    return {"user": user, "vhost": VHOST, "exchange": exchange, "write": write, "read": read}


def _policy(name: str, pattern: str, rules: dict[str, Any]) -> dict[str, Any]:
    return {"vhost": VHOST, "name": name, "pattern": pattern, "apply-to": "queues", "definition": rules, "priority": 0}


def _exactly(names: Iterable[str]) -> str:
    escaped = "|".join(re.escape(name) for name in names)
    return f"^({escaped})$" if escaped else NOTHING
