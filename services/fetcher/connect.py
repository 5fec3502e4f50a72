"""One way in per organisation: its cloud or server, its credential, its pause. Nothing is sent while it is paused."""

import asyncio
from typing import Final

from msgspec import Struct

from services.fetcher import runs
from services.fetcher.exchange_opening import Opening, Servers
from services.fetcher.exchange_server import Server
from services.fetcher.failure import LONG_PAUSE, PAUSED
from services.fetcher.fresh import Fresh
from services.fetcher.patience import Patience
from shared import clock, clouds, connections
from shared.connections import C, Connected
from shared.contracts.messages import GraphConnection
from shared.contracts.values import Instant
from shared.errors import Reject
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings
from shared.graph import GraphClient, GraphError, Session
from shared.identity import GraphCredential, IdentityError, Tokens
from shared.store import Store
from shared.vault import Vault, VaultError

CREDENTIAL_SECONDS: Final = 30.0


class Access(Struct, frozen=True, kw_only=True):
    """What opens the way to Microsoft: credentials sealed in the store, the key to them, tokens, HTTP."""

    store: Store
    vault: Vault
    tokens: Tokens
    session: Session
    sandbox_url: str = ""
    surroundings: Surroundings = Surroundings()
    exchange_requests: int = 8


class Tenants:
    """The organisations as they stand, each with its client. What the store says is at most a second old."""

    def __init__(self, access: Access) -> None:
        """Take what opens the way."""
        self._access = access
        self._orgs: Fresh[Connected | None] = Fresh(lambda org_id: connections.connected(access.store, org_id))
        self._pauses: Fresh[Instant] = Fresh(lambda org_id: runs.paused_until(access.store, org_id))
        self._patience = Patience()
        self._credentials: Fresh[GraphCredential] = Fresh(self._credential, seconds=CREDENTIAL_SECONDS)
        self._servers = Servers(
            Opening(
                store=access.store,
                surroundings=access.surroundings,
                limit=access.exchange_requests,
                tokens=access.tokens,
                sandbox_url=access.sandbox_url,
                credential=self._exchange_credential,
                paused=self._paused,
            )
        )

    async def org(self, org_id: str, *, at_least: int = 0) -> Connected | None:
        """Return an org, asked anew where the answer held is older than the generation `at_least`."""
        org = await self._orgs(org_id)
        if org is None or org.generation < at_least:
            self._orgs.drop(org_id)
            org = await self._orgs(org_id)
        return org

    def client(self, org: Connected) -> GraphClient:
        """Return the client of an org connected through Graph. Its calls raise GraphError and IdentityError.

        Raises IdentityError where the org is connected in another way by now.
        """
        connection = org.connection
        if not isinstance(connection, GraphConnection):
            raise IdentityError("not_graph")
        try:
            cloud = clouds.cloud(connection.cloud, sandbox_url=self._access.sandbox_url)
        except Reject as error:
            raise IdentityError(error.reason) from None
        tenant_id, tokens = connection.tenant_id, self._access.tokens
        used: list[GraphCredential] = []

        async def token() -> str:
            await self._refuse_while_paused(org.org_id)
            used[:] = [await self._credentials(connection.credential)]
            try:
                return await tokens.token(tenant_id=tenant_id, cloud=cloud, credential=used[0])
            except IdentityError as error:
                if not error.transient:
                    self._credentials.drop(connection.credential)  # by the next call there may be a better one
                raise

        def forget() -> None:
            self._credentials.drop(connection.credential)
            for credential in used:
                tokens.forget(tenant_id=tenant_id, cloud=cloud, credential=credential)

        return GraphClient(self._access.session, cloud=cloud, token=token, forget=forget)

    async def exchange(self, org: Connected) -> Server:
        """Return the server of an org connected through EWS. Raises IdentityError; its calls raise EwsError, too."""
        return await self._servers.of(org)

    async def directory(self, org: Connected) -> tuple[EwsCredential, Surroundings]:
        """Return what the directory of an org connected through EWS is asked with. Raises IdentityError."""
        return await self._exchange_credential(org.connection.credential), self._access.surroundings

    async def close(self) -> None:
        """Let servers' sessions go, and what is under way there."""
        await self._servers.close()

    async def pause(self, org_id: str, *, until: Instant) -> None:
        """Leave a tenant alone until then, though no longer than LONG_PAUSE, on every replica."""
        await runs.pause(self._access.store, org_id, until=min(until, clock.now() + int(LONG_PAUSE)))
        self._pauses.drop(org_id)

    async def doubt(self, org_id: str, *, now: Instant) -> bool:
        """Leave a tenant in doubt alone, on every replica, and say whether nobody else doubted it just before."""
        first = await runs.doubt(self._access.store, org_id, now=now)
        self._pauses.drop(org_id)
        return first

    async def _refuse_while_paused(self, org_id: str) -> None:
        left = await self._paused(org_id)
        if left > 0:
            raise GraphError(status=0, code=PAUSED, retry_after=left)

    async def _paused(self, org_id: str) -> float:
        """Return the seconds for which an org is still to be left alone, 0 or less where it is not."""
        until = await self._pauses(org_id)
        return self._patience.left(org_id, until, now=clock.now(), ticks=asyncio.get_running_loop().time())

    async def _credential(self, credential_id: str) -> GraphCredential:
        return await self._opened(credential_id, GraphCredential)

    async def _exchange_credential(self, credential_id: str) -> EwsCredential:
        return await self._opened(credential_id, EwsCredential)

    async def _opened(self, credential_id: str, kind: type[C]) -> C:
        access = self._access
        try:
            credential = await connections.credential_of(access.store, access.vault, credential_id, kind)
        except VaultError:
            raise IdentityError("credential_unreadable") from None
        if credential is None:
            raise IdentityError("credential_missing")
        return credential
