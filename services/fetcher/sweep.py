"""The last stage of an enumeration: whoever was not seen, or was marked as leaving, is removed, some rows a message.

It refuses to remove everybody, because a directory that shows nobody is not believed, and more than the guard allows.
"""

from typing import Final

from services.fetcher import census, guard, leaving, paging, runs
from services.fetcher.context import Context, unreadable
from services.fetcher.job import Job
from services.fetcher.leaving import Leaver
from services.fetcher.stages import taken
from shared.broker import Done
from shared.contracts.messages import MailboxUnreadable

SWEPT: Final = 200  # rows a message removes


async def sweep(context: Context, job: Job) -> Done:
    """Remove a page of leavers, their leases taken and consumers told, and end the run after the last.

    Before the first page all are counted: where the guard holds them the run ends and nothing is removed.
    """
    if not await census.any_seen(context.store, job.seen):
        await runs.trouble(context.store, job.org.org_id, reason="directory_empty", now=job.now)
        return Done(commit=lambda: _finish(context, job))
    if await _held(context, job):
        return Done()
    leavers = await leaving.leavers(context.store, job.seen, SWEPT)
    messages = await _told(context, job, [each for each in leavers if each.told])

    async def remember() -> None:
        await leaving.remove(context.store, job.seen, leavers)
        if len(leavers) < SWEPT:
            await _finish(context, job)

    more = (job.message(paging.Place(stage=paging.SWEEP, page=job.place.page + 1)),) if len(leavers) == SWEPT else ()
    return Done(messages=(*messages, *more), commit=remember)


async def _held(context: Context, job: Job) -> bool:
    """Say whether nothing may be removed; a later page goes on with what the first was allowed.

    A first page done again counts what is left, which is never a larger share.
    """
    org_id = job.org.org_id
    run = await runs.present(context.store, org_id)
    if job.place.page:
        return run is None or run.held is not None
    removals = await leaving.removals(context.store, job.seen)
    allowed_until = None if run is None else run.allowed_until
    percent = context.settings.removal_guard
    if not guard.holds(removals, percent=percent, allowed_until=allowed_until, now=job.now):
        await runs.unhold(context.store, org_id, run=job.run)
        return False
    await runs.hold(context.store, org_id, run=job.run, removals=removals, now=job.now)
    context.log.warning("removal.held", org_id=org_id, run=job.run, count=removals.going, reason=runs.HELD)
    return True


async def _told(context: Context, job: Job, leavers: list[Leaver]) -> list[MailboxUnreadable]:
    rows = await taken(context, job, [each.mailbox_id for each in leavers])
    return [
        unreadable(
            rows[each.mailbox_id],
            generation=job.org.generation,
            as_of=job.now,
            bucket=each.bucket,
            reason=each.reason,
        )
        for each in leavers
        if each.mailbox_id in rows
    ]


async def _finish(context: Context, job: Job) -> None:
    await runs.finish(context.store, job.org.org_id, run=job.run, now=job.now)
    context.log.info("enumeration.finished", org_id=job.org.org_id, generation=job.org.generation, run=job.run)
