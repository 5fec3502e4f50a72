"""The one stage of an Exchange enumeration before the sweep: who there is by all of its sources, remembered in pages.

It refuses to read ahead of polling: whoever is to be read is due now, and waits in the store for the org's turn.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from msgspec.structs import replace

from services.fetcher import census, directory, runs, stages
from services.fetcher.context import Context
from services.fetcher.directory import Known, Verdict
from services.fetcher.exchange_free_busy import FreeBusy
from services.fetcher.exchange_gathering import Ways, gather
from services.fetcher.exchange_hours import Hours
from services.fetcher.exchange_people import Found, Gathered, everybody, is_online, judge
from services.fetcher.exchange_zones import Zones
from services.fetcher.job import Job
from shared import ldap
from shared.broker import Done
from shared.connections import CONNECTED
from shared.contracts.messages import EwsConnection, MailboxUnreadable
from shared.contracts.policy import Detail
from shared.contracts.values import Bucket
from shared.identity import IdentityError

PAGE: Final = 200  # mailboxes remembered in one transaction


class Learn(NamedTuple):
    """How an enumeration learns what no source lists: mailboxes' time zones, and when their owners work."""

    zones: Zones
    hours: Hours


async def exchange(context: Context, job: Job) -> Done:
    """Find every mailbox of the org and put it into its bucket; the sweep follows.

    Raises EwsError, LdapError and IdentityError where a source gives less than all it has: then nothing is remembered.
    A run that no longer counts ends in between.
    """
    connection = job.org.connection
    if not isinstance(connection, EwsConnection):
        raise IdentityError("not_exchange")
    server = await context.tenants.exchange(job.org)
    credential, surroundings = await context.tenants.directory(job.org)
    ways = Ways(server, partial(ldap.mailboxes, credential=credential, surroundings=surroundings))
    gathered = await gather(ways, connection.directory, job.org.policy.scope.groups)
    found = everybody(gathered, online=is_online(connection.endpoint))
    learn = Learn(Zones(server), Hours(FreeBusy(server)))
    told: list[MailboxUnreadable] = []
    gone: list[Verdict] = []
    for start in range(0, len(found), PAGE):
        if not await _counts(context, job):
            return Done()
        page_told, page_gone = await _page(context, job, found[start : start + PAGE], gathered=gathered, learn=learn)
        told += page_told
        gone += page_gone
    context.due.set()
    return Done(messages=(*told, *job.following(None)), commit=lambda: census.record(context.store, job.seen, gone))


async def _counts(context: Context, job: Job) -> bool:
    """Say whether the run still counts: all of it may take minutes, and the policy may change meanwhile."""
    org, run = await context.tenants.org(job.org.org_id), await runs.present(context.store, job.org.org_id)
    stands = org is not None and org.state == CONNECTED and org.generation == job.org.generation
    return stands and run is not None and run.run == job.run


async def _page(
    context: Context, job: Job, found: Sequence[Found], *, gathered: Gathered, learn: Learn
) -> tuple[list[MailboxUnreadable], list[Verdict]]:
    known = await census.known(context.store, job.org.org_id, (each.mailbox_id for each in found))
    erased = stages.erased_of(known)
    kept = [each for each in found if each.mailbox_id not in erased]
    scope = job.org.policy.scope
    verdicts = [judge(each, scope, in_group=bool(each.names & gathered.scope)) for each in kept]
    steps = [
        directory.follow(verdict, known.get(verdict.mailbox_id), job.org.generation)
        for verdict in await _at_work(job, await _placed(job, verdicts, known, learn=learn), known, learn=learn)
    ]
    outcome = await stages.remember(context, job, steps, erased=erased)
    await census.make_due(
        context.store, job.seen, [step.verdict.mailbox_id for step in steps if step.read], now=job.now
    )
    return outcome


async def _placed(job: Job, verdicts: Sequence[Verdict], known: Mapping[str, Known], *, learn: Learn) -> list[Verdict]:
    """Return the verdicts with the time zones of those to be read of whom none is known."""
    asked = [each.address for each in verdicts if _is_read(each) and _lacks_zone(job, known, each)]
    learned = await learn.zones.of(asked)
    return [replace(each, time_zone=learned.get(each.address, each.time_zone)) for each in verdicts]


async def _at_work(
    job: Job, verdicts: Sequence[Verdict], known: Mapping[str, Known], *, learn: Learn
) -> Sequence[Verdict]:
    """Return the verdicts with the hours at which those to be read work, where no reading will tell them."""
    if job.org.policy.detail is not Detail.DETAILS:
        return verdicts
    zones = {each.address: each.time_zone or _zone_known(known, each) for each in verdicts if _is_read(each)}
    learned = await learn.hours.of(zones, now=job.now)
    return [replace(each, working_hours=learned.get(each.address)) for each in verdicts]


def _is_read(verdict: Verdict) -> bool:
    return verdict.bucket is Bucket.ACTIVE


def _zone_known(known: Mapping[str, Known], verdict: Verdict) -> str:
    before = known.get(verdict.mailbox_id)
    return "" if before is None else before.time_zone


def _lacks_zone(job: Job, known: Mapping[str, Known], verdict: Verdict) -> bool:
    """Say whether a zone is still to be learned; the first search under a new policy is not held up by old ones."""
    before = known.get(verdict.mailbox_id)
    return before is None or (before.time_zone == "" and before.generation == job.org.generation)
