"""Microsoft as the authorizer sees it, by hand: a token or a refusal, a directory, mailboxes that answer or do not."""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from services.authorizer.verdicts import Times
from services.authorizer.verify import Microsoft
from shared.clouds import Cloud
from shared.graph import GraphError
from shared.identity import GraphCredential, IdentityError

T = TypeVar("T")

TENANT = "0a000000-0000-4000-8000-000000000001"
ROLES = ("User.Read.All", "Calendars.Read", "MailboxSettings.Read")


def token_of(tenant_id: str = TENANT, roles: tuple[str, ...] | None = ROLES) -> str:
    """Write a token as Entra does, unsigned."""
    claims: dict[str, Any] = {"tid": tenant_id, "appid": "app-1"}
    if roles is not None:
        claims["roles"] = roles
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.signature"


class FakeTokens:
    """Gives `answer`, or raises it."""

    def __init__(self, answer: str | Exception | None = None) -> None:
        self.answer: str | Exception = token_of() if answer is None else answer
        self.asked: list[tuple[str, str, str, bool]] = []
        self.scopes: list[str] = []
        self.before: Callable[[], Awaitable[None]] | None = None

    async def token(
        self, *, tenant_id: str, cloud: Cloud, credential: GraphCredential, fresh: bool = False, scope: str = ""
    ) -> str:
        self.asked.append((tenant_id, cloud.name, credential.client_id, fresh))
        self.scopes.append(scope)
        if self.before is not None:
            await self.before()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeGraph:
    """Answers by the first part of an address that matches; the others are 404."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        own = dict(answers or {})
        self.answers: dict[str, Any] = {**own, **{key: value for key, value in healthy().items() if key not in own}}
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []

    def __call__(self, _: Cloud, token: Callable[[], Awaitable[str]]) -> "FakeGraph":
        self.token = token
        return self

    async def get(self, url: str, kind: type[T], *, headers: Mapping[str, str] = {}) -> T:
        await self.token()
        self.asked.append(url)
        self.headers.append(headers)
        for start, answer in self.answers.items():
            if url.startswith(start):
                if isinstance(answer, Exception):
                    raise answer
                return msgspec.convert(answer, kind)
        raise graph_error(404, "MailboxNotEnabledForRESTAPI")


def healthy() -> dict[str, Any]:
    return {
        "/users?$top=1&": {"value": [{"id": "u1"}]},
        "/users?$top=25": {"value": [{"id": "u1", "userType": "Member"}]},
        "/users/u1/calendarView": {"value": []},
        "/users/u1/mailboxSettings": {"timeZone": "UTC"},
    }


def users(*ids: str) -> dict[str, Any]:
    return {"value": [{"id": user_id, "userType": "Member"} for user_id in ids]}


def readable(user_id: str) -> dict[str, Any]:
    return {f"/users/{user_id}/calendarView": {"value": []}, f"/users/{user_id}/mailboxSettings": {}}


def graph_error(status: int, code: str = "", retry_after: float | None = None) -> GraphError:
    return GraphError(status=status, code=code, retry_after=retry_after, url_path="/v1.0/users")


def microsoft(answers: Mapping[str, Any] | None = None, token: str | IdentityError | None = None) -> Microsoft:
    return Microsoft(FakeTokens(token), FakeGraph(answers))


def times(now: int, *, refused: int | None = None) -> Times:
    """When a verdict is given at an instant, and when the org is verified next."""
    return Times(now=now, connected=now + 86_400, attention=now + 60, refused=refused)
