"""Writes docs/events.md from the AsyncAPI document: the ways to receive updates, every message, and an example each."""

import json
from collections.abc import Iterator
from typing import Any

from deploy.schema_words import about, cell, section, table, within, words


def events_page(document: dict[str, Any]) -> str:
    """Return the page. `document` is what is served at /asyncapi.json."""
    schemas = document["components"]["schemas"]
    events = {message["name"]: message for message in document["components"]["messages"].values()}
    parts = [
        "# Events\n",
        f"{document['info']['description']}\n",
        "This page is made from the AsyncAPI document, which the publisher serves at `/asyncapi.json`. How to apply",
        "an update, and where to begin: [consumers.md](consumers.md). Schemas are closed: a member that is not listed",
        "here is never sent. Instants are RFC 3339 in UTC with seconds; intervals are half-open.\n",
        "## Ways\n",
    ]
    for name, channel in document["channels"].items():
        operation = next(
            each for each in document["operations"].values() if each["channel"]["$ref"].endswith(f"/{name}")
        )
        parts += _way(name, channel, operation, document)
    parts.append("## Messages\n")
    for name, message in events.items():
        parts += _message(name, message, schemas)
    envelopes = [_kind(message["payload"]) for message in events.values() if "$ref" in message["payload"]]
    parts.append("## Values\n\nWhat the messages are made of.\n")
    for kind in within(envelopes, schemas)[len(envelopes) :]:
        parts += section(kind, schemas[kind])
    return "\n".join(parts).rstrip() + "\n"


def _way(name: str, channel: dict[str, Any], operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    server = document["servers"][channel["servers"][0]["$ref"].rpartition("/")[2]]
    yield f"### {channel['title']}\n"
    yield f"{operation['summary']} {channel['description']}\n"
    yield "| | |"
    yield "| --- | --- |"
    yield f"| Server | {server['title']}: {server['description']} |"
    protocol = " ".join(filter(None, (server["protocol"], server.get("protocolVersion"))))
    yield f"| Protocol | {protocol} |"
    yield from _exchange(channel)
    yield f"| Address | `{channel['address']}` |"
    for parameter, told in channel.get("parameters", {}).items():
        yield f"| `{parameter}` | {cell(told['description'])} |"
    yield ""
    sample = document["components"]["messages"][f"{name}.availabilityUpdated"]
    headers = document["components"]["schemas"][_kind(sample["headers"])]
    yield f"Beside its body a message bears: {about(headers)}\n"
    yield from table(headers)
    yield ""


def _exchange(channel: dict[str, Any]) -> Iterator[str]:
    exchange = channel.get("bindings", {}).get("amqp", {}).get("exchange")
    if exchange:
        durable = "durable " if exchange["durable"] else ""
        kind = f"a {durable}{exchange['type']} exchange"
        yield f"| Exchange | `{exchange['name']}`, {kind}; the address is the routing key |"


def _message(name: str, message: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    yield f"{message['summary']} Content type: `{message['contentType']}`.\n"
    if "$ref" in message["payload"]:
        yield from table(schemas[_kind(message["payload"])])
    else:
        yield f"It is: {words(message['payload'])}."
    yield ""
    yield "```json"
    yield json.dumps(message["examples"][0]["payload"], indent=2)
    yield "```\n"


def _kind(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]
