"""What a JSON batch asks and answers: up to twenty requests in one call, each with a status of its own.

The status of the whole says nothing about its parts; it refuses to take a missing answer for a good one.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from shared import clock
from shared.graph_answers import GraphError, decoded, error_code, pause

T = TypeVar("T")

MOST_IN_BATCH: Final = 20
WHERE: Final = "/$batch"
_NOTHING: Final = Raw(b"null")


class BatchRequest(Struct, frozen=True):
    """One request of a batch; `url` is relative to the version root, such as /users/{id}/mailboxSettings.

    A `body` is sent as JSON, and said to be so.
    """

    id: str
    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse an absolute address (ValueError)."""
        if "://" in self.url:
            raise ValueError("a batch holds relative addresses")

    def written(self) -> dict[str, Any]:
        """Return the request as a batch has it: a body demands a Content-Type of its own, none must not be there."""
        said: dict[str, Any] = {"id": self.id, "method": self.method, "url": self.url}
        if self.body is None:
            return said | ({"headers": self.headers} if self.headers else {})
        return said | {"headers": {"Content-Type": "application/json", **self.headers}, "body": self.body}


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """What one request of a batch came to; `status` 0 where the answer was missing, `code` as in GraphError."""

    id: str
    status: int
    code: str = ""
    retry_after: float | None = None
    body: Raw = _NOTHING

    def into(self, kind: type[T]) -> T:
        """Decode the body. Raises GraphError for any status but 2xx, and for a body of another shape."""
        if not 200 <= self.status < 300:
            raise GraphError(status=self.status, code=self.code, retry_after=self.retry_after, url_path=WHERE)
        return decoded(self.body, kind, WHERE)


class _Item(Struct):
    id: str
    status: int
    headers: dict[str, Any] | None = None
    body: Raw = _NOTHING


class _Items(Struct):
    responses: list[_Item]


def batch_of(requests: Sequence[BatchRequest]) -> bytes:
    """Return the body of a batch. Raises ValueError for more than twenty requests."""
    if len(requests) > MOST_IN_BATCH:
        raise ValueError("a batch holds at most 20 requests")
    return msgspec.json.encode({"requests": [request.written() for request in requests]})


def answers_of(ids: Sequence[str], body: bytes | Raw) -> list[BatchAnswer]:
    """Return a batch's answers in the order asked, missing ones too. Raises GraphError for what is no batch."""
    items = decoded(body, _Items, WHERE)
    found = {item.id.lower(): item for item in items.responses}
    return [_answer(each, found.get(each.lower())) for each in ids]


def _answer(request_id: str, item: _Item | None) -> BatchAnswer:
    if item is None:
        return BatchAnswer(id=request_id, status=0, code="missing")
    headers = {name.lower(): str(value) for name, value in (item.headers or {}).items()}
    return BatchAnswer(
        id=request_id,
        status=item.status,
        code="" if 200 <= item.status < 300 else error_code(bytes(item.body)),
        retry_after=pause(headers.get("retry-after"), clock.now()),
        body=item.body,
    )
