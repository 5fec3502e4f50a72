"""What is known of each mailbox, in the store: who reads it, how that ended, when it is due; many to a transaction.

It decides nothing: every change of a row is a pure step handed in.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Update, and_, bindparam, exists, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.fetcher.due import Change, Claimed, Row
from shared.coalesce import Coalesce
from shared.connections import CONNECTED
from shared.contracts.values import Bucket, Generation, Instant, Kind
from shared.reach import reached
from shared.store import Store
from shared.tables import mailboxes, orgs

Key = tuple[str, str]  # org id, mailbox id
Step = Callable[[Row | None], Change]

TOGETHER: Final = 64  # steps in one transaction
LINGER: Final = 0.01  # seconds a step waits for others to share its transaction
AT_ONCE: Final = 200  # rows in one statement; SQLite binds 32,766 values, old builds 999

_WRITTEN: Final = (
    "version", "lease_id", "lease_until", "dirty", "read_at", "read_generation", "failures", "bucket", "reason",
    "due_at",
)  # fmt: skip
READ: Final = ("org_id", "mailbox_id", "address", "kind", "time_zone", *_WRITTEN)
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
    """A mailbox whose time has come, under the generation that saw it last."""

    org_id: str
    mailbox_id: str
    generation: Generation


class Mailboxes:
    """The fetcher's table of mailboxes. `change` carries out one pure step together with whatever else is waiting."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self._together: Coalesce[tuple[Key, Step], Row | Claimed] = Coalesce(
            self._change, limit=TOGETHER, linger=LINGER
        )

    async def change(self, org_id: str, mailbox_id: str, step: Step) -> Row | Claimed:
        """Carry out a step on one mailbox's row, alone with it, and return its answer."""
        return await self._together(((org_id, mailbox_id), step))

    async def _change(self, items: Sequence[tuple[Key, Step]]) -> Sequence[Row | Claimed | Exception]:
        answers: list[Row | Claimed | Exception] = []
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

    async def take_due(self, now: Instant, *, limit: int, until: Instant) -> list[Due]:
        """Take up to `limit` mailboxes of connected orgs that are due; unless settled they are due again at `until`."""
        table = mailboxes.c
        current = exists().where(
            orgs.c.org_id == table.org_id, orgs.c.generation == table.generation, orgs.c.state == CONNECTED
        )
        chosen = (
            select(table.org_id, table.mailbox_id)
            .where(table.due_at <= now, current)
            .order_by(table.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True, of=mailboxes)
        )
        statement = (
            update(mailboxes)
            .where(_KEY.in_(chosen))
            .values(due_at=until)
            .returning(table.org_id, table.mailbox_id, table.generation)
        )
        async with self._store.write() as connection:
            return [Due(**row._mapping) for row in await connection.execute(statement)]  # noqa: SLF001 -- its public name

    async def settle_due(self, times: Sequence[tuple[Due, Instant]], *, taken: Instant) -> None:
        """Set when mailboxes taken until `taken` are due next, unless a reading has said so meanwhile."""
        if not times:
            return
        rows = [{"k_org": due.org_id, "k_mailbox": due.mailbox_id, "k_taken": taken, "v_due": at} for due, at in times]
        async with self._store.write() as connection:
            await lock(self._store, connection, [(due.org_id, due.mailbox_id) for due, _ in times])
            await connection.execute(_SETTLE, rows)

    async def begin_anew(self, now: Instant) -> None:
        """Free every lease and make every mailbox due that is read without a hint: what was under way is forgotten."""
        freed = {"lease_id": None, "lease_until": None, "dirty": False}
        polled = mailboxes.c.due_at.is_not(None)
        async with self._store.write() as connection:
            await connection.execute(update(mailboxes).where(mailboxes.c.lease_id.is_not(None)).values(freed))
            await connection.execute(update(mailboxes).where(polled).values(due_at=now))

    async def unreadable_after(self, key: Key, limit: int) -> list[tuple[Row, Generation]]:
        """Return mailboxes once read and now in no readable bucket, each with its org's generation, by key.

        Only under the org's present generation is it believed; a mailbox that left was last seen under an older one.
        """
        query = (
            select(*(mailboxes.c[name] for name in READ), orgs.c.generation)
            .join(orgs, and_(orgs.c.org_id == mailboxes.c.org_id, orgs.c.state == CONNECTED))
            .where(mailboxes.c.version > 0, mailboxes.c.bucket != Bucket.ACTIVE, tuple_(*key) < _KEY)
            .order_by(mailboxes.c.org_id, mailboxes.c.mailbox_id)
            .limit(limit)
        )
        async with self._store.read() as connection:
            return [(row_of(found), found.generation) for found in await connection.execute(query)]


async def lock(store: Store, connection: AsyncConnection, keys: Sequence[Key]) -> None:
    """Lock rows in the one order of all: a transaction that writes several any other way could wait in a circle."""
    if keys and not store.is_sqlite:  # SQLite has one writer at a time
        await connection.execute(_LOCK_ONLY, {"keys": sorted(set(keys))})


_SETTLE: Final[Update] = (
    update(mailboxes)
    .where(
        mailboxes.c.org_id == bindparam("k_org"),
        mailboxes.c.mailbox_id == bindparam("k_mailbox"),
        mailboxes.c.due_at == bindparam("k_taken"),
    )
    .values(due_at=bindparam("v_due"))
)


def row_of(found: Any) -> Row:
    """Return a row as the store gave it, whatever other columns it came with."""
    values = {name: getattr(found, name) for name in READ}
    return Row(**values | {"kind": Kind(found.kind), "bucket": Bucket(found.bucket)})


def _values(row: Row) -> dict[str, Any]:
    values = {f"v_{name}": getattr(row, name) for name in _WRITTEN}
    return values | {"k_org": row.org_id, "k_mailbox": row.mailbox_id, "v_bucket": row.bucket.value}
