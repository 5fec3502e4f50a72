"""A sample of every event for the documents, written as a real one is: through the envelope that consumers receive."""

from typing import Any, Final

import msgspec

from services.publisher.envelope import Told, announcement
from services.publisher.events import EVENTS
from services.publisher.news import ORG_REMOVED, REMOVED, UPDATED
from services.publisher.ways import StreamFields, WebhookHeaders
from shared.broker.frames import PROPERTIES
from shared.contracts.public import (
    AvailabilityUpdated,
    BusyBlock,
    MailboxRemoved,
    OrgRemoved,
    PublicMessage,
    Span,
    WeeklyHours,
    WeeklyPeriod,
)
from shared.contracts.values import Coverage, Status

POSITION: Final = 42
_AT: Final = 1_772_438_403  # 2026-03-02T08:00:03Z
_MAILBOX: Final = "5b7e0c3a-1111-4222-8333-000000000001"
_HOURS = WeeklyPeriod(days=("monday", "tuesday", "wednesday", "thursday", "friday"), start="09:00", end="17:30")
_DATA: dict[str, PublicMessage] = {
    UPDATED: AvailabilityUpdated(
        org_id="acme",
        mailbox_id=_MAILBOX,
        mailbox="person0001@contoso.com",
        time_zone="Europe/Berlin",
        version=7,
        as_of="2026-03-02T08:00:02Z",
        coverage=Coverage.FULL,
        privacy="free-busy",
        window=Span(start="2026-01-19T00:00:00Z", end="2026-09-20T00:00:00Z"),
        start="2026-03-03T09:00:00Z",
        end="2026-03-03T11:00:00Z",
        busy=(BusyBlock(start="2026-03-03T09:30:00Z", end="2026-03-03T10:00:00Z", status=Status.BUSY),),
        working_hours=WeeklyHours(time_zone="Europe/Berlin", periods=(_HOURS,)),
    ),
    REMOVED: MailboxRemoved(org_id="acme", mailbox_id=_MAILBOX, mailbox="person0001@contoso.com", reason="removed"),
    ORG_REMOVED: OrgRemoved(org_id="acme"),
}


def event(kind: str) -> dict[str, Any]:
    """Return the sample of one type of event, as JSON values."""
    decoded: dict[str, Any] = msgspec.json.decode(_announced(kind)[1])
    return decoded


def headers(kind: str, borne: type[msgspec.Struct]) -> dict[str, str]:
    """Return what a message of a type bears beside its body on a way whose `headers` are of this type."""
    position = POSITION + (list(EVENTS).index(kind) if kind in EVENTS else 0)
    if borne is StreamFields:
        return plain(StreamFields(id=str(position), event=kind))
    if borne is WebhookHeaders:
        return plain(
            WebhookHeaders(
                webhook_id=f"evt_{position:019}" if kind in EVENTS else "test_00112233445566778899aabb",
                webhook_timestamp=str(_AT + 1),
                webhook_signature="v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            )
        )
    return {name: value for name, value in _announced(kind)[2].items() if name not in PROPERTIES}


def plain(value: msgspec.Struct) -> dict[str, Any]:
    """Return a value as JSON values."""
    decoded: dict[str, Any] = msgspec.to_builtins(value)
    return decoded


def _announced(kind: str) -> tuple[str, bytes, dict[str, str]]:
    data = _DATA[kind]
    return announcement(
        Told(
            position=POSITION + list(EVENTS).index(kind),
            org_id="acme",
            mailbox_id=getattr(data, "mailbox_id", ""),
            type=kind,
            created_at=_AT,
            body=msgspec.json.encode(data),
        )
    )
