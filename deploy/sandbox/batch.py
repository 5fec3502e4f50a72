"""Answers $batch: up to twenty requests in one, four of them at a time unless they depend on each other.

Each item has its own status and headers, and the envelope is 200 whatever they are; a malformed batch is refused whole.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from deploy.sandbox.answers import PLAIN_JSON, Answer, Ask, Refusal, identified

MOST = 20
AT_ONCE = 4  # what Graph sends to Outlook at a time

One = Callable[[Ask], Awaitable[Answer]]


class Item(Struct):
    """One request of a batch."""

    id: str
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Raw = Raw(b"")
    dependsOn: tuple[str, ...] = ()  # noqa: N815 -- Graph's spelling


class _Batch(Struct):
    requests: list[Item]


async def answer(ask: Ask, one: One) -> Answer:
    """Answer a batch with the help of `one`, which answers a single request. Raises Refusal (400)."""
    items = _read(ask)
    if any(item.dependsOn for item in items):
        answers = await _in_order(ask, items, one)
    else:
        answers = await _at_once(ask, items, one)
    body = msgspec.json.encode(
        {"responses": [_shown(item, made, ask) for item, made in zip(items, answers, strict=True)]}
    )
    return Answer(body=body, content_type=PLAIN_JSON)


def _read(ask: Ask) -> list[Item]:
    if ask.method != "POST":
        raise Refusal(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    try:
        items = msgspec.json.decode(ask.body, type=_Batch).requests
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise Refusal(400, "BadRequest", "Invalid batch payload format.") from broken
    if not items or len(items) > MOST:
        raise Refusal(400, "BadRequest", f"Number of batch request steps must be between 1 and {MOST}.")
    names = [item.id.lower() for item in items]
    if len(set(names)) < len(names) or not all(names):
        raise Refusal(400, "BadRequest", "Invalid batch payload: the ids of its requests must be unique.")
    if any(item.body and "content-type" not in map(str.lower, item.headers) for item in items):
        raise Refusal(400, "BadRequest", "Invalid batch payload: a request with a body needs a Content-Type header.")
    if not all(needed.lower() in names for item in items for needed in item.dependsOn):
        raise Refusal(400, "BadRequest", "Invalid batch payload: a request depends on an unknown one.")
    return items


async def _at_once(ask: Ask, items: list[Item], one: One) -> list[Answer]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def passed(item: Item) -> Answer:
        async with gate:
            return await one(_ask(ask, item))

    return await asyncio.gather(*(passed(item) for item in items))


async def _in_order(ask: Ask, items: list[Item], one: One) -> list[Answer]:
    status: dict[str, int] = {}
    answers = []
    for item in items:
        failed = any(status.get(needed.lower(), 424) >= 400 for needed in item.dependsOn)
        made = _dependency() if failed else await one(_ask(ask, item))
        status[item.id.lower()] = made.status
        answers.append(made)
    return answers


def _dependency() -> Answer:
    said = {"error": {"code": "FailedDependency", "message": "A request this one depends on has failed."}}
    return Answer(status=424, body=msgspec.json.encode(said), content_type="application/json")


def _ask(ask: Ask, item: Item) -> Ask:
    path, _, query = item.url.partition("?")
    return Ask(
        method=item.method.upper(),
        path=f"/v1.0/{path.lstrip('/')}",
        query=query,
        headers={name.lower(): value for name, value in item.headers.items()},
        body=bytes(item.body),
        base=ask.base,
    )


def _shown(item: Item, made: Answer, ask: Ask) -> dict[str, Any]:
    headers = {"Cache-Control": "private", **identified(made, ask)}
    if made.dropped or not made.body:
        return {"id": item.id, "status": made.status, "headers": headers}
    return {"id": item.id, "status": made.status, "headers": headers, "body": _body(made)}


def _body(made: Answer) -> Raw | str:
    """Return a body as JSON; what is not JSON is a string there."""
    if made.content_type.startswith("application/json"):
        try:
            msgspec.json.decode(made.body, type=Raw)
        except msgspec.DecodeError:
            return made.body.decode("utf-8", "replace")
        return Raw(made.body)
    return made.body.decode("utf-8", "replace")
