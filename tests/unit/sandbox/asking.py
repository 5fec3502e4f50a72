"""Asks a sandbox's world without a network: builds one, holds a token, follows next links."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from deploy.sandbox import SandboxOptions, entra, graph, worlds
from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.changes import Changes
from deploy.sandbox.state import State
from deploy.sandbox.tokens import Issued

NOW = 1_795_000_000  # 2026-11-18T11:06:40Z
BASE = "https://127.0.0.1:8443"
WINDOW = "startDateTime=2026-10-01T00:00:00Z&endDateTime=2027-07-01T00:00:00Z"
SECRET = "a secret of the test"


class Caller:
    """A client of one world."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.changes = Changes(state)
        self.now = NOW
        state.clock = lambda: self.now
        self.tenant = next(iter(state.tenants.values()))
        self.sign_in()

    def sign_in(self, *roles: str) -> None:
        """Take a fresh token, of the granted roles unless others are named."""
        granted = self.state.grants[worlds.CLIENT_ID, self.tenant.tenant_id].roles
        self.token = f"token-{len(self.state.tokens)}"
        self.state.tokens[self.token] = Issued(
            tenant_id=self.tenant.tenant_id,
            client_id=worlds.CLIENT_ID,
            roles=frozenset(roles) or granted,
            expires=self.now + 3600,
        )

    async def ask(self, method: str, url: str, *, body: bytes = b"", **headers: str) -> Answer:
        path, _, query = url.removeprefix(BASE).removeprefix("/v1.0").partition("?")
        sent = {"authorization": f"Bearer {self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        asked = Ask(method=method, path=f"/v1.0{path}", query=query, headers=sent, body=body, base=BASE)
        return await graph.answer(self.state, asked)

    async def get(self, url: str, **headers: str) -> Any:
        """Return the decoded body of a good answer."""
        answer = await self.ask("GET", url, **headers)
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body)

    async def refused(self, url: str, **headers: str) -> tuple[int, str]:
        """Return the status and the code of a refusal."""
        answer = await self.ask("GET", url, **headers)
        return answer.status, msgspec.json.decode(answer.body)["error"]["code"]

    async def all(self, url: str, **headers: str) -> list[dict[str, Any]]:
        """Return the rows of every page."""
        rows: list[dict[str, Any]] = []
        while url:
            page = await self.get(url, **headers)
            rows += page["value"]
            url = page.get("@odata.nextLink", "")
        return rows

    async def entra(self, path: str, *, form: str = "", query: str = "") -> Answer:
        asked = Ask(method="POST" if form else "GET", path=path, query=query, body=form.encode(), base=BASE)
        return await entra.answer(self.state, asked)

    def user(self, name: str = "person.0001@sandbox.example") -> str:
        person = self.tenant.person(name)
        assert person is not None
        return person.user_id


def caller(folder: Path, **options: Any) -> Caller:
    """Return a caller of a fresh world."""
    said: dict[str, Any] = {"now": NOW, "client_secret": SECRET} | options
    return Caller(worlds.build(SandboxOptions(folder=folder, **said), clock=lambda: NOW))


def decoded(answer: Answer) -> Any:
    """Return an answer's body."""
    return msgspec.json.decode(answer.body)


async def both(first: Any, second: Any) -> Any:
    """Wait for two at once."""
    return await asyncio.gather(first, second)


def header(answer: Answer, name: str) -> str | None:
    """Return one of an answer's headers."""
    headers: Mapping[str, str] = answer.headers
    return headers.get(name)
