"""Every type of event that consumers receive, as it comes: one closed envelope for each, so that its data is exact."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from shared.contracts.public import AvailabilityUpdated, CloudEvent, MailboxRemoved, OrgRemoved


class AvailabilityUpdatedEvent(CloudEvent, frozen=True, kw_only=True):
    """A mailbox's availability changed: replace the range [from, to) of what you hold of it."""

    type: Literal["availability.updated.v1"] = "availability.updated.v1"
    data: AvailabilityUpdated


class MailboxRemovedEvent(CloudEvent, frozen=True, kw_only=True):
    """A mailbox is no longer read: drop what you hold of it."""

    type: Literal["mailbox.removed.v1"] = "mailbox.removed.v1"
    data: MailboxRemoved


class OrgRemovedEvent(CloudEvent, frozen=True, kw_only=True):
    """An organisation left: drop everything you hold of it."""

    type: Literal["org.removed.v1"] = "org.removed.v1"
    data: OrgRemoved


EVENTS: Mapping[str, type[CloudEvent]] = MappingProxyType(
    {
        "availability.updated.v1": AvailabilityUpdatedEvent,
        "mailbox.removed.v1": MailboxRemovedEvent,
        "org.removed.v1": OrgRemovedEvent,
    }
)

ANY_EVENT: Final = "CloudEvent"  # the schema that allows each of them
AnyEvent = Annotated[msgspec.Raw, Meta(extra_json_schema={"$ref": f"#/components/schemas/{ANY_EVENT}"})]
"""An event within an answer, encoded already."""


def schemas(ref_template: str) -> dict[str, Any]:
    """Return the JSON schemas of every event and of what it is made of, by name.

    What is always written is asked for, though it could only have one value.
    """
    _, found = msgspec.json.schema_components(list(EVENTS.values()), ref_template=ref_template)
    for name in (*(event.__name__ for event in EVENTS.values()), OrgRemoved.__name__):
        found[name]["required"] = list(found[name]["properties"])
    return found
