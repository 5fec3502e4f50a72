"""A mailbox.enumerate message in, one page of the directory remembered, the next page and readings out.

It refuses to follow a superseded run, to run ahead of reading without bound, and to park an organisation's enumeration
for Microsoft's trouble.
"""

from collections.abc import Awaitable, Callable
from math import ceil
from typing import Final

from services.fetcher import census, doubt, exchange_directory, failure, paging, runs, stages
from services.fetcher.context import Context, standing
from services.fetcher.due import Lease
from services.fetcher.exchange_trouble import ADMINS, ONCE, exchange_enumeration_fate
from services.fetcher.failure import LONG_PAUSE, Fate, Whose
from services.fetcher.job import Job
from services.fetcher.paging import LinkLoop, Place
from services.fetcher.sweep import sweep
from shared import clock
from shared.broker import Delivery, Done, Outgoing
from shared.connections import Connected
from shared.contracts.messages import EwsConnection, MailboxEnumerate
from shared.errors import Retry
from shared.ews.errors import EwsError
from shared.graph import GraphError
from shared.identity import IdentityError
from shared.ldap_line import LdapError

EXPIRED_PAUSE: Final = 60.0  # seconds before a stage begins anew because its link has expired

AHEAD: Final = 1000  # mailboxes of an org that may wait for their first reading before its next page waits as well
AHEAD_PAUSE: Final = 1.0

_STAGES: Final[dict[str, Callable[[Context, Job], Awaitable[Done]]]] = {
    paging.GROUPS: stages.groups,
    paging.USERS: stages.users,
    paging.ROOMS: stages.rooms,
    paging.EXCHANGE: exchange_directory.exchange,
    paging.SWEEP: sweep,
}


async def enumerate_page(context: Context, message: MailboxEnumerate, delivery: Delivery) -> Done:
    """Carry out one page unless the generation has passed or another run counts by now."""
    org = await standing(context, message, delivery)
    if org is None:
        return Done()
    exchange = isinstance(org.connection, EwsConnection)
    place = await _place(context, message, paging.first(org.policy.scope, exchange=exchange))
    if place is None:
        return Done()
    if place.stage == paging.USERS and place.page and await _is_ahead(context, org):
        return Done(messages=(Outgoing(message, delay=AHEAD_PAUSE),))
    try:
        job = Job(
            org=org,
            run=message.run,
            place=place,
            cursor=message.cursor,
            lease=Lease(generation=message.generation, message_id=delivery.message_id),
            now=clock.now(),
        )
        return await _STAGES[place.stage](context, job)
    except (GraphError, EwsError, LdapError, IdentityError, LinkLoop) as error:
        found = GraphError(status=200, code="link_loop") if isinstance(error, LinkLoop) else error
        if message.cursor and isinstance(found, GraphError) and found.status in (400, 410):
            await runs.trouble(context.store, message.org_id, reason="link_expired", now=clock.now())
            return Done(messages=(Outgoing(_anew(message, place), delay=EXPIRED_PAUSE),))
        fate = _fate(found, delivery.attempt)
        return await _failed(context, message, fate, org=org, attempt=delivery.attempt)


def _fate(error: GraphError | EwsError | LdapError | IdentityError, attempt: int) -> Fate:
    if isinstance(error, EwsError | LdapError):
        return exchange_enumeration_fate(error, attempt)
    return failure.of_enumeration(error, attempt)


async def _is_ahead(context: Context, org: Connected) -> bool:
    return await census.unread(context.store, org.org_id, org.generation, limit=AHEAD + 1) > AHEAD


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


async def _failed(context: Context, message: MailboxEnumerate, fate: Fate, *, org: Connected, attempt: int) -> Done:
    """Carry the fate of a page out: pauses are shared, trouble is told, and tries that ended go on at long intervals.

    An org that is turned away is doubted, and the page comes again in case it was a mistake, unless its password was
    refused. Raises Retry.
    """
    now, ended = clock.now(), fate.counted and attempt >= context.settings.tries
    if fate.pause_tenant:
        await context.tenants.pause(message.org_id, until=now + ceil(fate.after))
    if ended or fate.whose is Whose.ORG or fate.reason in ADMINS:
        await runs.trouble(context.store, message.org_id, reason=fate.reason, now=now)
    if fate.whose is Whose.ORG:
        doubts = await doubt.doubted(context, org=org, reason=fate.reason, now=now)
        again = () if fate.reason in ONCE else (Outgoing(message, delay=fate.after),)
        return Done(messages=(*doubts, *again))
    if ended:
        raise Retry(fate.reason, after=LONG_PAUSE, counted=False)
    raise Retry(fate.reason, after=fate.after, counted=fate.counted)
