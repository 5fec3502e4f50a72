"""What is known of each mailbox, in the store: who reads it, how that ended, when it is due; many to a transaction.

It decides nothing: every change of a row is a pure step handed in.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from sqlalchemy import and_, bindparam, func, or_, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.fetcher.due import Answer, Change, Row
from shared.coalesce import Coalesce
from shared.connections import CONNECTED, EWS
from shared.contracts.values import Bucket, Generation, Instant, Kind
from shared.reach import reached
from shared.store import Store
from shared.tables import mailboxes, orgs

Key = tuple[str, str]  # org id, mailbox id
Step = Callable[[Row | None], Change]

TOGETHER: Final = 64  # steps in one transaction
LINGER: Final = 0.01  # seconds a step waits for others to share its transaction

_WRITTEN: Final = (
    "version", "lease_id", "lease_until", "dirty", "started_ms", "waiting", "retry_at", "read_at", "read_generation",
    "failures", "bucket", "reason", "due_at", "sync_state",
)  # fmt: skip
READ: Final = ("org_id", "mailbox_id", "address", "kind", "time_zone", "working_hours", "generation",
               "subscribed_until", *_WRITTEN)  # fmt: skip
_KEY: Final = tuple_(mailboxes.c.org_id, mailboxes.c.mailbox_id)
_LOCK: Final = (
    select(*(mailboxes.c[name] for name in READ))
    .where(_KEY.in_(bindparam("keys", expanding=True)))
    .order_by(mailboxes.c.org_id, mailboxes.c.mailbox_id)  # one order for all, so that nobody waits in a circle
    .with_for_update()
)
_LOCK_ONLY: Final = _LOCK.with_only_columns(mailboxes.c.mailbox_id)
_WRITE: Final = (
    update(mailboxes)
    .where(mailboxes.c.org_id == bindparam("k_org"), mailboxes.c.mailbox_id == bindparam("k_mailbox"))
    .values({name: bindparam(f"v_{name}") for name in _WRITTEN})
)


class Due(Struct, frozen=True, kw_only=True):
    """A mailbox whose time has come, under its org's generation; `hinted`: a hint is still to be answered.

    `exchange`: it is reached through Exchange Web Services.
    """

    org_id: str
    mailbox_id: str
    generation: Generation
    hinted: bool = False
    exchange: bool = False


class Turn(NamedTuple):
    """An org that is to be served: its generation, and its sort of connection."""

    generation: Generation
    kind: str


class Mailboxes:
    """The fetcher's table of mailboxes. `change` carries out one pure step together with whatever else is waiting."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self._turn = ""  # the org that was served last where not all could be
        self._together: Coalesce[tuple[Key, Step], Answer] = Coalesce(self._change, limit=TOGETHER, linger=LINGER)

    async def change(self, org_id: str, mailbox_id: str, step: Step) -> Answer:
        """Carry out a step on one mailbox's row, alone with it, and return its answer."""
        return await self._together(((org_id, mailbox_id), step))

    async def _change(self, items: Sequence[tuple[Key, Step]]) -> Sequence[Answer | Exception]:
        answers: list[Answer | Exception] = []
        changed: dict[Key, Row] = {}
        async with reached(), self._store.write() as connection:
            found = await connection.execute(_LOCK, {"keys": sorted({key for key, _ in items})})
            rows = {(row.org_id, row.mailbox_id): row_of(row) for row in found}
            for key, step in items:
                change = step(rows.get(key))
                answers.append(change.answer)
                if change.row is not None:
                    rows[key] = changed[key] = change.row
            if changed:
                await connection.execute(_WRITE, [_values(row) for row in changed.values()])
        return answers

    async def take_due(
        self, now: Instant, *, limit: int, until: Instant, hinted: bool = False, kind: str = ""
    ) -> list[Due]:
        """Take up to `limit` due mailboxes of connected orgs, each org its share; a full page means that more wait.

        Unless their readings end before, they are due again at `until`. `hinted` takes only those that owe a hint a
        reading, `kind` only those of orgs with such a connection. Mailboxes that the org's present generation has not
        seen are put off in passing, and not returned.
        """
        turns = await self._turns(now, hinted=hinted, kind=kind)
        taken: list[Due] = []
        if not turns:
            return taken
        left, hungry = limit, list(turns)
        async with self._store.write() as connection:
            while left > 0 and hungry:
                share, served = max(1, left // len(hungry)), hungry[:left]
                chosen = {"now": now, "until": until, "share": share}
                rows = await self._take(connection, served, chosen, hinted=hinted)
                taken += [
                    _due(row, turns[row.org_id]) for row in rows if row.generation == turns[row.org_id].generation
                ]
                counts = Counter(row.org_id for row in rows)
                left -= len(rows)
                hungry = hungry[len(served) :] + [each for each in served if counts[each] == share]
                self._turn = served[-1]
        return taken

    async def kinds_due(self, now: Instant) -> set[str]:
        """Return the sorts of connections that have due mailboxes: one look into the index for each org."""
        return {turn.kind for turn in (await self._turns(now, hinted=False)).values()}

    async def _turns(self, now: Instant, *, hinted: bool, kind: str = "") -> dict[str, Turn]:
        """Return the connected orgs with due mailboxes, beginning after who was served last."""
        query = _PROBES[hinted]
        async with self._store.read() as connection:
            rows = (await connection.execute(query, {"now": now})).all()
        found = {row.org_id: Turn(row.generation, row.kind) for row in rows if kind in ("", row.kind)}
        order = sorted(found, key=lambda org_id: (org_id <= self._turn, org_id))
        return {org_id: found[org_id] for org_id in order}

    async def _take(
        self, connection: AsyncConnection, org_ids: Sequence[str], chosen: dict[str, int], *, hinted: bool
    ) -> Sequence[Any]:
        if not self._store.is_sqlite:
            return (await connection.execute(_TAKE_SHARES[hinted], chosen | {"org_ids": list(org_ids)})).all()
        rows: list[Any] = []
        for org_id in org_ids:
            rows += await connection.execute(_TAKE_ONE[hinted], chosen | {"k_org": org_id})
        return rows

    async def begin_anew(self, now: Instant) -> None:
        """Free every lease and make every mailbox due that is read without a hint: what was under way is forgotten.

        One that is marked as leaving stays held: nobody reads it before the directory has been searched again. What the
        last reading found may never have arrived: that nothing changed since is no answer then.
        """
        freed = {"lease_id": None, "lease_until": None, "dirty": False, "waiting": None, "retry_at": None}
        held = or_(mailboxes.c.lease_id.is_not(None), mailboxes.c.waiting.is_not(None), mailboxes.c.dirty)
        staying = mailboxes.c.leaving_bucket.is_(None)
        polled = mailboxes.c.due_at.is_not(None)
        async with self._store.write() as connection:
            await connection.execute(update(mailboxes).where(held, staying).values(freed))
            await connection.execute(update(mailboxes).where(polled, staying).values(due_at=now, sync_state=None))

    async def unreadable_after(self, key: Key, limit: int) -> list[tuple[Row, Generation]]:
        """Return mailboxes once read and now in no readable bucket, each with its org's generation, by key.

        Only under the org's present generation is it believed; a mailbox that left was last seen under an older one.
        """
        query = (
            select(*(mailboxes.c[name] for name in READ), orgs.c.generation.label("present"))
            .join(orgs, and_(orgs.c.org_id == mailboxes.c.org_id, orgs.c.state == CONNECTED))
            .where(mailboxes.c.version > 0, mailboxes.c.bucket != Bucket.ACTIVE, tuple_(*key) < _KEY)
            .order_by(mailboxes.c.org_id, mailboxes.c.mailbox_id)
            .limit(limit)
        )
        async with self._store.read() as connection:
            return [(row_of(found), found.present) for found in await connection.execute(query)]


async def lock(store: Store, connection: AsyncConnection, keys: Sequence[Key]) -> None:
    """Lock rows in the one order of all: a transaction that writes several any other way could wait in a circle."""
    if keys and not store.is_sqlite:  # SQLite has one writer at a time
        await connection.execute(_LOCK_ONLY, {"keys": sorted(set(keys))})


def _overdue(table: Any, org_id: Any, *, hinted: bool) -> list[Any]:
    found = [table.c.org_id == org_id, table.c.due_at <= bindparam("now")]
    return [*found, table.c.dirty] if hinted else found


def _probe(*, hinted: bool) -> Any:
    """Find the orgs to serve: one look into the index (org_id, due_at) for each connected org, none for any other.

    The least of a range is its first entry in the index; an EXISTS could be carried out by reading the whole table.
    """
    least = mailboxes.alias("least")
    soonest = select(func.min(least.c.due_at)).where(*_overdue(least, orgs.c.org_id, hinted=hinted))
    first = soonest.correlate(orgs).scalar_subquery()
    return select(orgs.c.org_id, orgs.c.generation, orgs.c.kind).where(orgs.c.state == CONNECTED, first.is_not(None))


def _take_shares(*, hinted: bool) -> Any:
    """Take a share of every org in one statement; rows that another transaction holds are left to it."""
    share = mailboxes.alias("share")
    first = (
        select(share.c.org_id, share.c.mailbox_id)
        .where(*_overdue(share, orgs.c.org_id, hinted=hinted))
        .order_by(share.c.due_at)
        .limit(bindparam("share"))
        .with_for_update(skip_locked=True)
        .correlate(orgs)
        .lateral("first")
    )
    served = orgs.c.org_id.in_(bindparam("org_ids", expanding=True))
    # A common table expression that locks is carried out once; a plain subquery could be, more than once.
    chosen = (
        select(first.c.org_id, first.c.mailbox_id).select_from(orgs.join(first, true())).where(served).cte("chosen")
    )
    here = and_(mailboxes.c.org_id == chosen.c.org_id, mailboxes.c.mailbox_id == chosen.c.mailbox_id)
    return update(mailboxes).where(here).values(due_at=bindparam("until")).returning(*_TAKEN)


def _take_one(*, hinted: bool) -> Any:
    """Take a share of one org, for SQLite, which has one writer at a time and no LATERAL."""
    share = mailboxes.alias("share")
    overdue = _overdue(share, bindparam("k_org"), hinted=hinted)
    first = select(share.c.mailbox_id).where(*overdue).order_by(share.c.due_at).limit(bindparam("share"))
    here = and_(mailboxes.c.org_id == bindparam("k_org"), mailboxes.c.mailbox_id.in_(first))
    return update(mailboxes).where(here).values(due_at=bindparam("until")).returning(*_TAKEN)


_TAKEN: Final = (mailboxes.c.org_id, mailboxes.c.mailbox_id, mailboxes.c.generation, mailboxes.c.dirty)
_PROBES: Final = {hinted: _probe(hinted=hinted) for hinted in (False, True)}
_TAKE_SHARES: Final = {hinted: _take_shares(hinted=hinted) for hinted in (False, True)}
_TAKE_ONE: Final = {hinted: _take_one(hinted=hinted) for hinted in (False, True)}


def _due(found: Any, turn: Turn) -> Due:
    return Due(
        org_id=found.org_id,
        mailbox_id=found.mailbox_id,
        generation=found.generation,
        hinted=bool(found.dirty),
        exchange=turn.kind == EWS,
    )


def row_of(found: Any) -> Row:
    """Return a row as the store gave it, whatever other columns it came with."""
    values = {name: getattr(found, name) for name in READ}
    return Row(**values | {"kind": Kind(found.kind), "bucket": Bucket(found.bucket)})


def _values(row: Row) -> dict[str, Any]:
    values = {f"v_{name}": getattr(row, name) for name in _WRITTEN}
    return values | {"k_org": row.org_id, "k_mailbox": row.mailbox_id, "v_bucket": row.bucket.value}
