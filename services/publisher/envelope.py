"""Puts a row of the update log into its envelope: CloudEvents 1.0, JSON format, structured mode."""

from typing import Any, cast

import msgspec
from msgspec import Struct

from services.publisher.moments import moment
from shared.contracts.public import CloudEvent

_ENCODER = msgspec.json.Encoder()


NO_MAILBOX = "_"  # in the place of a mailbox's id in a routing key: of the whole org


class Told(Struct, frozen=True, kw_only=True):
    """One row of the update log; `body` is the event's data, encoded. Without a mailbox id it is of the whole org."""

    position: int
    org_id: str
    mailbox_id: str
    type: str
    created_at: int
    body: bytes


def announcement(told: Told) -> tuple[str, bytes, dict[str, str]]:
    """Return (routing key, body, headers) of one update.

    The id is the position: `source` and `id` name an update for good, however often it is delivered. The headers copy
    what the body says, for routing and inspection; `id` and `type` also become AMQP properties.
    """
    sequence = f"{told.position:019}"
    source = f"/v1/orgs/{told.org_id}"
    subject = told.mailbox_id or told.org_id
    event = CloudEvent(
        id=sequence,
        source=source,
        type=cast("Any", told.type),
        subject=subject,
        time=moment(told.created_at),
        orgid=told.org_id,
        sequence=sequence,
        data=cast("Any", msgspec.Raw(told.body)),  # encoded already, when it was written
    )
    headers = {
        "id": sequence,
        "type": told.type,
        "cloudEvents_id": sequence,
        "cloudEvents_type": told.type,
        "cloudEvents_source": source,
        "cloudEvents_subject": subject,
    }
    return f"{told.org_id}.{told.mailbox_id or NO_MAILBOX}", _ENCODER.encode(event), headers
