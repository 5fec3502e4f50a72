"""A mailbox.enumerate message in, one page of the directory remembered, the next page and readings out.

It refuses to follow a superseded run, and to park an organisation's enumeration for Microsoft's trouble.
"""

from collections.abc import Awaitable, Callable
from math import ceil
from typing import Final

from services.fetcher import failure, paging, runs, stages
from services.fetcher.context import Context, standing
from services.fetcher.due import Lease
from services.fetcher.failure import LONG_PAUSE, Whose
from services.fetcher.job import Job
from services.fetcher.paging import LinkLoop, Place
from shared import clock
from shared.broker import Delivery, Done, Outgoing
from shared.contracts.messages import MailboxEnumerate
from shared.errors import Retry
from shared.graph import GraphError
from shared.identity import IdentityError

EXPIRED_PAUSE: Final = 60.0  # seconds before a stage begins anew because its link has expired

_STAGES: Final[dict[str, Callable[[Context, Job], Awaitable[Done]]]] = {
    paging.GROUPS: stages.groups,
    paging.USERS: stages.users,
    paging.ROOMS: stages.rooms,
    paging.SWEEP: stages.sweep,
}


async def enumerate_page(context: Context, message: MailboxEnumerate, delivery: Delivery) -> Done:
    """Carry out one page unless the generation has passed or another run counts by now."""
    org = await standing(context, message, delivery)
    if org is None:
        return Done()
    place = await _place(context, message, paging.first(org.policy.scope))
    if place is None:
        return Done()
    try:
        job = Job(
            org=org,
            run=message.run,
            place=place,
            cursor=message.cursor,
            lease=Lease(generation=message.generation, message_id=delivery.message_id),
            client=context.tenants.client(org),
            now=clock.now(),
        )
        return await _STAGES[place.stage](context, job)
    except GraphError as error:
        if message.cursor and error.status in (400, 410):
            await runs.trouble(context.store, message.org_id, reason="link_expired", now=clock.now())
            return Done(messages=(Outgoing(_anew(message, place), delay=EXPIRED_PAUSE),))
        raise await _failed(context, message, error, delivery.attempt) from None
    except IdentityError as error:
        raise await _failed(context, message, error, delivery.attempt) from None
    except LinkLoop:
        loop = GraphError(status=200, code="link_loop")
        raise await _failed(context, message, loop, delivery.attempt) from None


async def _place(context: Context, message: MailboxEnumerate, first: Place) -> Place | None:
    """Return where the page lies, beginning the run where none is named; None where another run counts."""
    present = await runs.present(context.store, message.org_id)
    counts = present is not None and present.run == message.run
    if message.stage:
        return paging.parse(message.stage) if counts else None
    if not counts:
        run, generation = message.run, message.generation
        await runs.begin(context.store, message.org_id, run=run, generation=generation, now=clock.now())
    return first


def _anew(message: MailboxEnumerate, place: Place) -> MailboxEnumerate:
    return MailboxEnumerate(
        org_id=message.org_id,
        generation=message.generation,
        run=message.run,
        stage=str(Place(stage=place.stage, group=place.group)),
    )


async def _failed(
    context: Context, message: MailboxEnumerate, error: GraphError | IdentityError, attempt: int
) -> Retry:
    """Return the fate of a page: pauses are shared, trouble is told, and tries that ended go on at long intervals."""
    fate = failure.of_enumeration(error, attempt)
    now, ended = clock.now(), fate.counted and attempt >= context.settings.tries
    if fate.pause_tenant:
        await context.tenants.pause(message.org_id, until=now + ceil(fate.after))
    if ended or fate.whose is Whose.ORG:
        await runs.trouble(context.store, message.org_id, reason=fate.reason, now=now)
    if ended:
        return Retry(fate.reason, after=LONG_PAUSE, counted=False)
    return Retry(fate.reason, after=fate.after, counted=fate.counted)
