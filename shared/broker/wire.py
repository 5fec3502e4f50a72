"""What a message looks like on the wire: bodies and headers, written and read. Nothing read is believed unchecked.

A body that cannot be read is rejected with a fixed word and a field path; its text appears nowhere.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from shared.broker import topology
from shared.broker.interface import Outgoing
from shared.contracts.messages import Message
from shared.contracts.values import Instant
from shared.errors import Reject

JSON = "application/json"
CLOUD_EVENT = "application/cloudevents+json"
LARGEST_BODY = 16 * 1024 * 1024  # bytes; what RabbitMQ 4 itself takes at most


Headers = Mapping[str, str | int]

_WORD = re.compile(r"[A-Za-z0-9_.:$\[\]-]{1,256}")
_PATH = re.compile(r"\$[A-Za-z0-9_.\[\]]{0,200}")
_TYPES = {topology.type_name(kind): kind for queue in topology.QUEUES.values() for kind in queue.takes}
_encode = msgspec.json.Encoder().encode


class Letter(Struct, frozen=True, kw_only=True):
    """A body with all that is needed to publish it. `mandatory`: some queue must take it, or it is refused."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str
    message_type: str
    timestamp: Instant
    headers: Headers
    content_type: str = JSON
    mandatory: bool = True


class Taken(Struct, frozen=True, kw_only=True, eq=False):
    """A delivery as it came. `tag` means something only to `source`, the channel it came by."""

    queue: str
    body: bytes
    headers: Mapping[str, Any]
    message_id: str
    message_type: str
    timestamp: Instant
    redelivered: bool
    tag: Any
    source: Any

    @property
    def attempt(self) -> int:
        """The try this is, from 1."""
        return max(1, whole(self.headers.get("attempt")))

    @property
    def deliveries(self) -> int:
        """How often the broker handed this copy out before: many times means that it ends the process."""
        # RabbitMQ 4.3 counts a lost connection in the second header only
        return max(whole(self.headers.get("x-delivery-count")), whole(self.headers.get("x-acquired-count")))

    @property
    def not_before(self) -> float:
        """The instant (UTC seconds) before which it must not be handled; 0 for at once."""
        return whole(self.headers.get("not_before")) / 1000


@cache
def _decoder(kind: type[Message]) -> msgspec.json.Decoder[Message]:
    return msgspec.json.Decoder(kind)


class _Tag(Struct):
    type: str = ""


_tag = msgspec.json.Decoder(_Tag)


def decode(taken: Taken) -> Message:
    """Return the message in a body. Raises Reject: oversize, malformed (with the field's path) or unknown_type."""
    if len(taken.body) > LARGEST_BODY:
        raise Reject("oversize")
    try:
        name = taken.message_type or _tag.decode(taken.body).type
        kind = _TYPES.get(name)
        if kind is None or kind not in topology.QUEUES[taken.queue].takes:
            raise Reject("unknown_type")
        return _decoder(kind).decode(taken.body)
    except msgspec.ValidationError as error:
        raise Reject("malformed", _path(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Reject("malformed", "json") from None


def _path(error: msgspec.ValidationError) -> str:
    """Return the field's path alone: what stands before it can quote a value."""
    path = str(error).rpartition(" - at `")[2].rstrip("`")
    return path if _PATH.fullmatch(path) else "$"


def letter(outgoing: Message | Outgoing, *, now: float) -> Letter:
    """Return what to publish for a message. Raises Unroutable, or Reject(oversize) for a body no broker takes."""
    message, delay = (outgoing.message, outgoing.delay) if isinstance(outgoing, Outgoing) else (outgoing, 0.0)
    key = topology.route(message)
    body = _encode(message)
    if len(body) > LARGEST_BODY:
        raise Reject("oversize", topology.type_name(type(message)))
    headers: dict[str, str | int] = {"org_id": message.org_id, "attempt": 1}
    generation = getattr(message, "generation", None)
    if generation is not None:
        headers["generation"] = generation
    first = Letter(
        exchange=topology.EXCHANGE,
        routing_key=key,
        body=body,
        message_id=uuid4().hex,
        message_type=topology.type_name(type(message)),
        timestamp=int(now),
        headers=headers,
    )
    if delay <= 0:
        return first
    return delayed(first, str(topology.queue_of(first.exchange, key)), not_before=now + delay, now=now)


def delayed(first: Letter, queue: str, *, not_before: float, now: float) -> Letter:
    """Return a letter that rests and then comes to `queue`; it may have to rest several times."""
    return msgspec.structs.replace(
        first,
        exchange=topology.resting_place(not_before - now),
        routing_key=queue,
        headers={**first.headers, "not_before": int(not_before * 1000) + 1},
    )


def again(taken: Taken, *, attempt: int) -> Letter:
    """Return a copy of a delivery for its own queue, as the given attempt."""
    headers: dict[str, str | int] = {"attempt": attempt}
    org_id = word(taken.headers.get("org_id"))
    if org_id:
        headers["org_id"] = org_id
    if generation := whole(taken.headers.get("generation")):
        headers["generation"] = generation
    return Letter(
        exchange="",
        routing_key=taken.queue,
        body=taken.body,
        message_id=taken.message_id,
        message_type=taken.message_type,
        timestamp=taken.timestamp,
        headers=headers,
    )


def announcement(routing_key: str, body: bytes, headers: Headers, *, now: float) -> Letter:
    """Return what consumers receive; headers `id` and `type`, where given, are the message's id and type as well."""
    return Letter(
        exchange=topology.AVAILABILITY,
        routing_key=routing_key,
        body=body,
        message_id=str(headers.get("id") or uuid4().hex),
        message_type=str(headers.get("type") or ""),
        timestamp=int(now),
        headers=headers,
        content_type=CLOUD_EVENT,
        mandatory=False,
    )


def known_type(name: str) -> str:
    """Return a type that is safe to log: one of ours, or `unknown`."""
    return name if name in _TYPES else "unknown"


def word(value: object) -> str:
    """Return an id or a fixed word as it is, and an empty text for anything that might be more than that."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def whole(value: object) -> int:
    """Return a header's number, 0 for anything that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
