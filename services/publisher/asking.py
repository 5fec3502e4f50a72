"""Reads what a request asks for, strictly: an unknown, repeated or malformed parameter is refused by its name."""

from collections.abc import Collection
from typing import TypeVar

import msgspec
from aiohttp import web

from services.publisher.moments import instant
from services.publisher.problems import Problem
from shared.contracts.policy import MOST_DAYS
from shared.contracts.values import DAY, Instant, Window

LARGEST_BODY = 1 << 20
B = TypeVar("B")


def parameters(request: web.Request, allowed: Collection[str]) -> dict[str, str]:
    """Return the query's parameters. Raises Problem 422 naming one that is unknown or repeated."""
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in allowed or name in found:
            raise invalid(name[:64], "This parameter is not known, or is given twice.")
        found[name] = value
    return found


def invalid(field: str, detail: str) -> Problem:
    """Return the problem that names a field at fault."""
    return Problem(422, "invalid", title="The request cannot be answered", field=field, detail=detail)


def moment_of(field: str, text: str) -> Instant:
    """Return an RFC 3339 date-time as an instant. Raises Problem 422 naming the field."""
    try:
        return instant(text)
    except ValueError:
        raise invalid(field, "An RFC 3339 date-time with its offset is needed: 2026-03-01T09:00:00Z.") from None


def span_of(
    start: Instant, end: Instant, *, most_days: int = MOST_DAYS, names: tuple[str, str] = ("from", "to")
) -> Window:
    """Return [start, end). Raises Problem 422 where it holds no time or too much; `names` are the fields they bear."""
    first, last = names
    if end <= start:
        raise invalid(last, f"It must lie after `{first}`.")
    if end - start > most_days * DAY:
        raise invalid(last, f"It may lie at most {most_days} days after `{first}`.")
    return Window(start, end)


def number(field: str, text: str, *, least: int, most: int) -> int:
    """Return a whole number within bounds. Raises Problem 422 naming the field."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise invalid(field, f"A whole number from {least} to {most} is needed.")
    return int(text)


async def body_of(request: web.Request, kind: type[B]) -> B:
    """Return the JSON body as a closed value. Raises Problem 400, 415 or 422; aiohttp raises 413 beyond 1 MiB."""
    return decoded(await body(request), kind)


async def body(request: web.Request) -> bytes:
    """Return the body as it came. Raises Problem 415 where it does not say that it is JSON."""
    if request.content_type != "application/json":
        raise Problem(415, "not_json", title="The body must be application/json")
    return await request.read()


def decoded(raw: bytes, kind: type[B]) -> B:
    """Return JSON as a value of a type. Raises Problem 400 or 422."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        rule, _, place = str(error).partition(" - at `$")
        raise invalid(place.strip("`.") or "body", rule[:200]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "malformed", title="The body is not JSON") from None
