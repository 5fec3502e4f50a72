"""Edge: compares two policies over what is stored of an org's mailboxes, which the database counts by their sorts.

How many calendars are published is counted; what is in them is not the authorizer's to read.
"""

from typing import Final

from sqlalchemy import func, select

from services.authorizer import policy_preview, strictness
from services.authorizer.orgs import OrgState
from services.authorizer.policy_preview import Member, Preview, Sort
from shared.contracts.policy import Policy
from shared.contracts.values import Coverage, Instant
from shared.store import Store
from shared.tables import mailboxes, timelines

_AT_ONCE: Final = 500  # SQLite takes 999 variables in old builds
_SORT: Final = (mailboxes.c.kind, mailboxes.c.bucket, mailboxes.c.reason)


async def figured(store: Store, state: OrgState, new: Policy, *, now: Instant) -> Preview:
    """Return what another policy would do. Beside the mailboxes' figures: ("shown", "calendars"), published at present.

    Under a stricter policy none of these is shown until its mailbox is read again.
    """
    old = state.policy
    named = await _named(store, state.org_id, policy_preview.listed(old, new))
    figures = policy_preview.of_sorts(old, new, await _sorts(store, state.org_id), named)
    figures["shown", "calendars"] = await _shown(store, state.org_id)
    return Preview(
        org_id=state.org_id,
        changes=policy_preview.changed_fields(old, new),
        stricter=strictness.stricter(old, new),
        figures=+figures,
        unread=policy_preview.unread(old, new, now=now),
    )


async def _sorts(store: Store, org_id: str) -> dict[Sort, int]:
    query = select(*_SORT, func.count()).where(mailboxes.c.org_id == org_id).group_by(*_SORT)
    async with store.read() as reading:
        return {(kind, bucket, reason): count for kind, bucket, reason, count in await reading.execute(query)}


async def _named(store: Store, org_id: str, addresses: frozenset[str]) -> list[Member]:
    """Return those of the addresses that are mailboxes of the org."""
    wanted, found = sorted(addresses), []
    for start in range(0, len(wanted), _AT_ONCE):
        here = mailboxes.c.address.in_(wanted[start : start + _AT_ONCE])
        query = select(mailboxes.c.address, *_SORT).where(mailboxes.c.org_id == org_id, here)
        async with store.read() as reading:
            found += [Member(**row._mapping) for row in await reading.execute(query)]  # noqa: SLF001 -- SQLAlchemy's public name
    return found


async def _shown(store: Store, org_id: str) -> int:
    shown = timelines.c.coverage == Coverage.FULL.value
    query = select(func.count(timelines.c.mailbox_id)).where(timelines.c.org_id == org_id, shown)
    async with store.read() as reading:
        return int((await reading.execute(query)).scalar_one())
