"""Opens the doors to Exchange servers, one for each organisation, and keeps them while their credential stays.

A credential that was refused is not tried again before the authorizer has verified the connection anew.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from services.fetcher.exchange_server import Opened, Server
from services.fetcher.exchange_shares import Share
from services.fetcher.fresh import Fresh
from shared import clock, clouds, logs
from shared.connections import Connected
from shared.contracts.messages import EwsConnection
from shared.contracts.values import Instant
from shared.errors import Reject
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings
from shared.ews.oauth import scope_of
from shared.ews.sessions import Door
from shared.identity import GraphCredential, IdentityError, Tokens
from shared.store import Store

Token = Callable[[], Awaitable[str]]
Forget = Callable[[], None]

VERIFIED: Final = 120  # seconds: a verification that is due sooner is asked for, or under way, and has no verdict yet
CREDENTIAL_SECONDS: Final = 30.0
RETIRED: Final = 900.0  # seconds that a door stays open that was replaced, or is not used


class Opening(Struct, frozen=True, kw_only=True):
    """What opening a server takes. `limit` is how many requests all replicas together may have at one server.

    `paused` says for how many seconds an org is still to be left alone.
    """

    store: Store
    surroundings: Surroundings
    limit: int
    tokens: Tokens
    credential: Callable[[str], Awaitable[EwsCredential]]
    paused: Callable[[str], Awaitable[float]]
    sandbox_url: str = ""


class _Kept(Struct, frozen=True):
    """A server, and what it was opened for: by these it is known to be still the right one."""

    server: Server
    connection: EwsConnection
    credential: EwsCredential
    verify_at: Instant | None
    used_at: float  # of the loop's clock


def was_verified(before: Instant | None, verify_at: Instant | None, now: Instant) -> bool:
    """Say whether the authorizer gave a verdict since: the next verification is another one, and no doubt is open."""
    return verify_at is not None and verify_at != before and verify_at > now + VERIFIED


class Servers:
    """The servers of the organisations connected through EWS."""

    def __init__(self, opening: Opening) -> None:
        """Take what opening takes."""
        self._opening = opening
        self._credentials: Fresh[EwsCredential] = Fresh(opening.credential, seconds=CREDENTIAL_SECONDS)
        self._kept: dict[str, _Kept] = {}
        self._retired: set[Server] = set()
        self._shares: dict[str, Share] = {}
        self._replica = uuid4().hex

    async def of(self, org: Connected) -> Server:
        """Return an org's server, opened anew where its connection or credential changed. Raises IdentityError."""
        connection = org.connection
        if not isinstance(connection, EwsConnection):
            raise IdentityError("not_exchange")
        credential = await self._credential(org.org_id, connection)
        kept, now = self._kept.get(org.org_id), clock.now()
        if kept is not None and (kept.connection, kept.credential) == (connection, credential):
            if not kept.server.door.refused:
                used_at = asyncio.get_running_loop().time()
                self._kept[org.org_id] = replace(kept, verify_at=org.verify_at, used_at=used_at)
                return kept.server
            if org.reason is not None or not was_verified(kept.verify_at, org.verify_at, now):
                return kept.server
        server, loop = self._open(org.org_id, connection, credential), asyncio.get_running_loop()
        self._kept[org.org_id] = _Kept(server, connection, credential, org.verify_at, loop.time())
        if kept is not None:
            self._retire(kept.server)
        else:
            loop.call_later(RETIRED, self._look, org.org_id)
        return server

    async def close(self) -> None:
        """Close them all."""
        for server in (*(kept.server for kept in self._kept.values()), *self._retired):
            await server.close()
        for share in self._shares.values():
            await share.close()
        self._kept.clear()
        self._retired.clear()

    async def _credential(self, org_id: str, connection: EwsConnection) -> EwsCredential:
        """Return an org's credential, read anew where the one known was refused: a better one may be there by now."""
        kept = self._kept.get(org_id)
        if kept is not None and kept.server.door.refused:
            self._credentials.drop(connection.credential)
        return await self._credentials(connection.credential)

    def _retire(self, server: Server) -> None:
        """Close a server after a while: what it has in hand may still come to its end."""
        self._retired.add(server)
        asyncio.get_running_loop().call_later(RETIRED, self._bury, server)

    def _bury(self, server: Server) -> None:
        self._retired.discard(server)
        server.door.close()

    def _look(self, org_id: str) -> None:
        """Close a server that is not used any more: its org may have left, and its password is to be forgotten."""
        kept, loop = self._kept.get(org_id), asyncio.get_running_loop()
        if kept is None:
            return
        left = RETIRED if kept.server.held else kept.used_at + RETIRED - loop.time()
        if left > 0:
            loop.call_later(left, self._look, org_id)
        else:
            del self._kept[org_id]
            self._credentials.drop(kept.connection.credential)
            kept.server.door.close()

    def _open(self, org_id: str, connection: EwsConnection, credential: EwsCredential) -> Server:
        log = logs.get("fetcher").bind(org_id=org_id)
        paused = partial(self._opening.paused, org_id)
        return Server(self._door(connection, credential), self._share(connection), paused, log)

    def _share(self, connection: EwsConnection) -> Share:
        """Return our part of a server: organisations on one server share it, whatever paths they name.

        The store is told a hash: the server's name is the customer's, and would outlast one that leaves.
        """
        server = sha256(urlsplit(connection.endpoint).netloc.lower().encode()).hexdigest()
        if server not in self._shares:
            self._shares[server] = Share(self._opening.store, server, replica=self._replica, limit=self._opening.limit)
        return self._shares[server]

    def _door(self, connection: EwsConnection, credential: EwsCredential) -> Opened:
        token, forget = self._tokens(connection, credential.app)
        return Door(
            endpoint=connection.endpoint,
            scheme=connection.scheme,
            credential=credential,
            surroundings=self._opening.surroundings,
            token=token,
            forget=forget,
            connections=self._opening.limit,
            member=connection.member,
        )

    def _tokens(self, connection: EwsConnection, app: GraphCredential | None) -> tuple[Token | None, Forget]:
        """Return what gives an app's tokens, and what is told that one was refused: the next is issued anew."""
        if app is None:
            return None, lambda: None
        try:
            cloud = clouds.cloud(connection.cloud, sandbox_url=self._opening.sandbox_url)
        except Reject as error:
            raise IdentityError(error.reason) from None
        tokens, tenant_id, scope = self._opening.tokens, connection.tenant_id, scope_of(connection, cloud)
        asked = partial(tokens.token, tenant_id=tenant_id, cloud=cloud, credential=app, scope=scope)
        return asked, partial(tokens.forget, tenant_id=tenant_id, cloud=cloud, credential=app, scope=scope)
