"""What attacks need: every route of the application, everything that is stored, every page that an admin can see."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from aiohttp import web
from msgspec import Struct
from sqlalchemy import insert, select

from services.authorizer.console import guards
from shared import clock
from shared.store import Store
from shared.tables import mailboxes, metadata
from tests.unit.authorizer.acting import OTHER, connect
from tests.unit.authorizer.console.visiting import Browser, Page

SAFE = ("GET", "HEAD")
ELSEWHERE = "m-of-beta"  # a mailbox of another org
_LINKS = re.compile(r'(?:href|action|src|data-[a-z-]+)="(/setup[^"#]*)')


class Route(Struct, frozen=True):
    """One route: its method, and its path with an id of another org in every placeholder."""

    method: str
    path: str

    @property
    def is_api(self) -> bool:
        return self.path.startswith(guards.API)

    @property
    def is_open(self) -> bool:
        return guards.is_public(self.path)


def routes(app: web.Application, *, placed: str = ELSEWHERE) -> list[Route]:
    """Return every route of an application."""
    found = set()
    for route in app.router.routes():
        resource = route.resource
        assert resource is not None
        path = re.sub(r"\{[^}]+\}", placed, resource.canonical)
        found.add((route.method, path))
    return [Route(method, path) for method, path in sorted(found)]


def changing(app: web.Application) -> list[Route]:
    """Return the routes that change something."""
    return [route for route in routes(app) if route.method not in SAFE]


def reading(app: web.Application) -> list[Route]:
    """Return the routes that only show something."""
    return [route for route in routes(app) if route.method == "GET"]


async def stored(store: Store, *, but: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """Return every row of every table."""
    found = {}
    async with store.read() as reading:
        for table in metadata.sorted_tables:
            if table.name not in but:
                rows = await reading.execute(select(table))
                found[table.name] = sorted(map(repr, map(tuple, rows)))
    return found


async def crawled(browser: Browser, *begins: str, most: int = 80) -> dict[str, Page]:
    """Return every page that can be reached by links from some of them, without sending a form."""
    waiting, found = list(begins), dict[str, Page]()
    while waiting and len(found) < most:
        path = waiting.pop(0)
        if path in found or "events" in path:  # a stream never ends
            continue
        found[path] = page = await browser.get(path)
        waiting += [urljoin(path, one) for one in _following(page)]
    return found


def _following(page: Page) -> Iterator[str]:
    if page.location.startswith("/setup"):
        yield page.location
    for match in _LINKS.finditer(page.text):
        path = match.group(1).replace("&amp;", "&")
        if not urlsplit(path).path.startswith(("/setup/static", "/setup/sign-out", "/setup/enter")):
            yield path


async def put_mailbox(store: Store, mailbox_id: str, *, org_id: str = "acme", **rest: object) -> None:
    """Put a mailbox into the fetcher's table, as read under the org's first generation."""
    row: dict[str, Any] = {
        "org_id": org_id,
        "mailbox_id": mailbox_id,
        "address": f"{mailbox_id}@{org_id}.example",
        "kind": "user",
        "bucket": "active",
        "time_zone": "",
        "generation": 1,
        "read_generation": 1,
        "read_at": clock.now() - 60,
    }
    async with store.write() as writing:
        await writing.execute(insert(mailboxes).values(row | rest))


async def connected(store: Store) -> None:
    """Have acme connected with a few mailboxes, and beta beside it with one of its own."""
    await connect(store, at=clock.now() - 600)
    await connect(store, at=clock.now() - 600, org_id="beta", connection=OTHER)
    await put_mailbox(store, "m-1")
    await put_mailbox(store, "m-2", bucket="denied", reason="access_denied")
    await put_mailbox(store, ELSEWHERE, org_id="beta")
