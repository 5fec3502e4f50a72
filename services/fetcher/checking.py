"""Compares Microsoft's own list of a tenant's subscriptions with ours, and mends what differs on either side.

A list that is not whole proves nothing: then nothing is done.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from services.fetcher import plans, promises, strays, subscriptions
from services.fetcher.keeping import Keep
from services.fetcher.plans import ENDED, Answer, Step
from services.fetcher.strays import Found, Listed
from services.fetcher.subscriptions import Change
from shared import clock
from shared.contracts.values import Instant
from shared.graph import MOST_IN_BATCH, GraphClient

AT_ONCE: Final = 4  # batches of deletions under way


async def check(keep: Keep) -> Found:
    """Mend what differs and return it. Raises GraphError and IdentityError where Microsoft does not give its list."""
    store, org_id = keep.context.store, keep.org.org_id
    client = keep.context.tenants.client(keep.org)
    before = {row.mailbox_id: row for row in await subscriptions.of_org(store, org_id)}
    listed = await keep.promises.listed(client, org_id)
    now = clock.now()
    after = await subscriptions.of_org(store, org_id)
    found = strays.compare(listed, before=before, after=after, now=now)
    await delete_all(client, found.strays)
    changes = [
        *(Change(before=row, after=plans.created_anew(row, reason=plans.GONE, now=now)) for row in found.lacking),
        *(Change(before=row, after=_adopted(row, each, now)) for row, each in found.adopted),
    ]
    for part in subscriptions.parts(changes):
        await subscriptions.write(store, part, now)
    return found


def _adopted(row: plans.Row, listed: Listed, now: Instant) -> plans.Row | None:
    """Take over a subscription that was made and not remembered; what changed before is hinted at next."""
    answer = Answer(status=201, subscription_id=listed.subscription_id, expires_at=listed.expires_at)
    adopted = plans.outcome(row, Step.CREATE, answer, now)
    return None if adopted is None else replace(adopted, act_at=now)


async def delete_all(
    client: GraphClient, subscription_ids: Sequence[str], *, at_once: int = AT_ONCE
) -> dict[str, Answer]:
    """Delete subscriptions at Microsoft, twenty to a call and several calls at a time; return the answers by id."""
    limit = asyncio.Semaphore(at_once)

    async def part(chosen: Sequence[str]) -> dict[str, Answer]:
        async with limit:
            return await promises.deleted(client, chosen)

    cut = range(0, len(subscription_ids), MOST_IN_BATCH)
    done = await asyncio.gather(*(part(subscription_ids[start : start + MOST_IN_BATCH]) for start in cut))
    return {name: answer for answers in done for name, answer in answers.items()}


def ended(answer: Answer) -> bool:
    """Say whether a subscription is gone after this answer to its deletion."""
    return answer.status in ENDED
