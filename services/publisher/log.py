"""Edge: the update log read from a position on, by whoever follows it: only what may be told now, of the orgs in scope.

What an older generation published is passed over, as the relay does (rule 3); who goes on from the page's position
misses nothing that still holds. It refuses a position from which something was already forgotten.
"""

from collections.abc import Collection
from typing import Final

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, false, func, or_, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection

from services.publisher.consumers import Known
from services.publisher.envelope import Told
from services.publisher.news import UPDATED
from shared.connections import IN_FORCE
from shared.reach import reached
from shared.store import Store
from shared.tables import orgs, relay, updates

FORGOTTEN: Final = "forgotten"  # the row of `relay` that says what retention has deleted


class Scope(Struct, frozen=True):
    """Of which orgs something may be heard: `orgs` None for every one; and the last words on orgs that left."""

    orgs: frozenset[str] | None
    last_words: frozenset[int] = frozenset()

    def hears(self, told: Told) -> bool:
        """Say whether an update lies within this scope."""
        return self.orgs is None or told.org_id in self.orgs or told.position in self.last_words


class LogPage(Struct, frozen=True):
    """Updates in order, and the position to go on from; `full` where more may follow at once."""

    rows: tuple[Told, ...]
    position: int
    full: bool


class PositionGone(Exception):  # noqa: N818 -- it says what is the matter
    """Nobody can go on from this position. `reason`: `position_forgotten`, or `position_unknown` to this log."""

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason = reason


def scope_of(known: Known, only: Collection[str] = ()) -> Scope | None:
    """Return what a consumer may hear, narrowed to `only` some orgs where any are named.

    None where one of them is not in its scope, nor ever was.
    """
    if not only:
        return Scope(None if known.every_org else frozenset(known.orgs), frozenset(known.departed.values()))
    if not all(known.may_ask(each) or each in known.departed for each in only):
        return None
    last_words = frozenset(known.departed[each] for each in only if each in known.departed)
    return Scope(frozenset(each for each in only if known.may_ask(each)), last_words)


async def head(store: Store) -> int:
    """Return the log's last position; everything up to it is committed, and one can go on from it. Raises Retry."""
    async with reached(), store.read() as connection:
        return max(await _head(connection), await _forgotten(connection))  # the last row can be forgotten, too


async def beginning(store: Store) -> int:
    """Return the position after which the log has no gaps. Raises Retry."""
    async with reached(), store.read() as connection:
        return await _forgotten(connection)


async def page_from(store: Store, scope: Scope, *, after: int, limit: int, upto: int | None = None) -> LogPage:
    """Return the next updates after a position, of which none is missing. Raises PositionGone, and Retry."""
    found = await page(store, scope, after=after, limit=limit, upto=upto)
    await check(store, after)  # only now: what retention deleted before the page was read is noted by now
    return found


async def page(store: Store, scope: Scope, *, after: int, limit: int, upto: int | None = None) -> LogPage:
    """Return the next updates after a position, none after `upto` where it is given. Raises Retry."""
    columns = [updates.c[name] for name in Told.__struct_fields__]
    async with reached(), store.read() as connection:
        last = await _head(connection)  # first: what is committed later belongs to the next page
        last = last if upto is None else min(last, upto)
        query = (
            select(*columns)
            .outerjoin(orgs, orgs.c.org_id == updates.c.org_id)
            .where(updates.c.position > after, updates.c.position <= last, within(scope), may_be_told())
            .order_by(updates.c.position)
            .limit(limit)
        )
        rows = tuple(Told(**row) for row in (await connection.execute(query)).mappings())
    full = len(rows) == limit
    return LogPage(rows, rows[-1].position if full else max(after, last), full)


async def check(store: Store, position: int) -> None:
    """Return where one can go on from a position. Raises PositionGone, and Retry."""
    async with reached(), store.read() as connection:
        if position < await _forgotten(connection):
            raise PositionGone("position_forgotten")
        if position > await _given_out(store, connection):
            raise PositionGone("position_unknown")


def may_be_told() -> ColumnElement[bool]:
    """Return the condition, on updates joined with orgs, of what may be told: updates only of what is in force."""
    in_force = and_(orgs.c.generation == updates.c.generation, orgs.c.state.in_(IN_FORCE))
    return or_(updates.c.type != UPDATED, in_force)


def within(scope: Scope) -> ColumnElement[bool]:
    """Return the condition, on updates, of what lies within a scope."""
    if scope.orgs is None:
        return true()
    return or_(
        updates.c.org_id.in_(sorted(scope.orgs)) if scope.orgs else false(),
        updates.c.position.in_(sorted(scope.last_words)) if scope.last_words else false(),
    )


async def _head(connection: AsyncConnection) -> int:
    return (await connection.execute(select(func.max(updates.c.position)))).scalar_one() or 0


async def _forgotten(connection: AsyncConnection) -> int:
    query = select(relay.c.position).where(relay.c.name == FORGOTTEN)
    return (await connection.execute(query)).scalar_one_or_none() or 0


async def _given_out(store: Store, connection: AsyncConnection) -> int:
    """Return the highest position ever given out, whether or not its row is still there."""
    last = (
        "SELECT seq FROM sqlite_sequence WHERE name = 'updates'"
        if store.is_sqlite
        else "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM updates_position_seq"
    )
    return (await connection.execute(text(last))).scalar_one_or_none() or 0
