"""A consumer over HTTP that holds every answer against the OpenAPI page, and the rows that answers are made from."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import jsonschema
from aiohttp import ClientResponse, ClientSession, TCPConnector
from msgspec import Struct

from services.publisher.following import Following
from services.publisher.web import served
from shared.health import Health
from shared.store import Store
from shared.tables import mailboxes

DOCUMENTED = {
    "snapshot": "/v1/orgs/{org}/snapshot",
    "updates": "/v1/updates",
    "mailboxes": "/v1/orgs/{org}/mailboxes",
    "availability": "/v1/orgs/{org}/mailboxes/{address}/availability",
    "free-busy": "/v1/orgs/{org}/free-busy",
    "status": "/v1/orgs/{org}/status",
    "slots": "/v1/orgs/{org}/slots",
    "freeBusy": "/v1/orgs/{org}/freeBusy",
    "getSchedule": "/v1/orgs/{org}/getSchedule",
}


class Answer(Struct, frozen=True):
    """What came back: status, decoded body, headers, the bytes themselves."""

    status: int
    body: Any
    headers: Mapping[str, str]
    raw: bytes


class Asker:
    """Asks one server with one token."""

    def __init__(self, session: ClientSession, url: str, page: dict[str, Any]) -> None:
        self.session = session
        self.url = url
        self.page = page
        self.token = ""

    async def get(self, path: str, **query: str) -> Answer:
        """Ask with GET, and check the answer against the page."""
        async with self.session.get(self.url + path, params=query, headers=self._headers()) as response:
            return await self._checked("get", path, response)

    async def post(self, path: str, body: object, *, content_type: str = "application/json") -> Answer:
        """Ask with POST: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self._headers() | {"Content-Type": content_type}
        async with self.session.post(self.url + path, data=io.BytesIO(data), headers=headers) as response:
            return await self._checked("post", path, response)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def _checked(self, method: str, path: str, response: ClientResponse) -> Answer:
        raw = await response.read()
        body = json.loads(raw)
        kept = method == "get" and response.status == 200
        assert response.headers["Cache-Control"] == ("private, no-cache" if kept else "no-store")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Server"] == "busyline"
        documented = DOCUMENTED.get(path.rstrip("/").rpartition("/")[2])
        if documented is not None:
            answers = self.page["paths"][documented][method]["responses"][str(response.status)]["content"]
            schema = answers[response.content_type]["schema"]
            jsonschema.Draft202012Validator({**schema, "components": self.page["components"]}).validate(body)
        return Answer(response.status, body, response.headers, raw)


@asynccontextmanager
async def asking(
    store: Store, health: Health | None = None, following: Following | None = None
) -> AsyncIterator[Asker]:
    """Serve a store over HTTP, and give a consumer without a token."""
    async with (
        served(store, health or Health(), host="127.0.0.1", port=0, following=following) as port,
        ClientSession(connector=TCPConnector(force_close=True)) as session,
    ):
        url = f"http://127.0.0.1:{port}"
        async with session.get(f"{url}/openapi.json") as response:
            page = await response.json()
        yield Asker(session, url, page)


async def put_mailbox(store: Store, mailbox_id: str, **rest: object) -> None:
    """Put a mailbox into the fetcher's table."""
    row: dict[str, Any] = {
        "org_id": "acme",
        "mailbox_id": mailbox_id,
        "address": f"{mailbox_id}@example.com",
        "kind": "user",
        "bucket": "active",
        "time_zone": "",
        "generation": 1,
        "version": 0,
        "dirty": False,
        "failures": 0,
    }
    async with store.write() as connection:
        await connection.execute(mailboxes.insert().values(row | rest))
