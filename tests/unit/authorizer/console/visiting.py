"""A browser at the setup page, by hand: it keeps cookies, follows a platform's link, sends forms with their token."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient, TestServer
from msgspec import Struct
from msgspec.structs import replace

from services.authorizer.console import links, sessions
from services.authorizer.console.place import Place, SetupSettings
from services.authorizer.console.web import application
from services.authorizer.desk import Desk
from services.authorizer.timer import Wakes
from shared import clock
from shared.broker import Broker, open_broker
from shared.health import Health
from shared.store import Store

PUBLIC = "https://setup.example"
KEY = "the first key of this test, long enough"
ORG = "acme"
ACTOR = "it@acme.example"
BACK = "https://platform.example/admin/calendars"
SETTINGS = SetupSettings(
    public_url=PUBLIC, link_keys=(KEY,), return_to=("https://platform.example/admin/",), egress=("198.51.100.7",)
)


class Page(Struct, frozen=True):
    """What came back; `text` is a page's HTML."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def location(self) -> str:
        return self.headers.get("Location", "")


class Browser:
    """One browser: whatever it is given it keeps, and it follows no redirect by itself."""

    def __init__(self, client: TestClient[Any, Any], place: Place) -> None:
        self.client = client
        self.place = place

    def link(self, org_id: str = ORG, *, actor: str = ACTOR, **rest: Any) -> str:
        """Return the path that a platform's link leads to."""
        told = self.place.settings
        given = {"key": told.link_keys[0], "public_url": told.public_url, "now": clock.now(), **rest}
        return links.address(links.signed(org_id, actor, **given), "")

    async def enter(self, org_id: str = ORG, *, actor: str = ACTOR, **rest: Any) -> Page:
        """Follow a fresh link."""
        return await self.get(self.link(org_id, actor=actor, **rest))

    async def get(self, path: str, **rest: Any) -> Page:
        return await self.ask("GET", path, **rest)

    async def post(self, path: str, fields: Any = None, *, csrf: str | None = None, **rest: Any) -> Page:
        """Send a form with its token, or with another one; `fields` is a mapping, or pairs of names and values."""
        given = list(fields.items()) if isinstance(fields, Mapping) else list(fields or ())
        token = self.csrf if csrf is None else csrf
        return await self.ask("POST", path, data=aiohttp.FormData([*given, ("csrf", token)]), **rest)

    async def ask(self, method: str, path: str, **rest: Any) -> Page:
        async with self.client.request(method, path, allow_redirects=False, **rest) as answer:
            return Page(answer.status, await answer.text(), answer.headers.copy())

    async def followed(self, path: str) -> Page:
        """Return the page that a path leads to in the end."""
        page = await self.get(path)
        for _ in range(5):
            if page.status != 303:
                return page
            page = await self.get(page.location)
        raise AssertionError("it leads round in a circle")

    @property
    def session_id(self) -> str:
        """The id in the cookie, empty where there is none."""
        kept = {cookie.key: cookie.value for cookie in self.client.session.cookie_jar}
        return kept.get("__Host-busyline") or kept.get("busyline") or ""

    @property
    def csrf(self) -> str:
        return sessions.csrf_token(self.place.vault, self.session_id)


class Console(Browser):
    """The setup page with one browser; `another()` gives more of them."""

    def __init__(self, client: TestClient[Any, Any], place: Place, broker: Broker) -> None:
        super().__init__(client, place)
        self.store: Store = place.store
        self.desk: Desk = place.desk
        self.broker = broker

    @asynccontextmanager
    async def another(self) -> AsyncIterator[Browser]:
        """Give a second browser at the same server, nobody signed in."""
        server = self.client.server
        other: TestClient[Any, Any] = TestClient(server, cookie_jar=_jar(server))
        async with other.session:  # the server goes on when this browser is closed
            yield Browser(other, self.place)


def _jar(server: Any) -> aiohttp.CookieJar:
    """Return a jar that sends Secure cookies to the test's server, as a browser does to https."""
    return aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=str(server.make_url("/")))


def place_with(desk: Desk, broker: Broker, **settings: Any) -> Place:
    """Return the edges of a setup page over a desk, with other settings than usual."""
    tokens: Any = desk.microsoft.tokens
    return Place(
        store=desk.store,
        vault=desk.vault,
        desk=desk,
        tokens=tokens,
        broker=broker,
        wakes=Wakes(),
        settings=replace(SETTINGS, **settings),
    )


@asynccontextmanager
async def visited(desk: Desk, **settings: Any) -> AsyncIterator[Console]:
    """Serve the setup page over a desk, with one browser at it that nobody is signed in with."""
    broker = open_broker("memory://")
    place = place_with(desk, broker, **settings)
    ready = Health()
    ready.set("authorizer", ready=True)
    server = TestServer(application(place, ready))
    await server.start_server()
    try:
        async with TestClient(server, cookie_jar=_jar(server)) as client:
            yield Console(client, place, broker)
    finally:
        await broker.close()
