"""Edge: the audit log, a chain of entries for each org and one for the deployment; it only ever grows.

It takes fixed words and numbers: no address, no tenant, no text of anybody's. Every entry seals the one before it, so a
changed, inserted or missing entry is found; a chain cut short is found by a hash printed elsewhere (a receipt).
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import audit

DEPLOYMENT: Final = "-"  # the chain of what concerns no org, or all; no org's id looks so
OURS: Final = "authorizer"  # the actor of what nobody asked for

Details = Mapping[str, str | int | bool]
_UNREADABLE: Final[Details] = {"unreadable": True}


class Entry(Struct, frozen=True, kw_only=True):
    """One act: the `number`-th of its chain, from 1. `previous` is the hash of the entry before, "" of the first."""

    chain: str
    number: int
    at: Instant
    actor: str
    action: str
    details: dict[str, str | int | bool]
    previous: str
    hash: str


def canonical(entry: Entry) -> bytes:
    """Return the bytes that an entry's hash is taken over.

    They are UTF-8 of the JSON array [chain, number, at, actor, action, details, previous]: no space between tokens, the
    keys of `details` sorted, no character escaped but those that JSON demands. That is Python's
    `json.dumps(array, separators=(",", ":"), sort_keys=True, ensure_ascii=False)`.
    """
    parts = (entry.chain, entry.number, entry.at, entry.actor, entry.action, entry.details, entry.previous)
    return msgspec.json.encode(parts, order="deterministic")


def sealed(entry: Entry) -> str:
    """Return the SHA-256 of an entry's canonical bytes, in hexadecimal."""
    return hashlib.sha256(canonical(entry)).hexdigest()


def verify(entries: Sequence[Entry], *, known: Collection[str] = ()) -> int | None:
    """Return the number of the first entry of a chain that is broken or missing, None where all is well.

    `known`: hashes of the chain that were printed elsewhere; one that is not there means that the end was cut off.
    """
    previous = ""
    for number, entry in enumerate(entries, 1):
        whole = entry.number == number and entry.previous == previous and entry.chain == entries[0].chain
        if not whole or entry.hash != sealed(entry):
            return number
        previous = entry.hash
    return None if {entry.hash for entry in entries}.issuperset(known) else len(entries) + 1


async def append(  # noqa: PLR0913 -- an entry has so many parts, and the caller's transaction comes with its store
    store: Store,
    writing: AsyncConnection,
    *,
    chain: str,
    actor: str,
    action: str,
    details: Details,
    now: Instant,
) -> str:
    """Write an entry in the caller's transaction, under the publication lock, and return its hash.

    Take the lock before any row of `orgs` or `purges` is locked, as everybody does: here it is only made sure of.
    """
    await store.publication_lock(writing)
    last = await _last(writing, chain)
    entry = Entry(
        chain=chain,
        number=last.number + 1 if last else 1,
        at=now,
        actor=actor,
        action=action,
        details=dict(details),
        previous=last.hash if last else "",
        hash="",
    )
    values = {**msgspec.structs.asdict(entry), "details": _encoded(details), "hash": sealed(entry)}
    await writing.execute(audit.insert().values(**values))
    return str(values["hash"])


async def told_last(writing: AsyncConnection, chain: str, *, action: str, details: Details) -> bool:
    """Say whether the last entry of a chain tells just this already."""
    last = await _last(writing, chain)
    return last is not None and last.action == action and bytes(last.details) == _encoded(details)


async def entries(store: Store, chain: str) -> tuple[Entry, ...]:
    """Return a chain from its beginning; details that are not as they were written come out as `unreadable`."""
    async with store.read() as reading:
        rows = await reading.execute(select(audit).where(audit.c.chain == chain).order_by(audit.c.number))
        return tuple(_entry(row) for row in rows)


async def chains(store: Store) -> tuple[str, ...]:
    """Return the names of all chains, sorted: org ids, orgs long gone among them, and the deployment's."""
    async with store.read() as reading:
        return tuple((await reading.execute(select(audit.c.chain).distinct().order_by(audit.c.chain))).scalars())


async def _last(writing: AsyncConnection, chain: str) -> Row[Any] | None:
    query = select(audit).where(audit.c.chain == chain).order_by(audit.c.number.desc()).limit(1)
    return (await writing.execute(query)).one_or_none()


def _encoded(details: Details) -> bytes:
    return msgspec.json.encode(details, order="deterministic")


def _entry(row: Row[Any]) -> Entry:
    try:
        details: Details = msgspec.json.decode(row.details, type=dict[str, str | int | bool])
        readable = _encoded(details) == bytes(row.details)
    except (msgspec.DecodeError, UnicodeError):
        readable = False
    return Entry(
        chain=row.chain,
        number=row.number,
        at=row.at,
        actor=row.actor,
        action=row.action,
        details=dict(details if readable else _UNREADABLE),
        previous=row.previous,
        hash=row.hash,
    )
