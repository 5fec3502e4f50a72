"""Edge: what an admin has filled in and not yet saved, sealed, for half an hour, for their session alone.

A draft is found by its random id, of which only the hash is kept. Who signs out leaves none behind.
"""

import hashlib
import secrets
from typing import Final

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.authorizer.console.place import Place, Visit
from shared.contracts.values import Instant
from shared.tables import sign_ins
from shared.vault import VaultError

KEPT: Final = 1800  # seconds
MOST: Final = 8  # of a kind in one session; the oldest go first
_LONGEST_ID: Final = 64


async def keep(  # noqa: PLR0913 -- what is kept, for whom, until when
    place: Place, visit: Visit, kind: str, body: bytes, *, now: Instant, draft_id: str = ""
) -> str:
    """Seal a draft and return its id; older ones of its kind make room. Drafts of two kinds may share an id."""
    draft_id = draft_id or secrets.token_urlsafe(32)
    async with place.store.write() as writing:
        await writing.execute(delete(sign_ins).where(sign_ins.c.until <= now))
        await _make_room(writing, visit, kind)
        whose = {"session_hash": visit.session_hash, "org_id": visit.org_id}
        row = {**whose, "kind": kind, "until": now + KEPT}
        await writing.execute(sign_ins.insert().values(**_named(place, kind, draft_id, body), **row))
    return draft_id


async def put(place: Place, visit: Visit, kind: str, draft_id: str, body: bytes) -> bool:
    """Put another content into a draft; False where it is no more."""
    values = _named(place, kind, draft_id, body)
    changed = update(sign_ins).where(*_here(visit, kind, draft_id)).values(sealed=values["sealed"])
    async with place.store.write() as writing:
        return bool((await writing.execute(changed)).rowcount)


async def kept(place: Place, visit: Visit, kind: str, draft_id: str, *, now: Instant) -> bytes | None:
    """Return a draft's content, None where there is no such draft in this session (any more), or no key for it."""
    query = select(sign_ins.c.sealed).where(*_here(visit, kind, draft_id), sign_ins.c.until > now)
    async with place.store.read() as reading:
        sealed = (await reading.execute(query)).scalar_one_or_none()
    try:
        return None if sealed is None else place.vault.open(sealed, about=_about(kind, draft_id))
    except VaultError:  # its key was taken away meanwhile
        return None


async def taken(place: Place, visit: Visit, kind: str, draft_id: str, *, now: Instant) -> bytes | None:
    """Return a draft's content and end it: of several who ask at once, one gets it."""
    body = await kept(place, visit, kind, draft_id, now=now)
    if body is None:
        return None
    async with place.store.write() as writing:
        mine = (await writing.execute(delete(sign_ins).where(*_here(visit, kind, draft_id)))).rowcount
    return body if mine else None


async def _make_room(writing: AsyncConnection, visit: Visit, kind: str) -> None:
    mine = (sign_ins.c.session_hash == visit.session_hash, sign_ins.c.kind == kind)
    query = select(sign_ins.c.state_hash).where(*mine).order_by(sign_ins.c.until.desc()).offset(MOST - 1)
    older = list((await writing.execute(query)).scalars())
    await writing.execute(delete(sign_ins).where(sign_ins.c.state_hash.in_(older)))


def _named(place: Place, kind: str, draft_id: str, body: bytes) -> dict[str, str | bytes]:
    return {"state_hash": _hashed(kind, draft_id), "sealed": place.vault.seal(body, about=_about(kind, draft_id))}


def _here(visit: Visit, kind: str, draft_id: str) -> tuple[ColumnElement[bool], ...]:
    named = sign_ins.c.state_hash == _hashed(kind, draft_id)
    return named, sign_ins.c.session_hash == visit.session_hash, sign_ins.c.kind == kind


def _about(kind: str, draft_id: str) -> str:
    return f"sign_ins/sealed/{_hashed(kind, draft_id)}"


def _hashed(kind: str, draft_id: str) -> str:
    known = draft_id[:_LONGEST_ID].encode(errors="replace")
    return hashlib.sha256(kind.encode() + b"/" + known).hexdigest()
