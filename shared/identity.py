"""The one door to msal: app-only tokens for a tenant and a resource, held in memory, asked for once however many wait.

Refuses to let a token, a secret or Microsoft's text into an exception; what goes wrong is a fixed word.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msal
from msgspec import Struct

from shared.aadsts import code_of, meaning
from shared.clouds import SANDBOX, Cloud
from shared.token_http import Refused, TokenHttp, certificate_parts

R = TypeVar("R")

THREADS: Final = 8
HOLD: Final = 60.0  # seconds a token is given out without asking msal; it drops tokens 300 s before they end
HOLD_REFUSAL: Final = 10.0  # so that a thousand readings do not repeat one refusal a thousand times
HOLD_FAILURE: Final = 5.0
UNUSED: Final = 3600.0  # seconds that what nobody asks for is kept: longer than its token lives
SETTLED: Final = 1.0  # a burst of 401s on one old token renews it once


class IdentityError(Exception):
    """No token. `reason` is a fixed word, `code` the number in AADSTSnnnn (0 where none), `retry_after` in seconds."""

    def __init__(
        self, reason: str, *, transient: bool = False, retry_after: float | None = None, code: int = 0
    ) -> None:
        """Take fixed words and numbers only: all of it may be logged."""
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
        self.retry_after = retry_after
        self.code = code

    def again(self) -> "IdentityError":
        """Return a copy: one outcome is raised to many waiters, each with places of its own."""
        return IdentityError(self.reason, transient=self.transient, retry_after=self.retry_after, code=self.code)


class GraphCredential(Struct, frozen=True, kw_only=True):
    """What signs the app in: a client secret, or a certificate (PEM: private key and certificate)."""

    client_id: str
    client_secret: str = ""
    certificate: str = ""

    def __repr__(self) -> str:
        return "GraphCredential(***)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


class _Holding:
    """What is held for one tenant, client, cloud and scope: msal's application and the last outcome."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.app: Any = None
        self.outcome: asyncio.Task[str | IdentityError] | None = None
        self.until = float("inf")
        self.issued_at = float("-inf")  # when Microsoft issued what is held; msal's own cache does not count


class Tokens:
    """Tokens by (tenant, cloud, credential). msal blocks: it runs in a small pool of threads of its own."""

    def __init__(self, *, ca_file: str = "") -> None:
        """Take the file of a private CA to trust beside the system's."""
        self._http = TokenHttp(ca_file)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="identity")
        self._held: dict[str, _Holding] = {}

    async def token(
        self, *, tenant_id: str, cloud: Cloud, credential: GraphCredential, fresh: bool = False, scope: str = ""
    ) -> str:
        """Return a bearer token for `scope`, else the cloud's Graph; callers at the same time share one acquisition.

        `fresh` asks Microsoft anew, whatever is held: roles granted since are in the token. Raises IdentityError.
        """
        key = _key(tenant_id, cloud, credential, scope=scope)
        if fresh:
            self._held.pop(key, None)
        now = asyncio.get_running_loop().time()
        if key not in self._held:
            self._let_go(now)
        holding = self._held.setdefault(key, _Holding(scope or cloud.scope))
        if holding.outcome is None or (holding.outcome.done() and now >= holding.until):
            holding.outcome = asyncio.create_task(self._settle(holding, tenant_id, cloud, credential))
            holding.outcome.add_done_callback(_looked_at)
        outcome = await asyncio.shield(holding.outcome)
        if isinstance(outcome, IdentityError):
            raise outcome.again()
        return outcome

    def forget(self, *, tenant_id: str, cloud: Cloud, credential: GraphCredential, scope: str = "") -> None:
        """Drop a token that the server rejected; one that Microsoft issued within the last second is new and stays."""
        holding = self._held.get(_key(tenant_id, cloud, credential, scope=scope))
        if holding is None or holding.outcome is None or not holding.outcome.done():
            return
        if asyncio.get_running_loop().time() - holding.issued_at < SETTLED:
            return
        holding.outcome = None
        if holding.app is not None:
            holding.app.remove_tokens_for_client()

    async def blocking(self, work: Callable[[TokenHttp], R]) -> R:
        """Run what blocks, in one of these threads, with the HTTP that Microsoft's sign-in is asked by.

        What it returns tells of failures too: one that is raised would keep frames, and secrets in them.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, self._http)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def _let_go(self, now: float) -> None:
        """Forget what nobody asks for any more: an app that an admin tries out may be tried once."""
        for key in [key for key, holding in self._held.items() if now >= holding.until + UNUSED]:
            del self._held[key]

    async def _settle(
        self, holding: _Holding, tenant_id: str, cloud: Cloud, credential: GraphCredential
    ) -> str | IdentityError:
        loop = asyncio.get_running_loop()
        holding.until = float("inf")
        outcome, is_new = await loop.run_in_executor(self._pool, self._acquire, holding, tenant_id, cloud, credential)
        if is_new:
            holding.issued_at = loop.time()
        holding.until = loop.time() + _held_for(outcome)
        return outcome

    def _acquire(
        self, holding: _Holding, tenant_id: str, cloud: Cloud, credential: GraphCredential
    ) -> tuple[str | IdentityError, bool]:
        """Ask msal, in a thread; say too whether a token is new, or one that msal held already.

        A failure is returned: one that is raised would keep frames, and secrets in them.
        """
        try:
            if holding.app is None:
                holding.app = application(tenant_id, cloud, credential, self._http)
            answer: dict[str, Any] = holding.app.acquire_token_for_client([holding.scope])
        except Refused as refusal:
            return refused(refusal.answer, refusal.reason, refusal.retry_after), False
        except json.JSONDecodeError:
            return IdentityError("identity_unexpected", transient=True), False
        except ValueError:  # msal: a key or an authority it cannot make sense of
            return IdentityError("certificate_malformed" if credential.certificate else "request_refused"), False
        token = answer.get("access_token")
        if isinstance(token, str) and token:
            return token, answer.get("token_source") != "cache"
        return refused(answer), False


def application(tenant: str, cloud: Cloud, credential: GraphCredential, http: TokenHttp) -> Any:
    """Make msal's application for a tenant, or for `organizations`. Raises Refused, and ValueError for a bad key.

    Its constructor asks the tenant's metadata, so this is done late and in a thread.
    """
    secret: Any = credential.client_secret
    if credential.certificate:
        private_key, certificate = certificate_parts(credential.certificate)
        secret = {"private_key": private_key, "public_certificate": certificate}  # PS256 with x5t#S256
    return msal.ConfidentialClientApplication(
        credential.client_id,
        authority=f"{cloud.login}/{tenant}",
        client_credential=secret,
        http_client=http,
        exclude_scopes=["offline_access"],  # whoever signs in proves who they are, and no more is kept of them
        azure_region=False,  # or MSAL_FORCE_REGION in the environment would move the endpoint
        instance_discovery=False if cloud.name == SANDBOX else None,  # None: known hosts only, see clouds.py
    )


def _held_for(outcome: str | IdentityError) -> float:
    if isinstance(outcome, str):
        return HOLD
    return max(HOLD_FAILURE if outcome.transient else HOLD_REFUSAL, outcome.retry_after or 0.0)


def refused(answer: dict[str, Any], reason: str = "", retry_after: float | None = None) -> IdentityError:
    """Translate an error answer: an HTTP-level `reason` is transient, else the AADSTS code decides."""
    code = code_of(answer)
    if reason:
        return IdentityError(reason, transient=True, retry_after=retry_after, code=code)
    meant, transient = meaning(code)
    return IdentityError(meant, transient=transient, retry_after=retry_after, code=code)


def _key(tenant_id: str, cloud: Cloud, credential: GraphCredential, *, scope: str) -> str:
    """Name a holding without keeping the secret in the name: another secret is another holding."""
    parts = (tenant_id.lower(), cloud.name, cloud.login, credential.client_id, scope)
    secret = f"{credential.client_secret}\0{credential.certificate}"
    return "\0".join((*parts, hashlib.sha256(secret.encode()).hexdigest()))


def _looked_at(task: asyncio.Task[str | IdentityError]) -> None:
    """Count an outcome as seen even if whoever asked was cancelled meanwhile."""
    if not task.cancelled():
        task.exception()
