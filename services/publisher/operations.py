"""What consumers may ask over HTTP, as plain values: routes and the OpenAPI page are made from the same."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from aiohttp import web
from msgspec import Struct, field

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Parameter(Struct, frozen=True, kw_only=True):
    """A parameter of a query; `schema` is its JSON Schema. A repeatable one may be given several times."""

    name: str
    description: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})
    repeatable: bool = False


class Operation(Struct, frozen=True, kw_only=True):
    """One request that is answered. Path parameters are the words in braces, each described in `openapi.PLACES`.

    `takes` is the type of the JSON body, `answers` the type of a good answer (None: nothing is in it). `media` maps
    every other media type of a good answer to what it is, in words. `problems` are the statuses of errors beside those
    that every operation has. `open` needs no token. `group` is the heading it stands under in the page.
    """

    name: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    summary: str
    handler: Handler
    group: str
    description: str = ""
    takes: type[Struct] | None = None
    answers: type[Struct] | None = None
    status: int = 200
    media: dict[str, str] = {}
    query: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()
    open: bool = False


def routes(operations: tuple[Operation, ...]) -> list[web.RouteDef]:
    """Return the routes of operations, in order. A GET answers HEAD, too."""
    return [web.route(each.method, each.path, each.handler) for each in operations if each.method != "GET"] + [
        web.get(each.path, each.handler) for each in operations if each.method == "GET"
    ]
