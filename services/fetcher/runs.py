"""What is known of each organisation's enumerations, in the store: which run counts, its pause, its last trouble."""

from msgspec import Struct
from sqlalchemy import Update, case, select, update

from shared.contracts.values import Generation, Instant
from shared.store import Store
from shared.tables import enumerations


class Run(Struct, frozen=True, kw_only=True):
    """The enumeration of an org that counts; messages of any other are superseded."""

    run: str
    generation: Generation
    finished_at: Instant | None


async def begin(store: Store, org_id: str, *, run: str, generation: Generation, now: Instant) -> None:
    """Let this run count from now on; trouble of an earlier run is over, a pause only with its generation."""
    insert = store.upsert(enumerations).values(org_id=org_id, run=run, generation=generation, started_at=now)
    same = enumerations.c.generation == generation
    fresh = {"run": run, "generation": generation, "started_at": now, "finished_at": None}
    rest = {"last_error": None, "last_error_at": None, "paused_until": case((same, enumerations.c.paused_until))}
    statement = insert.on_conflict_do_update(index_elements=["org_id"], set_=fresh | rest)
    async with store.write() as connection:
        await connection.execute(statement)


async def present(store: Store, org_id: str) -> Run | None:
    """Return the run that counts, or None before the first."""
    table = enumerations.c
    query = select(table.run, table.generation, table.finished_at).where(table.org_id == org_id)
    async with store.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else Run(run=row.run, generation=row.generation, finished_at=row.finished_at)


async def finish(store: Store, org_id: str, *, run: str, now: Instant) -> None:
    """Remember that a run came to its end."""
    table = enumerations.c
    await _write(store, update(enumerations).where(table.org_id == org_id, table.run == run).values(finished_at=now))


async def trouble(store: Store, org_id: str, *, reason: str, now: Instant) -> None:
    """Remember the last trouble of an org's enumeration, a fixed word, for its admin to see."""
    statement = update(enumerations).where(enumerations.c.org_id == org_id)
    await _write(store, statement.values(last_error=reason, last_error_at=now))


async def pause(store: Store, org_id: str, *, until: Instant) -> None:
    """Let every replica leave the tenant alone until then."""
    await _write(store, update(enumerations).where(enumerations.c.org_id == org_id).values(paused_until=until))


async def paused_until(store: Store, org_id: str) -> Instant:
    """Return until when the tenant is left alone, 0 where it is not."""
    query = select(enumerations.c.paused_until).where(enumerations.c.org_id == org_id)
    async with store.read() as connection:
        return (await connection.execute(query)).scalar_one_or_none() or 0


async def _write(store: Store, statement: Update) -> None:
    async with store.write() as connection:
        await connection.execute(statement)
