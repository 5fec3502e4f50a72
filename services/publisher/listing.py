"""Answers which mailboxes an org has, page by page, and what is known of each."""

import base64
import binascii

from aiohttp import web
from sqlalchemy import Row, Select, and_, select

from services.publisher.access import STORE, org_asked
from services.publisher.answers import MailboxEntry, MailboxPage
from services.publisher.asking import invalid, number, parameters
from services.publisher.moments import moment
from services.publisher.reply import reply
from shared.contracts.values import Bucket, Coverage, Kind
from shared.reach import reached
from shared.tables import mailboxes, timelines

LARGEST_PAGE = 1000
_NEVER = "not_read_yet"


async def list_mailboxes(request: web.Request) -> web.Response:
    """GET /v1/orgs/{org}/mailboxes: ordered by mailbox id; `limit`, `cursor` and `bucket` narrow the page."""
    org = await org_asked(request)
    asked = parameters(request, {"limit", "cursor", "bucket"})
    limit = number("limit", asked.get("limit", "100"), least=1, most=LARGEST_PAGE)
    query = _query(org.org_id, after=_opened(asked.get("cursor", "")), bucket=_bucket(asked.get("bucket")))
    async with reached(), request.app[STORE].read() as connection:
        rows = (await connection.execute(query.limit(limit + 1))).all()
    more = len(rows) > limit
    page = tuple(_entry(row) for row in rows[:limit])
    return reply(MailboxPage(mailboxes=page, next=_sealed(page[-1].mailbox_id) if more else None))


def _query(org_id: str, *, after: str, bucket: Bucket | None) -> Select[*tuple[object, ...]]:
    same = and_(timelines.c.org_id == mailboxes.c.org_id, timelines.c.mailbox_id == mailboxes.c.mailbox_id)
    query = (
        select(
            mailboxes.c.mailbox_id,
            mailboxes.c.address,
            mailboxes.c.kind,
            mailboxes.c.bucket,
            mailboxes.c.reason,
            timelines.c.coverage,
            timelines.c.reason.label("unknown_reason"),
            timelines.c.as_of,
            timelines.c.version,
        )
        .outerjoin(timelines, same)
        .where(mailboxes.c.org_id == org_id, mailboxes.c.mailbox_id > after)
        .order_by(mailboxes.c.mailbox_id)
    )
    return query if bucket is None else query.where(mailboxes.c.bucket == bucket.value)


def _entry(row: Row[*tuple[object, ...]]) -> MailboxEntry:
    found = row._mapping  # noqa: SLF001 -- SQLAlchemy's public name for a row as a mapping
    published = found["as_of"] is not None
    unread = None if published or found["bucket"] != Bucket.ACTIVE else _NEVER
    return MailboxEntry(
        mailbox_id=found["mailbox_id"],
        mailbox=found["address"],
        kind=Kind(found["kind"]),
        bucket=Bucket(found["bucket"]),
        coverage=Coverage(found["coverage"] or Coverage.UNKNOWN),
        reason=found["reason"] or found["unknown_reason"] or unread,
        as_of=moment(found["as_of"]) if published else None,
        version=found["version"],
    )


def _bucket(word: str | None) -> Bucket | None:
    if word is None:
        return None
    try:
        return Bucket(word)
    except ValueError:
        raise invalid("bucket", f"One of {', '.join(Bucket)} is needed.") from None


def _sealed(mailbox_id: str) -> str:
    return base64.urlsafe_b64encode(mailbox_id.encode()).decode().rstrip("=")


def _opened(cursor: str) -> str:
    """Return the mailbox id to go on after. A cursor holds no org: it is read within the org asked about alone."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid("cursor", "It must be `next` of an earlier page.") from None
