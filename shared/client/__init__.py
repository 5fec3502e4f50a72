"""For applications downstream: updates as they come, a local copy of availability, webhooks that are verified.

It knows the contracts and nothing else of Busyline: it can be used without any of its services.
"""

from shared.client.applying import applied
from shared.client.errors import (
    Away,
    ClientError,
    NotVerified,
    PositionGone,
    Refused,
    Unknown,
    Unreadable,
)
from shared.client.following import follow
from shared.client.over_amqp import Queue
from shared.client.over_http import Http
from shared.client.replica import Busy, Replica, Stats
from shared.client.subscribing import Subscription, subscribe
from shared.client.updates import Update
from shared.client.webhooks import verified
from shared.contracts.public import AvailabilityUpdated, MailboxRemoved, OrgRemoved

__all__ = [
    "AvailabilityUpdated",
    "Away",
    "Busy",
    "ClientError",
    "Http",
    "MailboxRemoved",
    "NotVerified",
    "OrgRemoved",
    "PositionGone",
    "Queue",
    "Refused",
    "Replica",
    "Stats",
    "Subscription",
    "Unknown",
    "Unreadable",
    "Update",
    "applied",
    "follow",
    "subscribe",
    "verified",
]
