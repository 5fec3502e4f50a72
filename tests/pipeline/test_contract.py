"""What a running pipeline sends, on every way, is what the AsyncAPI document says: payloads and what they bear."""

import asyncio
import json
from pathlib import Path
from typing import Any

import jsonschema
from aiohttp import ClientSession

from deploy.sandbox import SandboxOptions
from services.publisher import consumers
from services.publisher.timelines import publish
from shared import clock
from shared.broker.frames import PROPERTIES
from shared.contracts.messages import MailboxUnreadable, OrgDisconnected
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Bucket, Mailbox
from tests.pipeline.embedded import Embedded, Wanted, embedded
from tests.waiting import until

TYPES = {"availability.updated.v1", "mailbox.removed.v1", "org.removed.v1"}
Heard = tuple[dict[str, Any], Any]  # what a message bears, and its payload


async def test_real_messages_of_every_type_fit_the_document_on_every_way(tmp_path: Path) -> None:
    announced: list[Heard] = []

    def tap(queue: str, body: bytes, headers: Any) -> None:
        if queue == "availability":
            borne = {name: value for name, value in headers.items() if name not in PROPERTIES}
            announced.append((borne, json.loads(body)))

    sandbox = SandboxOptions(folder=tmp_path, mailboxes=8, events=20)
    wanted = Wanted(folder=tmp_path, sandbox=sandbox, policy=Policy(detail=Detail.DETAILS), tap=tap)
    async with embedded(wanted) as running, ClientSession(f"http://127.0.0.1:{running.publisher_port}") as session:
        token = await consumers.add(running.rim.store, "app", ["*"], now=clock.now())
        session.headers["Authorization"] = f"Bearer {token}"
        async with session.get("/asyncapi.json") as answer:
            document = await answer.json()
        await until(lambda: len(announced) >= 6)
        fed = await _fed(session)
        streamed = await _streamed(session, len(fed))
        await _removed(running, fed[0][1])
        await until(lambda: _types(announced) == TYPES - {"org.removed.v1"})
        fed += await _fed(session)
        await running.rim.broker.publish([OrgDisconnected(org_id="acme", actor="test")])
        await until(lambda: _types(announced) == TYPES)
        fed += await _fed(session)
    assert _types(fed) == TYPES
    assert any(payload["data"].get("events") for _, payload in fed)
    for way, heard in (("exchange", announced), ("stream", streamed), ("exchange", fed)):
        for borne, payload in heard:
            fits(document, f"{way}.{_key(payload)}", borne, payload)


def fits(document: dict[str, Any], name: str, borne: dict[str, Any], payload: Any) -> None:
    """Fail where a message is not what the document says of it; what it bears is passed over where that is empty."""
    message = document["components"]["messages"][name]
    for part, value in (("headers", borne), ("payload", payload)):
        if value or part == "payload":
            schema = {**message[part], "components": document["components"]}
            jsonschema.Draft7Validator(schema).validate(value)


def _key(payload: Any) -> str:
    if not isinstance(payload, dict):
        return "position"
    first, second, _ = payload["type"].split(".")
    return str(first + second.capitalize())


async def _fed(session: ClientSession) -> list[Heard]:
    """Return what the feed holds."""
    async with session.get("/v1/updates", params={"limit": "1000"}) as answer:
        return [({}, each) for each in (await answer.json())["updates"]]


async def _streamed(session: ClientSession, number: int) -> list[Heard]:
    """Return what the stream tells, up to so many updates and the position it begins with."""
    heard: list[Heard] = []
    async with asyncio.timeout(60), session.get("/v1/stream", params={"after": "0"}) as answer:
        fields: dict[str, str] = {}
        while len(heard) <= number:
            line = (await answer.content.readline()).decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if name in {"id", "event", "data"}:
                fields[name] = value
            elif not line and "data" in fields:
                payload = json.loads(fields.pop("data"))
                heard.append((fields, payload))
                fields = {}
    return heard


def _types(heard: list[Heard]) -> set[str]:
    return {payload["type"] for _, payload in heard}


async def _removed(running: Embedded, told: dict[str, Any]) -> None:
    """Have a mailbox removed of which an update was told."""
    mailbox = Mailbox(mailbox_id=told["subject"], address=told["data"]["mailbox"])
    where: dict[str, Any] = {"org_id": "acme", "generation": 1, "mailbox": mailbox, "version": 99}
    gone = MailboxUnreadable(**where, as_of=clock.now(), bucket=Bucket.REMOVED, reason="removed")
    await publish(running.rim.store, [gone], now=clock.now())
