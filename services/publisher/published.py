"""Edge: reads the timelines that answer a question, by address or by mailbox id, never without the org.

Details published under an older generation than the org's present one are not read: its policy may forbid them now.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import func, or_, select

from services.publisher.access import Org
from services.publisher.reach import reached
from services.publisher.timeline import GONE, Timeline, from_row
from shared.contracts.values import Bucket
from shared.store import Store
from shared.tables import mailboxes, timelines, updates

_AT_ONCE = 200  # mailboxes a query
_GONE = [bucket.value for bucket in GONE]
NOT_READ_YET = "not_read_yet"


class Unread(Struct, frozen=True):
    """A mailbox that is known of and of which nothing was published yet."""

    mailbox_id: str
    address: str


Shown = Timeline | Unread


async def published(store: Store, org: Org, names: Sequence[str]) -> dict[str, Shown]:
    """Return what is published of each of the mailboxes named (by address or id, in lower case) that exists."""
    found: dict[str, Shown] = {}
    async with reached():
        for start in range(0, len(names), _AT_ONCE):
            found |= await _some(store, org, names[start : start + _AT_ONCE])
    return found


async def position_of(store: Store, timeline: Timeline) -> int:
    """Return the place in the update log of the last update of a mailbox; 0 where there is none."""
    last = select(func.max(updates.c.position)).where(
        updates.c.org_id == timeline.org_id, updates.c.mailbox_id == timeline.mailbox_id
    )
    async with reached(), store.read() as connection:
        return (await connection.execute(last)).scalar_one() or 0
