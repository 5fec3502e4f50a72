"""What the setup page works with, and who is at it: plain values that every page is handed."""

from typing import Final

from aiohttp import web
from msgspec import Struct

from services.authorizer.desk import Desk
from services.authorizer.timer import Wakes
from shared.broker import Broker
from shared.contracts.values import Instant
from shared.identity import Tokens
from shared.store import Store
from shared.vault import Vault


class SetupSettings(Struct, frozen=True, kw_only=True):
    """What an operator set of the setup page, read from services.authorizer.settings.

    `public_url` is where browsers reach it (https://setup.example, no slash at its end); `link_keys` are the secrets
    that the platform signs links with, the newest first; `return_to` are the addresses that may be returned to.
    """

    public_url: str
    link_keys: tuple[str, ...]
    return_to: tuple[str, ...] = ()
    product: str = "Busyline"
    terms: str = ""
    terms_version: str = ""
    egress: tuple[str, ...] = ()


class Place(Struct, frozen=True, kw_only=True):
    """The setup page's edges: the store, the vault, verification's doors, tokens, the broker, the timers to wake."""

    store: Store
    vault: Vault
    desk: Desk
    tokens: Tokens
    broker: Broker
    wakes: Wakes
    settings: SetupSettings


class Visit(Struct, frozen=True, kw_only=True):
    """An admin who is signed in: for which org, as whom, since when. `csrf` is the token of the session's forms."""

    org_id: str
    actor: str
    return_to: str
    csrf: str
    session_hash: str
    created_at: Instant


PLACE: Final = web.AppKey("place", Place)
VISIT: Final = web.RequestKey("visit", Visit)


def place_of(request: web.Request) -> Place:
    """Return the setup page's edges."""
    return request.app[PLACE]


def visit_of(request: web.Request) -> Visit:
    """Return who is signed in; every page but the entrance is reached by them alone."""
    return request[VISIT]
