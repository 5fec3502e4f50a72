"""The AsyncAPI 3 document: every message that is sent to consumers and the ways it takes, from the types of the code.

It describes what is sent unasked; what is answered to a request is in the OpenAPI page (`openapi`).
"""

from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct

from services.publisher import events, samples
from services.publisher.events import EVENTS
from services.publisher.specimen import specimen
from services.publisher.ways import WAYS, Extra, Way
from shared.broker.wire import CLOUD_EVENT

_REF = "#/components/schemas/{name}"
_SERVERS = {
    "broker": {
        "host": "broker.example.com:5672",
        "protocol": "amqp",
        "protocolVersion": "0-9-1",
        "title": "RabbitMQ",
        "description": "The deployment's RabbitMQ; its operator names the host, and says whether TLS is used.",
        "security": [{"$ref": "#/components/securitySchemes/account"}],
    },
    "api": {
        "host": "busyline.example.com",
        "protocol": "https",
        "title": "Consumers' HTTP",
        "description": "The deployment's HTTP for consumers; its operator names the host. `/openapi.json` lies there.",
        "security": [{"$ref": "#/components/securitySchemes/token"}],
    },
    "receiver": {
        "host": "receiver.example.com",
        "protocol": "https",
        "title": "Your own server",
        "description": "Where you receive webhooks: you name its address when you add one.",
        "security": [{"$ref": "#/components/securitySchemes/signature"}],
    },
}
_SECURITY = {
    "account": {"type": "userPassword", "description": "The RabbitMQ user that the operator made for this consumer."},
    "token": {"type": "http", "scheme": "bearer", "description": "A consumer's token."},
    "signature": {
        "type": "httpApiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks 1.0: HMAC-SHA256 over `webhook-id`.`webhook-timestamp`.body, in Base64.",
    },
}
_ABOUT = (
    "What Busyline tells applications unasked: one log of updates, several ways to receive it, the same messages on "
    "each. Delivery is at least once; a mailbox's updates come in order of `sequence`. `/openapi.json` describes "
    "what can be asked for: the state to begin with, and the same log page by page."
)


def document() -> dict[str, Any]:
    """Return the document as JSON values."""
    page = {
        "asyncapi": "3.0.0",
        "id": "urn:busyline:events",
        "info": {
            "title": "Busyline",
            "version": version("busyline"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
            "tags": [{"name": "availability"}],
        },
        "defaultContentType": CLOUD_EVENT,
        "servers": _SERVERS,
        "channels": {way.name: _channel(way) for way in WAYS},
        "operations": {way.operation: _operation(way) for way in WAYS},
        "components": {
            "schemas": _schemas(),
            "messages": {_key(way, kind): _message(way, kind) for way in WAYS for kind in _kinds(way)},
            "securitySchemes": _SECURITY,
        },
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(page))  # defaults in schemas are tuples
    return plain


def _channel(way: Way) -> dict[str, Any]:
    page: dict[str, Any] = {
        "address": way.address,
        "title": way.title,
        "description": way.description,
        "servers": [{"$ref": f"#/servers/{way.server}"}],
        "messages": {_name(kind): {"$ref": f"#/components/messages/{_key(way, kind)}"} for kind in _kinds(way)},
    }
    if way.parameters:
        page["parameters"] = {name: {"description": words} for name, words in way.parameters.items()}
    return page | ({"bindings": way.channel} if way.channel else {})


def _operation(way: Way) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{way.name}"},
        "title": way.title,
        "summary": way.summary,
        "messages": [{"$ref": f"#/channels/{way.name}/messages/{_name(kind)}"} for kind in _kinds(way)],
        "bindings": way.sending,
    }


def _kinds(way: Way) -> tuple[str, ...]:
    return (*EVENTS, *way.more)


def _message(way: Way, kind: str) -> dict[str, Any]:
    page = _event(kind) if kind in EVENTS else _extra(way.more[kind])
    sample = {"name": _name(kind), "headers": samples.headers(kind, way.headers), "payload": page.pop("sample")}
    page |= {"name": kind, "headers": _ref(way.headers), "examples": [sample]}
    if way.server == "broker":
        page["bindings"] = {"amqp": {"messageType": kind, "bindingVersion": "0.3.0"}}
    return page


def _event(kind: str) -> dict[str, Any]:
    event = EVENTS[kind]
    about = {"title": _title(event), "summary": event.__doc__, "contentType": CLOUD_EVENT}
    return about | {"payload": _ref(event), "sample": samples.event(kind)}


def _extra(extra: Extra) -> dict[str, Any]:
    payload = {"type": "integer", "minimum": 0} if extra.payload is None else _ref(extra.payload)
    sample = samples.POSITION if extra.payload is None else specimen(extra.payload)
    return {"summary": extra.summary, "contentType": extra.media_type, "payload": payload, "sample": sample}


def _ref(kind: type[Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}


def _schemas() -> dict[str, Any]:
    """Return the schema of every event, of what it is made of, and of what it bears beside its body on each way."""
    kinds = [way.headers for way in WAYS]
    kinds += [extra.payload for way in WAYS for extra in way.more.values() if extra.payload is not None]
    _, more = msgspec.json.schema_components(kinds, ref_template=_REF)
    return events.schemas(_REF) | more


def _key(way: Way, kind: str) -> str:
    return f"{way.name}.{_name(kind)}"


def _name(kind: str) -> str:
    """Return a type of event as a key: availability.updated.v1 as availabilityUpdated."""
    first, *rest = kind.removesuffix(".v1").split(".")
    return first + "".join(word.capitalize() for word in rest)


def _title(event: type[Struct]) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in event.__name__)
    return words.removesuffix(" event").strip().capitalize()
