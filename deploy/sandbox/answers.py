"""The plain values a request and its answer are inside the sandbox, and the one form Graph's errors have."""

from collections.abc import AsyncGenerator, Mapping
from functools import lru_cache
from itertools import count
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import msgspec
from msgspec import Struct

from shared.clock import moment
from shared.contracts.values import Instant

JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
PLAIN_JSON = "application/json; charset=utf-8"
NOTHING: Mapping[str, str] = MappingProxyType({})

_run = str(uuid4())[:24]
_numbers = count(1)


class Ask(Struct, kw_only=True):
    """One request: header names in lower case, `query` undecoded, `base` as the client addressed the sandbox."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = NOTHING
    body: bytes = b""
    base: str = ""

    def parameters(self) -> Mapping[str, str]:
        """Return the decoded query with its names in lower case."""
        return parameters(self.query)


class Answer(Struct, kw_only=True):
    """One answer; a `dropped` one closes the connection instead."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = NOTHING
    content_type: str = JSON
    dropped: bool = False


class Streamed(Answer, kw_only=True):
    """An answer that goes on: each chunk is sent as soon as there is one."""

    chunks: AsyncGenerator[bytes, None]


class Refusal(Exception):  # noqa: N818 -- the word Graph's error pages are about
    """A request that Graph answers with an error; code and message are Microsoft's words."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] = NOTHING) -> None:
        """Take the HTTP status, Graph's code and message, and further headers."""
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


@lru_cache(maxsize=4096)
def parameters(query: str) -> Mapping[str, str]:
    """Return a decoded query string with its names in lower case."""
    return MappingProxyType({name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)})


def request_id() -> str:
    """Return the next request id, in the form of a GUID."""
    return f"{_run}{next(_numbers):012x}"


def json(value: Any, *, status: int = 200, headers: Mapping[str, str] = NOTHING) -> Answer:
    """Return an answer of JSON in Graph's form."""
    return Answer(status=status, body=msgspec.json.encode(value), headers=headers)


def error(refusal: Refusal, ask: Ask, now: Instant) -> Answer:
    """Return a refusal in Graph's form. `innerError.date` has no Z on the wire, whatever the OpenAPI file says."""
    this = request_id()
    inner = {
        "date": moment(now)[:-1],
        "request-id": this,
        "client-request-id": ask.headers.get("client-request-id", this),
    }
    body = {"error": {"code": refusal.code, "message": refusal.message, "innerError": inner}}
    return Answer(
        status=refusal.status,
        body=msgspec.json.encode(body),
        headers={**refusal.headers, "request-id": this},
        content_type="application/json",
    )


def identified(answer: Answer, ask: Ask) -> dict[str, str]:
    """Return the headers every Graph answer carries, with the answer's own."""
    this = answer.headers.get("request-id") or request_id()
    return {
        "Content-Type": answer.content_type,
        "request-id": this,
        "client-request-id": ask.headers.get("client-request-id", this),
        **answer.headers,
    }
