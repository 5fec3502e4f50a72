"""Edge: admins on the way to Microsoft and back. Each journey is kept sealed under its state, for its session alone.

It refuses a state that is not known, was another session's, was used before, or is older than ten minutes.
"""

import hashlib
import secrets
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import delete, insert, select

from services.authorizer.console.microsoft_rules import JourneyRefused, Kind
from services.authorizer.console.place import Place, Visit
from shared.contracts.values import Instant
from shared.tables import sign_ins
from shared.vault import VaultError

LASTS: Final = 600  # seconds
_STATE: Final = 32  # random bytes
_LONGEST: Final = 128


class Journey(Struct, frozen=True, kw_only=True):
    """What must be known when an admin comes back.

    On the way to sign in: the flow (PKCE verifier, nonce). On the way to consent: the tenant that the ID token proved,
    and the role it named.
    """

    kind: Kind
    cloud: str
    client_id: str
    flow: dict[str, Any] = {}
    tenant_id: str = ""
    role: str = ""


def new_state() -> str:
    """Return a state nobody can guess."""
    return secrets.token_urlsafe(_STATE)


async def keep(place: Place, visit: Visit, state: str, journey: Journey, *, now: Instant) -> None:
    """Keep a journey that begins now."""
    state_hash = _hashed(state)
    values = {
        "state_hash": state_hash,
        "session_hash": visit.session_hash,
        "org_id": visit.org_id,
        "kind": journey.kind,
        "sealed": place.vault.seal(msgspec.json.encode(journey), about=_about(state_hash)),
        "until": now + LASTS,
    }
    async with place.store.write() as writing:
        await writing.execute(insert(sign_ins).values(**values))


async def take(place: Place, visit: Visit, state: str, kind: Kind, *, now: Instant) -> Journey:
    """Return the journey of a state and forget it: each ends once. Raises JourneyRefused.

    One of another session stays as it is: its owner may still come back.
    """
    if not 1 <= len(state) <= _LONGEST or not state.isascii():
        raise JourneyRefused("state_unknown")
    state_hash = _hashed(state)
    mine = (
        sign_ins.c.state_hash == state_hash,
        sign_ins.c.session_hash == visit.session_hash,
        sign_ins.c.kind == kind,
    )
    async with place.store.write() as writing:
        row = (await writing.execute(select(sign_ins).where(*mine).with_for_update())).one_or_none()
        await writing.execute(delete(sign_ins).where(*mine))
    if row is None:
        raise JourneyRefused("state_unknown")
    if row.until <= now:
        raise JourneyRefused("state_expired")
    try:
        return msgspec.json.decode(place.vault.open(row.sealed, about=_about(state_hash)), type=Journey)
    except VaultError:
        raise JourneyRefused("state_unknown") from None


def _hashed(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _about(state_hash: str) -> str:
    return f"sign_ins/sealed/{state_hash}"
