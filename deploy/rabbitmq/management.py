"""Edge: RabbitMQ's management API, as far as consumers' users, queues and bindings go. The one module that calls it.

Everything here may be done twice. It follows no redirect, checks certificates, and quotes no address or body in errors.
"""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import msgspec
from yarl import URL

from deploy.rabbitmq.admission import QUEUE, Place, owns
from shared.broker import topology
from shared.config import SettingsError

TIMEOUT: Final = aiohttp.ClientTimeout(total=20, sock_connect=5)


class ManagementError(Exception):
    """The management API cannot be used. `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        """Take the reason: unreachable, login_refused, not_administrator, rights_missing, not_found, refused."""
        super().__init__(reason)
        self.reason = reason


class Management:
    """One virtual host's consumers. Every method raises ManagementError."""

    def __init__(self, session: aiohttp.ClientSession, root: str, vhost: str) -> None:
        """Take a session that signs in, the API's address, and the virtual host."""
        self._session, self._root, self._vhost = session, root, vhost

    async def check(self) -> None:
        """See that the API answers, and that it lets us make users."""
        found = await self._call("GET", "whoami")
        if not isinstance(found, dict) or "name" not in found:
            raise ManagementError("refused")
        if "administrator" not in found.get("tags", ""):
            raise ManagementError("not_administrator")

    async def knows(self, user: str) -> bool:
        """Say whether there is a user of this name."""
        return await self._call("GET", "users", user) is not None

    async def users(self) -> list[str]:
        """Return the names of all users."""
        return [each["name"] for each in await self._must("GET", "users", query="?columns=name")]

    async def in_order(self, place: Place) -> bool:
        """Say whether a consumer's rights and bindings are what they should be."""
        topics = await self._call("GET", "topic-permissions", self._vhost, place.user)
        if not isinstance(topics, list) or not any(_holds(each, place.topics) for each in topics):
            return False
        rights = await self._call("GET", "permissions", self._vhost, place.user)
        if not isinstance(rights, dict) or not _holds(rights, place.permissions):
            return False
        bound = await self._bindings(place.name)
        here = {each["routing_key"] for each in bound if each["destination"] == place.queue}
        return here >= {*place.keys} and all(place.may_bind(each["routing_key"]) for each in bound)

    async def admit(self, place: Place) -> None:
        """Make a consumer's queue and user, or bring both to what they should be; its connections are closed.

        A new user can do nothing before its rights are there, the narrow ones first. Its queue loses no message.
        """
        await self._must("PUT", "queues", self._vhost, place.queue, body=QUEUE)
        await self._must("PUT", "users", place.user, body=place.account)
        await self.rescope(place)

    async def rescope(self, place: Place) -> None:
        """Limit a consumer to its scope: rights first, then connections, whose channels remember rights, then bindings.

        What was sent to its queues before stays there.
        """
        await self._must("PUT", "topic-permissions", self._vhost, place.user, body=place.topics)
        await self._must("PUT", "permissions", self._vhost, place.user, body=place.permissions)
        await self.hang_up(place.user)
        bound = await self._bindings(place.name)
        for each in bound:
            if not place.may_bind(each["routing_key"]):
                await self._call("DELETE", *self._path_of(each), each["properties_key"])
        await self._must("PUT", "queues", self._vhost, place.queue, body=QUEUE)  # unused for long, it may be gone
        for key in place.keys:
            path = ("bindings", self._vhost, "e", topology.AVAILABILITY, "q", place.queue)
            await self._must("POST", *path, body={"routing_key": key, "arguments": {}})

    async def dismiss(self, name: str, user: str) -> None:
        """Delete a consumer's user, which closes its connections, and then its queues and exchanges."""
        await self._call("DELETE", "users", user)
        await self.hang_up(user)
        for kind in ("queues", "exchanges"):
            for thing in await self._must("GET", kind, self._vhost, query="?columns=name"):
                if owns(name, thing["name"]):
                    await self._call("DELETE", kind, self._vhost, thing["name"])

    async def hang_up(self, user: str) -> None:
        """Close a user's connections."""
        await self._call("DELETE", "connections", "username", user)

    async def _bindings(self, name: str) -> list[dict[str, Any]]:
        path = ("exchanges", self._vhost, topology.AVAILABILITY, "bindings", "source")
        return [each for each in await self._must("GET", *path) if owns(name, each["destination"])]

    def _path_of(self, binding: dict[str, Any]) -> tuple[str, ...]:
        kind = "q" if binding["destination_type"] == "queue" else "e"
        return ("bindings", self._vhost, "e", topology.AVAILABILITY, kind, binding["destination"])

    async def _must(self, method: str, *path: str, body: object = None, query: str = "") -> Any:
        found = await self._call(method, *path, body=body, query=query)
        if found is None:
            raise ManagementError("not_found")
        return found

    async def _call(self, method: str, *path: str, body: object = None, query: str = "") -> Any:
        """Return the JSON answer, {} where there is none, None for what does not exist."""
        url = URL(f"{self._root}/api/{'/'.join(quote(part, safe='') for part in path)}{query}", encoded=True)
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._session.request(method, url, data=data, allow_redirects=False) as answer:
                return _judged(answer.status, await answer.read(), signing_in=path == ("whoami",))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ManagementError("unreachable") from error


def _holds(found: dict[str, Any], wanted: dict[str, str]) -> bool:
    return all(found.get(name) == value for name, value in wanted.items())


def _judged(status: int, raw: bytes, *, signing_in: bool) -> Any:
    if status == 404:
        return None
    if status in {401, 403}:  # RabbitMQ says 401 also to who is signed in and has no right to a virtual host
        raise ManagementError("login_refused" if signing_in else "rights_missing")
    if status >= 300:
        raise ManagementError("refused")
    try:
        return msgspec.json.decode(raw) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ManagementError("refused") from None


@asynccontextmanager
async def managing(url: str, *, vhost: str, ca_file: str = "") -> AsyncIterator[Management]:
    """Open the API at `https://user:password@host:port` (or http://) and check it.

    Raises SettingsError, and ManagementError.
    """
    root, login = _read(url)
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Authorization": login, "Content-Type": "application/json"},
        timeout=TIMEOUT,
        trust_env=False,
    )
    async with session:
        management = Management(session, root, vhost)
        await management.check()
        yield management


def _read(url: str) -> tuple[str, str]:
    """Return the API's address and the header that signs in."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError("BUSYLINE_BROKER_ADMIN_URL cannot be read") from None
    if parts.scheme not in {"http", "https"} or not (parts.hostname and parts.username and parts.password):
        raise SettingsError("BUSYLINE_BROKER_ADMIN_URL is http(s)://user:password@host:port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    login = base64.b64encode(f"{unquote(parts.username)}:{unquote(parts.password)}".encode()).decode()
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}", f"Basic {login}"
