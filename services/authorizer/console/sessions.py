"""Edge: who is signed in. A session's random id lies in a cookie, its SHA-256 here; a link opens one session, once.

It refuses a session that was idle too long or is too old, and keeps none of those.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import Row, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.authorizer.console.links import Link, LinkRefused
from services.authorizer.console.place import Visit
from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import sessions, sign_ins, used_links
from shared.vault import Vault

IDLE: Final = 30 * 60  # seconds between two requests
ABSOLUTE: Final = 12 * 3600  # seconds from its beginning
_TOUCH: Final = 30  # seconds within which a request is not written down again
_SEAM: Final = 300  # seconds that a followed link is remembered beyond its end: replicas' clocks differ
_CSRF: Final = "setup csrf v1"
_ID: Final = 43  # characters of 256 bits in base64url

Gone = Literal["none", "idle"]


class Opened(Struct, frozen=True, kw_only=True):
    """A session that has just begun: the id that the browser keeps."""

    session_id: str


async def begin(store: Store, link: Link, *, former: str, now: Instant) -> Opened:
    """Begin a session by a link, under an id of its own, and end the browser's former one.

    Raises LinkRefused("used") where the link was followed before.
    """
    session_id = secrets.token_urlsafe(32)
    async with store.write() as writing:
        await _use(store, writing, link)
        await _end(writing, hashed(former))
        row = {"org_id": link.org_id, "actor": link.actor, "return_to": link.return_to}
        times = {"created_at": now, "seen_at": now}
        await writing.execute(sessions.insert().values(session_hash=hashed(session_id), **row, **times))
    return Opened(session_id=session_id)


async def _use(store: Store, writing: AsyncConnection, link: Link) -> None:
    row = {"link_hash": link.link_hash, "until": link.expires_at + _SEAM}
    using = store.upsert(used_links).values(**row).on_conflict_do_nothing()
    if not (await writing.execute(using)).rowcount:
        raise LinkRefused("used")


async def was_followed(store: Store, link: Link) -> bool:
    """Say whether a link has opened a session."""
    query = select(used_links.c.link_hash).where(used_links.c.link_hash == link.link_hash)
    async with store.read() as reading:
        return (await reading.execute(query)).first() is not None


async def visit(store: Store, vault: Vault, session_id: str, *, now: Instant, seen: bool = True) -> Visit | Gone:
    """Return who is signed in by a cookie, and note that they were `seen`; else why nobody is."""
    if len(session_id) != _ID or not session_id.isascii():
        return "none"
    session_hash = hashed(session_id)
    row = await _row(store, session_hash)
    if row is None:
        return "none"
    if _is_over(row, now):
        await end(store, session_hash)
        return "idle"
    if seen and row.seen_at + _TOUCH <= now:
        await _seen(store, session_hash, now=now)
    return _visit(row, csrf_token(vault, session_id))


async def is_open(store: Store, session_hash: str, *, now: Instant) -> bool:
    """Say whether a session still counts, for what goes on for long: nobody is seen by it."""
    row = await _row(store, session_hash)
    return row is not None and not _is_over(row, now)


async def _row(store: Store, session_hash: str) -> Row[Any] | None:
    async with store.read() as reading:
        return (await reading.execute(select(sessions).where(sessions.c.session_hash == session_hash))).one_or_none()


def _is_over(row: Row[Any], now: Instant) -> bool:
    return bool(row.seen_at + IDLE <= now or row.created_at + ABSOLUTE <= now)


async def _seen(store: Store, session_hash: str, *, now: Instant) -> None:
    async with store.write() as writing:
        await writing.execute(update(sessions).where(sessions.c.session_hash == session_hash).values(seen_at=now))


async def end(store: Store, session_hash: str) -> None:
    """End a session and whatever it had on the way."""
    async with store.write() as writing:
        await _end(writing, session_hash)


async def _end(writing: AsyncConnection, session_hash: str) -> None:
    await writing.execute(delete(sessions).where(sessions.c.session_hash == session_hash))
    await writing.execute(delete(sign_ins).where(sign_ins.c.session_hash == session_hash))


async def tidy(store: Store, *, now: Instant) -> None:
    """Take away sessions, followed links and journeys to Microsoft whose time is over."""
    over = or_(sessions.c.seen_at + IDLE <= now, sessions.c.created_at + ABSOLUTE <= now)
    async with store.write() as writing:
        theirs = select(sessions.c.session_hash).where(over)
        await writing.execute(delete(sign_ins).where(sign_ins.c.session_hash.in_(theirs)))
        await writing.execute(delete(sessions).where(over))
        await writing.execute(delete(used_links).where(used_links.c.until <= now))
        await writing.execute(delete(sign_ins).where(sign_ins.c.until <= now))


def csrf_token(vault: Vault, session_id: str) -> str:
    """Return the token that a session's forms carry."""
    return _token(vault.derived(_CSRF)[0], session_id)


def is_csrf_token(vault: Vault, session_id: str, token: str) -> bool:
    """Say whether a form's token is its session's, made with any of the vault's keys."""
    return proves(vault, _CSRF, token, lambda key: _token(key, session_id))


def proves(vault: Vault, label: str, said: str, made: Callable[[bytes], str]) -> bool:
    """Say whether what somebody brings back was made by a key of ours; another process may have a newer one."""
    while True:
        ours = [made(key) for key in vault.derived(label)]
        if any([hmac.compare_digest(one.encode(), said.encode(errors="replace")) for one in ours]):  # noqa: C419 -- all
            return True
        if not vault.look_again():
            return False


def hashed(session_id: str) -> str:
    """Return what the store keeps of a session's id."""
    return hashlib.sha256(session_id.encode(errors="replace")).hexdigest()


def _token(key: bytes, session_id: str) -> str:
    return hmac.digest(key, session_id.encode(), hashlib.sha256).hex()


def _visit(row: Row[Any], csrf: str) -> Visit:
    return Visit(
        org_id=row.org_id,
        actor=row.actor,
        return_to=row.return_to,
        csrf=csrf,
        session_hash=row.session_hash,
        created_at=row.created_at,
    )
