"""A platform's server at the setup API, which holds every answer against the OpenAPI page."""

import io
import json
import re
from typing import Any

import jsonschema
from msgspec import Struct

from services.authorizer.console.api_calls import PREFIX
from tests.unit.authorizer.console.visiting import Browser


class Answer(Struct, frozen=True):
    """What came back: status, decoded body, the bytes themselves as text."""

    status: int
    body: Any
    text: str


class Platform:
    """Calls the API about one org with a signed link; `token` may be set to anything."""

    def __init__(self, browser: Browser, page: dict[str, Any], **claims: Any) -> None:
        self.browser = browser
        self.page = page
        self.token = browser.link(**claims).partition("link=")[2]
        self.called: set[str] = set()

    async def get(self, path: str, **query: str) -> Answer:
        return await self.call("GET", path, params=query)

    async def post(self, path: str, body: object = None) -> Answer:
        return await self._sent("POST", path, body)

    async def put(self, path: str, body: object) -> Answer:
        return await self._sent("PUT", path, body)

    async def _sent(self, method: str, path: str, body: object) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        return await self.call(method, path, data=None if body is None else io.BytesIO(data), headers=kind)

    async def call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **rest: Any) -> Answer:
        """Call an operation below the API's prefix, and hold the answer against the page."""
        given = {**(headers or {}), **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        async with self.browser.client.request(method, PREFIX + path, headers=given, **rest) as answer:
            text = await answer.text()
            body = json.loads(text)
            self._check(method, path, answer.status, answer.content_type, body)
        return Answer(answer.status, body, text)

    def _check(self, method: str, path: str, status: int, content_type: str, body: object) -> None:
        operation = self._documented(path).get(method.lower())
        if operation is None:
            assert content_type == "application/problem+json"
            return
        self.called.add(operation["operationId"])
        schema = operation["responses"][str(status)]["content"][content_type]["schema"]
        components = {"components": self.page["components"]}
        jsonschema.Draft202012Validator({**schema, **components}).validate(body)

    def _documented(self, path: str) -> dict[str, Any]:
        for known, operations in self.page["paths"].items():
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(known))
            if re.fullmatch(pattern, PREFIX + path):
                return dict(operations)
        return {}


async def platform(browser: Browser, **claims: Any) -> Platform:
    """Return a platform that has read the page; `claims` are its link's."""
    page = await browser.get("/setup/api/openapi.json")
    return Platform(browser, json.loads(page.text), **claims)
