"""What is known of each organisation's enumerations, in the store: which run counts, its pause, its last trouble.

A pause is never made shorter by another, but one ordered before the connection was last doubted ends with the doubt's:
an organisation whose consent was given back does not wait for what was ordered before.
"""

from typing import Any, Final

from msgspec import Struct
from sqlalchemy import BigInteger, ColumnElement, Update, and_, case, func, literal, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.fetcher.failure import DOUBT_PAUSE, LONG_PAUSE
from services.fetcher.guard import Removals
from shared.connections import IN_FORCE
from shared.contracts.values import Generation, Instant
from shared.store import Store
from shared.tables import enumerations, orgs

HELD: Final = "removal_held"
_LONG: Final = int(LONG_PAUSE)
_DOUBT: Final = int(DOUBT_PAUSE)
_NO_RUN: Final = ""  # the run of a row made for a pause before the first enumeration
_COLUMNS: Final = enumerations.c


class Run(Struct, frozen=True, kw_only=True):
    """The enumeration of an org that counts; messages of any other are superseded.

    `held`: so many removals the last sweep held back, None where it held none. `allowed_until`: an operator's word.
    """

    run: str
    generation: Generation
    finished_at: Instant | None
    held: int | None = None
    allowed_until: Instant | None = None


async def begin(store: Store, org_id: str, *, run: str, generation: Generation, now: Instant) -> None:
    """Let this run count from now on; trouble of an earlier run is over, a pause only with its generation.

    What is held back stays so until this run's sweep has counted anew.
    """
    insert = store.upsert(enumerations).values(org_id=org_id, run=run, generation=generation, started_at=now)
    same = _COLUMNS.generation == generation
    doubted = _COLUMNS.doubted_at + _DOUBT
    left = case((_COLUMNS.paused_until > doubted, doubted), else_=_COLUMNS.paused_until)  # never doubted: not greater
    fresh = {"run": run, "generation": generation, "started_at": now, "finished_at": None}
    rest = {"last_error": None, "last_error_at": None, "paused_until": case((same, left))}
    statement = insert.on_conflict_do_update(index_elements=["org_id"], set_=fresh | rest)
    async with store.write() as connection:
        await connection.execute(statement)


async def present(store: Store, org_id: str) -> Run | None:
    """Return the run that counts, or None before the first."""
    table = _COLUMNS
    query = select(table.run, table.generation, table.finished_at, table.held, table.allowed_until)
    async with store.read() as connection:
        row = (await connection.execute(query.where(table.org_id == org_id))).mappings().one_or_none()
    return None if row is None else Run(**row)


async def finish(store: Store, org_id: str, *, run: str, now: Instant) -> None:
    """Remember that a run came to its end."""
    await _write(store, _of(org_id, run).values(finished_at=now))


async def hold(store: Store, org_id: str, *, run: str, removals: Removals, now: Instant) -> None:
    """End a run whose removals wait for an operator's word."""
    held = {"held": removals.going, "held_of": removals.known, "last_error": HELD, "last_error_at": now}
    await _write(store, _of(org_id, run).values(finished_at=now, **held))


async def unhold(store: Store, org_id: str, *, run: str) -> None:
    """Remember that this run's removals may be carried out: nothing is held back any more."""
    await _write(store, _of(org_id, run).values(held=None, held_of=None))


async def allow_removal(store: Store, org_id: str, *, until: Instant) -> None:
    """Let the sweeps of an org remove however many mailboxes up to `until`; the next run removes what is held."""
    statement = update(enumerations).where(_COLUMNS.org_id == org_id)
    await _write(store, statement.values(allowed_until=until))


async def trouble(store: Store, org_id: str, *, reason: str, now: Instant) -> None:
    """Remember the last trouble of an org's enumeration, a fixed word, for its admin to see."""
    statement = update(enumerations).where(_COLUMNS.org_id == org_id)
    await _write(store, statement.values(last_error=reason, last_error_at=now))


async def pause(store: Store, org_id: str, *, until: Instant) -> None:
    """Let every replica leave the tenant alone until then, also before its first enumeration.

    A longer pause stays, unless it is longer than any ever set: then the clock that set it was wrong.
    """
    longer = _stands(until)
    values = {
        "paused_until": case((longer, _COLUMNS.paused_until), else_=until),
        "doubted_at": case((longer, _COLUMNS.doubted_at), else_=null()),
    }
    async with store.write() as connection:
        changed = await connection.execute(update(enumerations).where(_COLUMNS.org_id == org_id).values(values))
        if not changed.rowcount:
            await _before_any_run(store, connection, org_id, {"paused_until": until})


async def doubt(store: Store, org_id: str, *, now: Instant) -> bool:
    """Pause the tenant for the time a doubt takes, and say whether this is the first doubt within that time.

    A doubt from the near future was raised just now, by a replica whose clock is ahead.
    """
    until = now + _DOUBT
    old = or_(_COLUMNS.doubted_at.is_(None), _COLUMNS.doubted_at <= now - _DOUBT, _COLUMNS.doubted_at > now + _LONG)
    values = {"doubted_at": now, "paused_until": case((_stands(until), _COLUMNS.paused_until), else_=until)}
    async with store.write() as connection:
        here = _COLUMNS.org_id == org_id
        if (await connection.execute(update(enumerations).where(here, old).values(values))).rowcount:
            return True
        if (await connection.execute(select(_COLUMNS.org_id).where(here))).first() is not None:
            return False
        return await _before_any_run(store, connection, org_id, {"doubted_at": now, "paused_until": until})


async def paused_until(store: Store, org_id: str) -> Instant:
    """Return until when the tenant is left alone, 0 where it is not."""
    query = select(_COLUMNS.paused_until).where(_COLUMNS.org_id == org_id)
    async with store.read() as connection:
        return (await connection.execute(query)).scalar_one_or_none() or 0


def _stands(until: Instant) -> ColumnElement[bool]:
    """Say that the pause in the store is longer than one until `until`, and may be believed."""
    return and_(_COLUMNS.paused_until > until, _COLUMNS.paused_until <= until + _LONG)


async def _before_any_run(store: Store, connection: AsyncConnection, org_id: str, values: dict[str, Instant]) -> bool:
    """Make the row of an org that was never enumerated; one that is being disconnected gets none, nor one unknown."""
    given = {"run": literal(_NO_RUN), "started_at": func.coalesce(orgs.c.connected_at, 0)}
    given |= {name: literal(value, BigInteger) for name, value in values.items()}
    chosen = select(orgs.c.org_id, orgs.c.generation, *given.values())
    found = chosen.where(orgs.c.org_id == org_id, orgs.c.state.in_(IN_FORCE))
    insert: Any = store.upsert(enumerations).from_select(["org_id", "generation", *given], found)
    made = await connection.execute(insert.on_conflict_do_nothing(index_elements=["org_id"]))
    return bool(made.rowcount)


def _of(org_id: str, run: str) -> Update:
    return update(enumerations).where(_COLUMNS.org_id == org_id, _COLUMNS.run == run)


async def _write(store: Store, statement: Update) -> None:
    async with store.write() as connection:
        await connection.execute(statement)
