"""What an operation of the JSON API is, and how a call of it is taken: who calls, with what, and what is answered.

It refuses what is not documented: an unknown parameter, a member no type has, a body that is not JSON.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct, field

from services.authorizer.console import api_problems
from services.authorizer.console.api_problems import Problem, invalid
from services.authorizer.console.place import Place, Visit, place_of, visit_of
from shared.reach import reached

PREFIX: Final = "/setup/api/v1"
_JSON: Final = "application/json"
_NO_MEMBER: Final = "There is no such member."
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `(.*?)`")
_MISSING: Final = re.compile(r"^Object missing required field `(.*?)`")


class Parameter(Struct, frozen=True, kw_only=True):
    """One parameter of a query. `schema` is the type's JSON schema."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


class Call(Struct, frozen=True, kw_only=True):
    """One call: the setup page's edges, who calls, the query, what stands in the path, and the body as its type."""

    place: Place
    visit: Visit
    request: web.Request
    query: Mapping[str, str]
    body: Any


class Operation(Struct, frozen=True, kw_only=True):
    """One operation. `takes` is the body's type, `gives` the answer's; `refusals` are the statuses of its own."""

    method: str
    path: str
    name: str
    summary: str
    gives: type[Struct]
    handle: Callable[[Call], Awaitable[Struct]]
    description: str = ""
    takes: type[Struct] | None = None
    query: tuple[Parameter, ...] = ()
    refusals: tuple[int, ...] = ()


def route(operation: Operation) -> web.RouteDef:
    """Return an operation as a route of the application."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            async with reached():
                call = await _call(operation, request)
                said = await operation.handle(call)
        except Exception as error:  # noqa: BLE001 -- each error is answered as a problem
            return api_problems.answer(api_problems.of_error(error))
        return web.Response(body=msgspec.json.encode(said), content_type=_JSON)

    return web.route(operation.method, f"{PREFIX}{operation.path}", handle)


def number(given: Mapping[str, str], name: str, *, among: tuple[int, int], otherwise: int) -> int:
    """Return a whole number of the query within two bounds, `otherwise` where it is not given. Raises Problem."""
    text = given.get(name)
    if text is None:
        return otherwise
    least, most = among
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise invalid(name, f"A whole number from {least} to {most} is needed.")
    return int(text)


async def _call(operation: Operation, request: web.Request) -> Call:
    visit = visit_of(request)
    query = _query(request, {parameter.name for parameter in operation.query})
    body = None if operation.takes is None else await _body(request, operation.takes)
    return Call(place=place_of(request), visit=visit, request=request, query=query, body=body)


def _query(request: web.Request, known: set[str]) -> dict[str, str]:
    for name in request.query:
        if name not in known:
            raise invalid(name, "There is no such parameter.")
        if len(request.query.getall(name)) > 1:
            raise invalid(name, "It may be given once.")
    return dict(request.query)


async def _body(request: web.Request, kind: type[Struct]) -> Struct:
    if request.content_type != _JSON:
        raise Problem(415, "not_json", detail="The body must be application/json.")
    text = await request.read()
    try:
        found = msgspec.json.decode(text, type=kind)
        given = msgspec.json.decode(text)
    except msgspec.ValidationError as error:
        raise invalid(*_at_fault(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Problem(400, "not_json", detail="The body is not JSON.") from None
    for stranger in strangers(given, msgspec.to_builtins(found)):
        raise invalid(stranger, _NO_MEMBER)
    return found


def strangers(given: Any, taken: Any, place: str = "") -> Iterator[str]:
    """Yield the members that were given and not taken: a misspelt `exclude` must not be passed over in silence."""
    match given, taken:
        case dict(), dict():
            for name, value in given.items():
                here = f"{place}.{name}" if place else name
                if name in taken:
                    yield from strangers(value, taken[name], here)
                else:
                    yield here
        case list(), list() | tuple():
            for index, (value, other) in enumerate(zip(given, taken, strict=False)):
                yield from strangers(value, other, f"{place}[{index}]")


def _at_fault(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return the member at fault and the rule; a value that is quoted is left out: it may be a password."""
    rule, _, place = str(error).partition(" - at `$.")
    place = place.rstrip("`")
    unknown = _UNKNOWN.search(rule)
    if unknown is not None:
        return f"{place}.{unknown[1]}" if place else unknown[1], _NO_MEMBER
    missing = _MISSING.search(rule)
    if missing is not None:
        return f"{place}.{missing[1]}" if place else missing[1], "It is missing."
    return place, "It has a value that is not allowed." if "Invalid" in rule else f"{rule}."
