"""Edge: is this connection good? A token, the directory, one mailbox: each is really asked for before it is accepted.

What an admin must repair is a Refusal with a fixed reason; what passes by itself is Retry.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from services.authorizer.candidates import Graph, list_one, try_mailboxes
from services.authorizer.refusals import of_identity
from shared.clouds import Cloud
from shared.contracts.policy import Scope
from shared.contracts.values import Instant
from shared.identity import GraphCredential, IdentityError


class TokenSource(Protocol):
    """What is needed of shared.identity.Tokens."""

    async def token(
        self, *, tenant_id: str, cloud: Cloud, credential: GraphCredential, fresh: bool = False, scope: str = ""
    ) -> str:
        """Return a bearer token. Raises IdentityError."""
        ...


OpenGraph = Callable[[Cloud, Callable[[], Awaitable[str]]], Graph]


class Microsoft(Struct, frozen=True):
    """The two doors to Microsoft: tokens, and Graph with a way to a token."""

    tokens: TokenSource
    graph: OpenGraph


class Question(Struct, frozen=True, kw_only=True):
    """What is to be verified: a tenant in a cloud, reached by a credential, within a scope."""

    tenant_id: str
    cloud: Cloud
    credential: GraphCredential
    scope: Scope = Scope()


class Verified(Struct, frozen=True, kw_only=True):
    """What was found. `tenant_id` is the tenant's GUID where the token names it; `roles` are hints, never a condition.

    An installation scoped in Exchange (RBAC for Applications) reads calendars without any role in its token.
    """

    tenant_id: str
    roles: tuple[str, ...] = ()


async def verify(question: Question, microsoft: Microsoft, *, now: Instant) -> Verified:
    """Ask for a token, one user and one mailbox. Raises Refusal or Retry."""
    try:
        token = await microsoft.tokens.token(
            tenant_id=question.tenant_id, cloud=question.cloud, credential=question.credential, fresh=True
        )
    except IdentityError as error:
        raise of_identity(error) from None

    async def same_token() -> str:
        return token

    found = read_claims(token, question.tenant_id)
    graph = microsoft.graph(question.cloud, same_token)
    await list_one(graph)
    await try_mailboxes(graph, question.scope, found.roles, now=now)
    return found


def read_claims(token: str, asked: str) -> Verified:
    """Read tenant and roles from a token's payload without validating it: it came straight from the cloud's sign-in.

    A token that cannot be read says nothing: the tenant is then named as it was asked for.
    """
    claims = _payload(token)
    tenant_id, roles = claims.get("tid"), claims.get("roles")
    return Verified(
        tenant_id=(tenant_id if isinstance(tenant_id, str) and tenant_id else asked).lower(),
        roles=tuple(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else (),
    )


def _payload(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        decoded = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):  # msgspec's errors are ValueErrors
        return {}
    return decoded if isinstance(decoded, dict) else {}
