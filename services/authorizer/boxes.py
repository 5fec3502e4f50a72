"""Edge: an org's mailboxes as they are shown: searched, filtered, page by page or all of them, and written as CSV.

It reads what the fetcher keeps and writes nothing; a page costs the same however far on it is.
"""

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import ColumnElement, and_, false, func, literal, or_, select

from shared import clock
from shared.contracts.values import Bucket, Instant
from shared.store import Store
from shared.tables import mailboxes

PAGE: Final = 1000  # rows at a time where all are wanted
SHOWN: Final = 50  # rows of a page that is looked at
LONGEST: Final = 320  # characters of what is searched for: an address has no more
COLUMNS: Final = ("address", "kind", "bucket", "reason", "waiting", "last reading", "next try", "subscribed")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_TABLE: Final = mailboxes.c
_READ: Final = (
    _TABLE.mailbox_id, _TABLE.address, _TABLE.kind, _TABLE.bucket, _TABLE.reason, _TABLE.waiting, _TABLE.read_at,
    _TABLE.retry_at, _TABLE.due_at, _TABLE.subscribed_until, _TABLE.failures, _TABLE.generation,
)  # fmt: skip


class Box(Struct, frozen=True, kw_only=True):
    """A mailbox as it stands. `address` is empty of one that was erased.

    `read_at` is when its last complete reading started, `next_try` when it is read next without a hint, `waiting` why
    its reading is to be tried again. Hints of changes are promised up to `subscribed_until`.
    """

    mailbox_id: str
    address: str
    kind: str
    bucket: Bucket
    reason: str
    waiting: str
    read_at: Instant | None
    next_try: Instant | None
    subscribed_until: Instant | None
    failures: int
    generation: int


class Wanted(Struct, frozen=True, kw_only=True):
    """Which mailboxes are wanted: whose address holds `text`, in a bucket, for a reason, whose reading waits."""

    text: str = ""
    bucket: Bucket | None = None
    reason: str = ""
    waiting: bool = False


class Place(Struct, frozen=True, array_like=True):
    """Where a page begins: after this mailbox, in the order of addresses."""

    address: Annotated[str, Meta(max_length=LONGEST)]
    mailbox_id: Annotated[str, Meta(max_length=128)]


class Page(Struct, frozen=True, kw_only=True):
    """One page, how many there are of this sort, and where the next page begins (None: this is the last)."""

    boxes: tuple[Box, ...]
    count: int
    following: Place | None


async def page(store: Store, org_id: str, wanted: Wanted, *, after: Place | None = None, limit: int = SHOWN) -> Page:
    """Return the mailboxes that are wanted, by their addresses, beginning after a place."""
    among = (_TABLE.org_id == org_id, *_chosen(wanted))
    query = select(*_READ).where(*among).order_by(_TABLE.address, _TABLE.mailbox_id).limit(limit + 1)
    if after is not None:
        query = query.where(_beyond(after))
    async with store.read() as reading:
        rows = (await reading.execute(query)).all()
        count = (await reading.execute(select(func.count()).select_from(mailboxes).where(*among))).scalar_one()
    found = tuple(_box(row) for row in rows[:limit])
    following = Place(found[-1].address, found[-1].mailbox_id) if len(rows) > limit else None
    return Page(boxes=found, count=count, following=following)


async def box(store: Store, org_id: str, mailbox_id: str) -> Box | None:
    """Return one mailbox of an org by its id, None where the org has none of it."""
    if not _ID.fullmatch(mailbox_id):
        return None
    query = select(*_READ).where(_TABLE.org_id == org_id, _TABLE.mailbox_id == mailbox_id)
    async with store.read() as reading:
        row = (await reading.execute(query)).one_or_none()
    return None if row is None else _box(row)


async def listed(store: Store, org_id: str, wanted: Wanted) -> AsyncIterator[Box]:
    """Give every mailbox that is wanted, by their ids, a page at a time: no more than a page is held."""
    query = select(*_READ).where(_TABLE.org_id == org_id, *_chosen(wanted)).order_by(_TABLE.mailbox_id).limit(PAGE)
    after = ""
    while True:
        async with store.read() as reading:
            rows = (await reading.execute(query.where(_TABLE.mailbox_id > after))).all()
        for row in rows:
            yield _box(row)
        if len(rows) < PAGE:
            return
        after = rows[-1].mailbox_id


def told(found: Box, now: Instant) -> dict[str, str]:
    """Return what is told of a mailbox in words, by the titles of COLUMNS and its id; instants as RFC 3339 in UTC."""
    promised = found.subscribed_until if found.subscribed_until and found.subscribed_until > now else None
    return {
        "mailbox id": found.mailbox_id,
        "address": found.address,
        "kind": found.kind,
        "bucket": found.bucket.value,
        "reason": found.reason,
        "waiting": found.waiting,
        "last reading": _moment(found.read_at),
        "next try": _moment(found.next_try),
        "subscribed": _moment(promised),
    }


def table(rows: Iterable[dict[str, str]], *, titles: bool = True) -> str:
    """Return rows of `told` as CSV, the mailbox ids first, the titles above them if wanted."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    names = ("mailbox id", *COLUMNS)
    if titles:
        writer.writerow(names)
    writer.writerows([inert(row[name]) for name in names] for row in rows)
    return written.getvalue()


def inert(cell: str) -> str:
    """Keep a spreadsheet from taking an address for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def place(text: str) -> Place | None:
    """Return the place that a page's address names, None where it names none."""
    try:
        found = msgspec.json.decode(text, type=Place)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return found if found.address.isprintable() and found.mailbox_id.isprintable() else None


def written(where: Place) -> str:
    """Return a place as a page's address carries it."""
    return msgspec.json.encode(where).decode()


def _chosen(wanted: Wanted) -> list[ColumnElement[bool]]:
    if not (wanted.text + wanted.reason).isprintable():
        return [false()]  # no such text is stored, and PostgreSQL refuses to be asked for some
    chosen: list[ColumnElement[bool]] = []
    if wanted.text:
        chosen.append(_TABLE.address.contains(wanted.text.lower(), autoescape=True))
    if wanted.bucket is not None:
        chosen.append(_TABLE.bucket == wanted.bucket.value)
    if wanted.reason:
        chosen.append(_TABLE.reason == wanted.reason)
    if wanted.waiting:
        chosen.append(_TABLE.waiting.is_not(None))
    return chosen


def _beyond(after: Place) -> ColumnElement[bool]:
    """Say that a mailbox comes after a place; the first condition is there for the index on addresses."""
    same = and_(_TABLE.address == after.address, _TABLE.mailbox_id > literal(after.mailbox_id))
    return and_(_TABLE.address >= after.address, or_(_TABLE.address > after.address, same))


def _box(row: Any) -> Box:
    return Box(
        mailbox_id=row.mailbox_id,
        address=row.address,
        kind=row.kind,
        bucket=Bucket(row.bucket),
        reason=row.reason or "",
        waiting=row.waiting or "",
        read_at=row.read_at,
        next_try=row.retry_at if row.waiting is not None and row.retry_at is not None else row.due_at,
        subscribed_until=row.subscribed_until,
        failures=row.failures,
        generation=row.generation,
    )


def _moment(instant: Instant | None) -> str:
    return "" if instant is None else clock.moment(instant)
