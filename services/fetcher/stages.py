"""The first three stages of an enumeration, one page a call: who is in scope, who there is, which of them are rooms.

They refuse to remove anybody but whom a new policy shuts out: whoever leaves is marked for the sweep.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from msgspec import Struct, field

from services.fetcher import asking, census, directory, due, leaving, runs
from services.fetcher.context import Context, unreadable
from services.fetcher.directory import Answer, DirectoryUser, Known, Step, Verdict
from services.fetcher.due import Claim, Row
from services.fetcher.job import DirectoryPage, Job
from shared.broker import Done
from shared.contracts.messages import MailboxRead, MailboxUnreadable
from shared.graph import GraphClient, GraphError

MEMBERS: Final = 999
ROOMS: Final = 100
_USER: Final = "id,mail,userPrincipalName,userType,onPremisesSyncEnabled"
_NO_GROUP: Final = frozenset({"request_resourcenotfound", "resourcenotfound"})  # any other 404 a proxy may have made
_ADVANCED: Final = {"ConsistencyLevel": "eventual"}  # not carried by nextLink: sent with every page


class Room(Struct, frozen=True, rename="camel"):
    """A place; its id is not a user's, its address is."""

    email_address: str | None = None


class RoomPage(Struct, frozen=True):
    """One page of rooms."""

    value: list[Room]
    next_link: str | None = field(default=None, name="@odata.nextLink")


async def groups(context: Context, job: Job) -> Done:
    """Mark the members of one scope group; a group that is not there has none, and the admin is told."""
    group = quote(job.org.policy.scope.groups[job.place.group], safe="")
    start = f"/groups/{group}/transitiveMembers/microsoft.graph.user?$select=id,mail&$top={MEMBERS}&$count=true"
    try:
        page = await context.tenants.client(job.org).get(job.cursor or start, DirectoryPage, headers=_ADVANCED)
    except GraphError as error:
        if error.status != 404 or error.code.lower() not in _NO_GROUP or job.cursor:
            raise
        await runs.trouble(context.store, job.org.org_id, reason="scope_group_missing", now=job.now)
        return Done(messages=job.following(None))
    members = [(user.id, address) for user in _usable(page.value) if (address := directory.address_of(user))]
    following = job.following(page.next_link)
    await census.mark_scope(context.store, job.seen, members)  # first: the next page may be looked at at once
    return Done(messages=following)


async def users(context: Context, job: Job) -> Done:
    """Put one page of the directory into buckets; readings follow for mailboxes that need one.

    Who needs a reading is found again if the page is done again.
    """
    start = f"/users?$select={_USER}&$top={context.settings.directory_page}"
    client = context.tenants.client(job.org)
    page = await client.get(job.cursor or start, DirectoryPage)
    following = job.following(page.next_link)
    found = _usable(page.value)
    known = await census.known(context.store, job.org.org_id, (user.id for user in found))
    erased = erased_of(known)
    steps = await _judge(client, job, [user for user in found if user.id not in erased], known)
    told, gone = await remember(context, job, steps, erased=erased)
    reads = [_read(job, step.verdict.mailbox_id) for step in steps if step.read]
    return Done(messages=(*told, *reads, *following), commit=lambda: census.record(context.store, job.seen, gone))


def erased_of(known: dict[str, Known]) -> list[str]:
    """Return the mailboxes of which only the id is kept: nothing is asked of them, and nothing written."""
    return [mailbox_id for mailbox_id, before in known.items() if before.reason == directory.ERASED]


async def remember(
    context: Context, job: Job, steps: Sequence[Step], *, erased: Sequence[str]
) -> tuple[list[MailboxUnreadable], list[Verdict]]:
    """Remember a page's mailboxes, and return what to tell consumers, and the verdicts to record once that is said.

    Who stays or leaves is remembered first, because readings and the sweep look for it. Whom a new policy shuts out
    goes after consumers were told.
    """
    gone = [step for step in steps if step.gone]
    staying = [step.verdict for step in steps if not step.gone and not step.leaving]
    await census.record(context.store, job.seen, staying)
    await leaving.mark(context.store, job.seen, [step.verdict for step in steps if step.leaving])
    # or the sweep, if it comes first, removes them as well
    await census.mark_seen(context.store, job.seen, [*erased, *(step.verdict.mailbox_id for step in gone)])
    return await _told(context, job, gone), [step.verdict for step in gone]


async def _judge(client: GraphClient, job: Job, found: Sequence[DirectoryUser], known: dict[str, Known]) -> list[Step]:
    scope = job.org.policy.scope
    early = {}
    for user in found:
        before = known.get(user.id)
        in_group = before is not None and before.scope_run == job.run
        early[user.id] = directory.before_asking(user, scope, in_group=in_group)
    answers = await asking.ask(client, [user for user in found if early[user.id] is None], now=job.now)
    steps = []
    for user in found:
        verdict = early[user.id] or directory.after_asking(user, scope, answers.get(user.id, Answer()))
        steps.append(directory.follow(verdict, known.get(user.id), job.org.generation))
    return steps


async def rooms(context: Context, job: Job) -> Done:
    """Mark one page of rooms; without the permission to list them the stage is left out, and the admin is told."""
    start = f"/places/microsoft.graph.room?$top={ROOMS}"
    try:
        page = await context.tenants.client(job.org).get(job.cursor or start, RoomPage)
    except GraphError as error:
        if error.status != 403:
            raise
        await runs.trouble(context.store, job.org.org_id, reason="rooms_forbidden", now=job.now)
        return Done(messages=job.following(None))
    addresses = [room.email_address.lower() for room in page.value if room.email_address]
    following = job.following(page.next_link)
    new = await census.mark_rooms(context.store, job.seen, addresses)
    return Done(messages=(*(_read(job, name) for name in new), *following))


def _usable(found: Iterable[DirectoryUser]) -> list[DirectoryUser]:
    """Return the objects whose ids can name a mailbox, each once: a page may repeat one that changed."""
    return list({user.id: user for user in found if directory.names_a_mailbox(user.id)}.values())


async def taken(context: Context, job: Job, mailbox_ids: Iterable[str]) -> dict[str, Row]:
    """Take the leases of mailboxes that go, so that nobody publishes them in the meantime; return their rows by id."""
    wish = Claim(lease=job.lease, since=job.now, now=job.now, seconds=context.settings.lease_seconds)
    change, org_id = context.mailboxes.change, job.org.org_id
    rows = await asyncio.gather(*(change(org_id, each, lambda row: due.leave(row, wish)) for each in mailbox_ids))
    return {row.mailbox_id: row for row in rows if isinstance(row, Row)}


async def _told(context: Context, job: Job, gone: Sequence[Step]) -> list[MailboxUnreadable]:
    verdicts = {step.verdict.mailbox_id: step.verdict for step in gone}
    rows = await taken(context, job, verdicts)
    return [
        unreadable(
            row,
            generation=job.org.generation,
            as_of=job.now,
            bucket=verdicts[name].bucket,
            reason=verdicts[name].reason or "unknown",
        )
        for name, row in rows.items()
    ]


def _read(job: Job, mailbox_id: str) -> MailboxRead:
    return MailboxRead(org_id=job.org.org_id, generation=job.org.generation, mailbox_id=mailbox_id, since=job.now)
