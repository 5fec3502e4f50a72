"""The commands that the demo offers to whoever wants to try its HTTP API: one for each way to read availability."""

import json
import shlex
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from services.publisher.moments import moment
from shared.contracts.values import DAY, Instant

AT_A_TIME: Final = "?limit=1"  # a snapshot of a whole organisation fills many screens
RECEIVER: Final = "http://127.0.0.1:5000/busyline"  # of docs/examples/flask_webhook.py


class Request(Struct, frozen=True):
    """What a command shows, and the command; in it stand the variables that `variables` sets."""

    shows: str
    command: str


def variables(url: str, token: str, org_id: str) -> str:
    """Return the line of a shell that the commands stand on."""
    return f"export TOKEN={token} URL={url} ORG={org_id}"


def requests(people: Sequence[str], now: Instant) -> list[Request]:
    """Return the commands, for mailboxes whose availability is known; at least one. `now`: UTC seconds."""
    today = now - now % DAY
    one = f"orgs/$ORG/mailboxes/{quote(people[0], safe='@')}"
    slots = {
        "periods": [{"from": moment(today + DAY), "to": moment(today + 8 * DAY)}],
        "duration_minutes": 60,
        "required": [{"mailbox": each} for each in people[:3]],
        "limit": 3,
    }
    return [
        Request("which organisations there are", _get("orgs")),
        Request("how it does", _get("orgs/$ORG/status")),
        Request("its mailboxes", _get("orgs/$ORG/mailboxes?limit=5")),
        Request("one of them", _get(f"{one}/availability")),
        Request("when three can meet", _post("orgs/$ORG/slots", slots)),
        Request("all there is, and a position", _get(f"orgs/$ORG/snapshot{AT_A_TIME}")),
        Request("what changed after a position", _get("updates?after=0&limit=1")),
        Request("what changes, as it changes", _get("stream", "-N ")),
        Request("a calendar to subscribe to", _post(f"{one}/feeds")),
        Request("being called, by a webhook", _post("webhooks", {"url": RECEIVER})),
    ]


def _get(path: str, flags: str = "") -> str:
    return f'curl {flags}-H "Authorization: Bearer $TOKEN" "$URL/v1/{path}"'


def _post(path: str, body: dict[str, Any] | None = None) -> str:
    if body is None:
        return _get(path, "-X POST ")
    return f"{_get(path)} -H Content-Type:application/json -d {shlex.quote(json.dumps(body))}"
