"""A request for every operation there is, made from its own description: new ones are asked about by themselves."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession
from msgspec import Struct

from services.publisher import api
from services.publisher.operations import Operation
from services.publisher.specimen import specimen

OPERATIONS = {each.name: each for each in api.OPERATIONS}
CLOSED = {name: each for name, each in OPERATIONS.items() if not each.open}
OF_ORGS = {name: each for name, each in CLOSED.items() if "{org}" in each.path}
QUERIED = {name: each for name, each in CLOSED.items() if any(known.name == "org" for known in each.query)}
THINGS = ("webhook", "feed")  # what a consumer made itself, named in a path
OF_THINGS = {name: each for name, each in CLOSED.items() if any(f"{{{thing}}}" in each.path for thing in THINGS)}
MAILBOX, DAY = "person0001@contoso.com", "2026-03-02"  # of specimens
_NEVER_ENDS = "text/event-stream"
_VARIES = {"Date", "RateLimit", "Content-Length"}


def bodies() -> dict[str, Any]:
    """Return bodies of which a specimen is no sensible one."""
    span = ({"dateTime": f"{DAY}T09:00:00", "timeZone": "UTC"}, {"dateTime": f"{DAY}T17:00:00", "timeZone": "UTC"})
    return {
        "googleFreeBusy": {
            "timeMin": f"{DAY}T09:00:00Z",
            "timeMax": f"{DAY}T17:00:00Z",
            "items": [{"id": MAILBOX}],
        },
        "getSchedule": {"schedules": [MAILBOX], "startTime": span[0], "endTime": span[1]},
        "slots": {
            "periods": [{"from": f"{DAY}T00:00:00Z", "to": f"{DAY}T23:00:00Z"}],
            "duration_minutes": 30,
            "required": [{"mailbox": MAILBOX}],
            "explain": True,
        },
    }


class Names(Struct, frozen=True, kw_only=True):
    """What a request is about."""

    org: str = "acme"
    mailbox: str = "m-0001@example.com"
    day: str = DAY
    webhook: str = "wh_none"
    feed: str = "none"
    secret: str = "A" * 43


class Reply(Struct, frozen=True):
    """What came back; headers that differ by the moment left out."""

    status: int
    raw: bytes
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(json.loads(self.raw).get("code", "")) if self.status >= 400 else ""


async def ask(session: ClientSession, url: str, operation: Operation, names: Names, token: str | None) -> Reply:
    """Ask one operation about something, with a token or none; of a stream that never ends take what comes at once."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    given = {name: getattr(names, name, "none") for name in re.findall(r"{(\w+)}", operation.path)}
    given |= {"address": names.mailbox} if "address" in given else {}
    query = {"org": names.org} if operation.name in QUERIED else {}
    query |= {"after": "0"} if any(known.name == "after" for known in operation.query) else {}
    path = url + operation.path.format(**given)
    body = _body(operation, names)
    async with session.request(operation.method, path, params=query, json=body, headers=headers) as answer:
        endless = answer.status == 200 and answer.content_type == _NEVER_ENDS
        raw = await (_beginning(answer.content) if endless else answer.read())
        kept = {name: value for name, value in answer.headers.items() if name not in _VARIES}
        return Reply(answer.status, raw, kept)


def _body(operation: Operation, names: Names) -> Any:
    if operation.takes is None:
        return None
    text = json.dumps(bodies().get(operation.name) or specimen(operation.takes))
    text = text.replace(MAILBOX, names.mailbox).replace(DAY, names.day).replace('"acme"', json.dumps(names.org))
    return json.loads(text)


async def _beginning(stream: Any) -> bytes:
    """Return what a stream tells until it is quiet for a moment."""
    parts: list[bytes] = []
    while True:
        try:
            part = await asyncio.wait_for(stream.readany(), 0.5)
        except TimeoutError:
            return b"".join(parts)
        if not part:
            return b"".join(parts)
        parts.append(part)
