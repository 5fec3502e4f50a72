"""Edge: what trying an Exchange server takes: tokens, a look at an address, doors that sign in, a directory.

Each is a value that is called, so that a test can stand in the server's place.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from services.authorizer import autodiscover_forms, autodiscover_hints
from services.authorizer.verify import TokenSource
from shared import ldap
from shared.clouds import Cloud
from shared.contracts.messages import EwsConnection, LdapSource, Scheme
from shared.ews import probing
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings
from shared.ews.envelopes import Envelope
from shared.ews.oauth import scope_of
from shared.ews.probing import Reached
from shared.ews.sessions import Door
from shared.identity import IdentityError

T = TypeVar("T")

CONNECTIONS: Final = 2  # of a door that is only tried


class Asks(Protocol):
    """What is needed of shared.ews.sessions.Door."""

    async def ask(self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T]) -> T:
        """Ask EWS. Raises EwsError, IdentityError."""
        ...

    async def post(self, body: bytes, decode: Callable[[Iterable[bytes]], T], *, headers: Mapping[str, str]) -> T:
        """Send any body to the door's endpoint. Raises EwsError, IdentityError."""
        ...

    def close(self) -> None:
        """Let its sessions go."""
        ...


class Question(Struct, frozen=True, kw_only=True):
    """What is to be tried: a connection under a credential. `needs` are the steps that must not fail."""

    connection: EwsConnection
    credential: EwsCredential
    cloud: Cloud
    needs: frozenset[str]


OpenDoor = Callable[[Question, str, Scheme], Asks]
Reach = Callable[[str, Surroundings], Awaitable[Reached]]
Probe = Callable[[LdapSource, EwsCredential, Surroundings], Awaitable[object]]


class Exchange(Struct, frozen=True, kw_only=True):
    """The doors. `places` and `hints` say where autodiscover is asked for a domain."""

    surroundings: Surroundings
    door: OpenDoor
    reach: Reach = probing.reach
    probe: Probe = ldap.probe
    places: Callable[[str], tuple[str, ...]] = autodiscover_forms.places
    hints: Callable[[str, Surroundings], Awaitable[tuple[str, ...]]] = autodiscover_hints.hinted


def exchange(tokens: TokenSource, surroundings: Surroundings) -> Exchange:
    """Return the real doors."""

    def door(question: Question, endpoint: str, scheme: Scheme) -> Asks:
        return Door(
            endpoint=endpoint,
            scheme=scheme,
            credential=question.credential,
            surroundings=surroundings,
            token=_token(tokens, question) if scheme == "oauth" else None,
            connections=CONNECTIONS,
            member=question.connection.member,
        )

    return Exchange(surroundings=surroundings, door=door)


def _token(tokens: TokenSource, question: Question) -> Callable[[], Awaitable[str]]:
    """Return what gives the token of one trial: asked for anew, once."""
    held: list[str] = []

    async def token() -> str:
        app = question.credential.app
        if app is None:
            raise IdentityError("credential_missing")
        if not held:
            scope = scope_of(question.connection, question.cloud)
            tenant_id = question.connection.tenant_id
            held.append(
                await tokens.token(tenant_id=tenant_id, cloud=question.cloud, credential=app, fresh=True, scope=scope)
            )
        return held[0]

    return token
