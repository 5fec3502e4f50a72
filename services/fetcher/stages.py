"""The four stages of an enumeration, one page a call: who is in scope, who there is, which are rooms, who has left.

It refuses to remove everybody: a directory that shows nobody at all is not believed.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from msgspec import Struct, field

from services.fetcher import asking, census, directory, due, paging, runs
from services.fetcher.context import Context, unreadable
from services.fetcher.directory import Answer, DirectoryUser, Known, Step
from services.fetcher.due import Claim, Row
from services.fetcher.job import DirectoryPage, Job
from shared.broker import Done
from shared.contracts.messages import MailboxRead, MailboxUnreadable
from shared.contracts.values import Bucket
from shared.graph import GraphError

SWEPT: Final = 200  # rows a sweep's message looks at
MEMBERS: Final = 999
ROOMS: Final = 100
_USER: Final = "id,mail,userPrincipalName,userType,onPremisesSyncEnabled"
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
        page = await job.client.get(job.cursor or start, DirectoryPage, headers=_ADVANCED)
    except GraphError as error:
        if error.status != 404 or job.cursor:
            raise
        await runs.trouble(context.store, job.org.org_id, reason="scope_group_missing", now=job.now)
        return Done(messages=job.following(None))
    members = [(user.id, address) for user in _usable(page.value) if (address := directory.address_of(user))]
    following = job.following(page.next_link)
    await census.mark_scope(context.store, job.seen, members)  # first: the next page may be looked at at once
    return Done(messages=following)


async def users(context: Context, job: Job) -> Done:
    """Put one page of the directory into buckets; readings follow for mailboxes that need one.

    Who stays is remembered first, because the readings look for it, and asked for again if the page is done again.
    Who leaves is remembered after consumers were told.
    """
    start = f"/users?$select={_USER}&$top={context.settings.directory_page}"
    page = await job.client.get(job.cursor or start, DirectoryPage)
    following = job.following(page.next_link)
    found = _usable(page.value)
    known = await census.known(context.store, job.org.org_id, (user.id for user in found))
    steps = await _judge(job, found, known)
    leaving = [step for step in steps if step.unreadable]
    await census.record(context.store, job.seen, [step.verdict for step in steps if not step.unreadable])
    names = [step.verdict.mailbox_id for step in leaving]
    await census.mark_seen(context.store, job.seen, names)  # or the sweep, if it comes first, removes them as well
    rows = await _take(context, job, names)
    gone = [_gone(job, rows[step.verdict.mailbox_id], step) for step in leaving if step.verdict.mailbox_id in rows]
    reads = [_read(job, step.verdict.mailbox_id) for step in steps if step.read]

    async def remember() -> None:
        await census.record(context.store, job.seen, [step.verdict for step in leaving])

    return Done(messages=(*gone, *reads, *following), commit=remember)


async def _judge(job: Job, found: Sequence[DirectoryUser], known: dict[str, Known]) -> list[Step]:
    scope = job.org.policy.scope
    early = {}
    for user in found:
        before = known.get(user.id)
        in_group = before is not None and before.scope_run == job.run
        early[user.id] = directory.before_asking(user, scope, in_group=in_group)
    answers = await asking.ask(job.client, [user for user in found if early[user.id] is None])
    steps = []
    for user in found:
        verdict = early[user.id] or directory.after_asking(user, scope, answers.get(user.id, Answer()))
        steps.append(directory.follow(verdict, known.get(user.id), job.org.generation))
    return steps


async def rooms(context: Context, job: Job) -> Done:
    """Mark one page of rooms; without the permission to list them the stage is left out, and the admin is told."""
    start = f"/places/microsoft.graph.room?$top={ROOMS}"
    try:
        page = await job.client.get(job.cursor or start, RoomPage)
    except GraphError as error:
        if error.status != 403:
            raise
        await runs.trouble(context.store, job.org.org_id, reason="rooms_forbidden", now=job.now)
        return Done(messages=job.following(None))
    addresses = [room.email_address.lower() for room in page.value if room.email_address]
    following = job.following(page.next_link)
    await census.mark_rooms(context.store, job.seen, addresses)
    return Done(messages=following)


async def sweep(context: Context, job: Job) -> Done:
    """Remove what this run has not seen, some rows a message, and end the run after the last."""
    rows: list[Row] = []
    if await census.any_seen(context.store, job.seen):
        rows = await census.unseen(context.store, job.seen, SWEPT)
    else:
        await runs.trouble(context.store, job.org.org_id, reason="directory_empty", now=job.now)
    published = [row.mailbox_id for row in rows if row.bucket in directory.PUBLISHED]
    taken = await _take(context, job, published)
    messages = [_removed(job, row) for row in taken.values()]

    async def remember() -> None:
        change, org_id = context.mailboxes.change, job.org.org_id
        await asyncio.gather(
            *(change(org_id, row.mailbox_id, lambda found: due.remove(found, job.lease)) for row in rows)
        )
        if len(rows) < SWEPT:
            await runs.finish(context.store, org_id, run=job.run, now=job.now)
            context.log.info("enumeration.finished", org_id=org_id, generation=job.org.generation, run=job.run)

    more = (job.message(paging.Place(stage=paging.SWEEP, page=job.place.page + 1)),) if len(rows) == SWEPT else ()
    return Done(messages=(*messages, *more), commit=remember)


def _usable(found: Iterable[DirectoryUser]) -> list[DirectoryUser]:
    """Return the objects whose ids can name a mailbox, each once: a page may repeat one that changed."""
    return list({user.id: user for user in found if directory.names_a_mailbox(user.id)}.values())


async def _take(context: Context, job: Job, mailbox_ids: Sequence[str]) -> dict[str, Row]:
    """Take the leases of mailboxes that leave, so that nobody publishes them in the meantime."""
    wish = Claim(lease=job.lease, since=job.now, now=job.now, seconds=context.settings.lease_seconds)
    change, org_id = context.mailboxes.change, job.org.org_id
    rows = await asyncio.gather(*(change(org_id, each, lambda row: due.leave(row, wish)) for each in mailbox_ids))
    return {row.mailbox_id: row for row in rows if isinstance(row, Row)}


def _gone(job: Job, row: Row, step: Step) -> MailboxUnreadable:
    bucket, reason = step.verdict.bucket, step.verdict.reason or "unknown"
    return unreadable(row, generation=job.org.generation, as_of=job.now, bucket=bucket, reason=reason)


def _removed(job: Job, row: Row) -> MailboxUnreadable:
    return unreadable(row, generation=job.org.generation, as_of=job.now, bucket=Bucket.REMOVED, reason=due.LEFT)


def _read(job: Job, mailbox_id: str) -> MailboxRead:
    return MailboxRead(org_id=job.org.org_id, generation=job.org.generation, mailbox_id=mailbox_id, since=job.now)
