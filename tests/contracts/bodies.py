"""One body for each message, with every field set: what a first recording is made from."""

from typing import Any

import msgspec

from services.publisher.envelope import Told, announcement
from services.publisher.news import REMOVED, UPDATED
from shared.contracts.messages import (
    AvailabilitySnapshot,
    CalendarSnapshot,
    ConnectionDoubted,
    GraphConnection,
    MailboxEnumerate,
    MailboxErase,
    MailboxRead,
    MailboxUnreadable,
    OrgConnected,
    OrgDisconnected,
    OrgPurge,
    OrgPurged,
    PolicyChanged,
    PublicEvent,
    RawDetails,
    RawEvent,
)
from shared.contracts.policy import Detail, Policy, Scope
from shared.contracts.public import (
    AvailabilityUpdated,
    BusyBlock,
    EventDetails,
    MailboxRemoved,
    OrgRemoved,
    PublicMessage,
    Span,
)
from shared.contracts.values import Block, Bucket, Coverage, Kind, Mailbox, Status, Window

ORG_REMOVED = "org.removed.v1"
_START = 1_767_571_200  # 2026-01-05T00:00:00Z
_WINDOW = Window(_START, _START + 7 * 86_400)
_HOUR = Window(_START + 9 * 3600, _START + 10 * 3600)
_ROOM = Mailbox(mailbox_id="m-0001", address="room.0001@example.com", kind=Kind.ROOM, time_zone="Europe/Berlin")
_POLICY = Policy(
    detail=Detail.DETAILS,
    show_free=True,
    conferencing=True,
    tentative=Status.BUSY,
    oof=Status.BUSY,
    elsewhere=Status.FREE,
    scope=Scope(groups=("g-1",), include=("one@example.com",), exclude=("two@example.com",), rooms=False),
    days_back=1,
    days_ahead=14,
    window=_WINDOW,
    poll_seconds=600,
    poll_seconds_subscribed=43_200,
)
_DETAILS = RawDetails("e-1", "Plan", "Person 0002", ("Person 0003",), "Room 5", "About", "https://meet.example/1")
_RAW = RawEvent(
    _HOUR.start, _HOUR.end, "busy", "private", all_day=True, cancelled=True, response="accepted", details=_DETAILS
)
_SHOWN = {
    "all_day": True,
    "private": True,
    "event_id": "e-1",
    "subject": "Plan",
    "organizer": "Person 0002",
    "attendees": ("Person 0003",),
    "location": "Room 5",
    "preview": "About",
    "join_url": "https://meet.example/1",
}
_OF: dict[str, Any] = {"org_id": "acme", "generation": 3}
_READ: dict[str, Any] = {**_OF, "mailbox": _ROOM, "version": 7, "as_of": _START}


def _event(kind: str, data: PublicMessage) -> msgspec.Raw:
    told = Told(
        position=41,
        org_id="acme",
        mailbox_id="m-0001",
        type=kind,
        created_at=_START,
        body=msgspec.json.encode(data),
    )
    return msgspec.Raw(announcement(told)[1])


_UPDATED = AvailabilityUpdated(
    org_id="acme",
    mailbox_id="m-0001",
    mailbox="room.0001@example.com",
    time_zone="Europe/Berlin",
    version=7,
    as_of="2026-01-05T00:00:00Z",
    coverage=Coverage.FULL,
    privacy="details",
    window=Span(start="2026-01-05T00:00:00Z", end="2026-01-12T00:00:00Z"),
    start="2026-01-05T00:00:00Z",
    end="2026-01-06T00:00:00Z",
    busy=(BusyBlock(start="2026-01-05T09:00:00Z", end="2026-01-05T10:00:00Z", status=Status.OOF),),
    events=(EventDetails(start="2026-01-05T09:00:00Z", end="2026-01-05T10:00:00Z", status="oof", **_SHOWN),),
    reason="access_denied",
)
_REMOVED = MailboxRemoved(org_id="acme", mailbox_id="m-0001", mailbox="room.0001@example.com", reason="removed")

BODIES: dict[str, Any] = {
    "org.connected.v1": OrgConnected(
        org_id="acme",
        connection=GraphConnection(tenant_id="contoso.example", credential="main", cloud="sandbox"),
        policy=_POLICY,
        actor="admin@example.com",
    ),
    "policy.changed.v1": PolicyChanged(org_id="acme", policy=_POLICY, actor="admin@example.com"),
    "org.disconnected.v1": OrgDisconnected(org_id="acme", actor="admin@example.com"),
    "connection.doubted.v1": ConnectionDoubted(**_OF, reason="app_disabled"),
    "org.purge.v1": OrgPurge(**_OF, purge_id="0123456789abcdef" * 2, service="fetcher"),
    "org.purged.v1": OrgPurged(
        org_id="acme", purge_id="0123456789abcdef" * 2, service="fetcher", counts={"mailboxes": 12}
    ),
    "mailbox.erase.v1": MailboxErase(**_OF, mailbox_id="m-0001"),
    "mailbox.enumerate.v1": MailboxEnumerate(**_OF, run="0123456789abcdef" * 2, stage="users", cursor="page-2"),
    "mailbox.read.v1": MailboxRead(**_OF, mailbox_id="m-0001", since=_START, live=True),
    "calendar.snapshot.v1": CalendarSnapshot(**_READ, window=_WINDOW, policy=_POLICY, events=(_RAW,), live=True),
    "availability.snapshot.v1": AvailabilitySnapshot(
        **_READ,
        window=_WINDOW,
        time_zone="Europe/Berlin",
        blocks=(Block(_HOUR.start, _HOUR.end, Status.BUSY),),
        events=(PublicEvent(start=_HOUR.start, end=_HOUR.end, status="busy", **_SHOWN),),
        live=True,
    ),
    "mailbox.unreadable.v1": MailboxUnreadable(**_READ, bucket=Bucket.DENIED, reason="access_denied"),
    UPDATED: _event(UPDATED, _UPDATED),
    REMOVED: _event(REMOVED, _REMOVED),
    ORG_REMOVED: _event(ORG_REMOVED, OrgRemoved(org_id="acme")),
}
