"""The messages whose schemas are recorded, and how they are written down.

The envelope holds one of three kinds of data; its `type` says which. It is recorded once for each, with that type
alone.
"""

from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct, structs

from shared.contracts import messages, public

EVENTS: dict[str, type[Struct]] = {
    "availability.updated.v1": public.AvailabilityUpdated,
    "mailbox.removed.v1": public.MailboxRemoved,
    "org.removed.v1": public.OrgRemoved,
}


def envelope(kind: str) -> type[Struct]:
    """Return the envelope of one type of event, with the struct of its data."""
    narrowed: dict[str, Any] = {"type": Literal[kind], "data": EVENTS[kind]}
    fields: list[Any] = []
    for field in structs.fields(public.CloudEvent):
        hint = narrowed.get(field.name, field.type)
        fields.append((field.name, hint) if field.required else (field.name, hint, field.default))
    return msgspec.defstruct("CloudEvent", fields, frozen=True, kw_only=True, forbid_unknown_fields=True)


def pipeline() -> dict[str, type[Struct]]:
    """Return every message of the pipeline by its type."""
    return {kind.__struct_config__.tag: kind for kind in get_args(messages.PipelineMessage)}


def consumers() -> dict[str, type[Struct]]:
    """Return every event that consumers receive by its type, in its envelope."""
    return {kind: envelope(kind) for kind in EVENTS}


def everything() -> dict[str, type[Struct]]:
    """Return every contract by the name of its recording."""
    return pipeline() | consumers()


def schema_text(kind: type[Struct]) -> str:
    """Return a contract's JSON schema as it is recorded."""
    schema = msgspec.json.schema(kind)
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2).decode() + "\n"
