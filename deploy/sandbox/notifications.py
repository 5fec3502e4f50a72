"""Writes notifications as Graph sends them: of changes, and of a subscription's own life. It sends nothing.

Paths in them are written sometimes with capitals and sometimes without, as Graph does.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from deploy.sandbox.rendering import IMMUTABLE_ID, PLAIN_ID
from deploy.sandbox.subscriptions import NO_FRACTION, Subscription
from shared.clock import moment
from shared.contracts.values import Instant

MISSED = "missed"
REAUTHORIZE = "reauthorizationRequired"
REMOVED = "subscriptionRemoved"
LIFECYCLE = (MISSED, REAUTHORIZE, REMOVED)


class Change(Struct, frozen=True, kw_only=True):
    """One change of one event: `kind` is created, updated or deleted, `revision` the calendar's after it."""

    kind: str
    item_id: str
    revision: int


class Notice(Struct, frozen=True, kw_only=True):
    """One notification on its way. A `bound` one goes only while its subscription lives.

    `waited` is how long (seconds) it was kept back after failed tries, `since` when it became due.
    """

    subscription_id: str
    url: str
    body: bytes
    since: Instant
    bound: bool = True
    waited: float = 0.0


def of_change(subscription: Subscription, change: Change, *, number: int) -> bytes:
    """Return the notification of a change; `number` decides about capitals."""
    event_id = f"{IMMUTABLE_ID if subscription.immutable else PLAIN_ID}{change.item_id}AA="
    users, events = ("users", "events") if number % 3 == 0 else ("Users", "Events")
    path = f"{subscription.user_id}/{{}}/{event_id}"
    said = {
        "id": str(uuid4()),
        "subscriptionId": subscription.id,
        "subscriptionExpirationDateTime": stamp(subscription.expiry, subscription.fraction),
        "clientState": subscription.client_state,
        "changeType": change.kind,
        "resource": f"{users}/{path.format(events)}",
        "tenantId": subscription.tenant_id,
        "resourceData": {
            "@odata.type": "#Microsoft.Graph.Event",
            "@odata.id": f"Users/{path.format('Events')}",
            "@odata.etag": f'W/"{change.revision:04d}{change.item_id}=="',
            "id": event_id,
        },
    }
    return _written(said)


def of_life(subscription: Subscription, event: str) -> bytes:
    """Return the notification of an event in a subscription's own life."""
    said = {
        "subscriptionId": subscription.id,
        "subscriptionExpirationDateTime": stamp(subscription.expiry, subscription.fraction),
        "tenantId": subscription.tenant_id,
        "clientState": subscription.client_state,
        "lifecycleEvent": event,
    }
    return _written(said)


def _written(said: Mapping[str, Any]) -> bytes:
    """Return JSON; without a client state its name is left out."""
    return msgspec.json.encode({name: value for name, value in said.items() if value is not None})


def collected(notices: Iterable[Notice]) -> bytes:
    """Return the body of one delivery."""
    return b'{"value":[' + b",".join(notice.body for notice in notices) + b"]}"


def stamp(instant: Instant, fraction: str = NO_FRACTION) -> str:
    """Return an instant with seven decimals."""
    return f"{moment(instant)[:-1]}.{fraction}Z"
