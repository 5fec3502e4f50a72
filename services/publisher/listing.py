"""Answers which mailboxes an org has, page by page, and what is known of each."""

import base64
import binascii

from aiohttp import web
from sqlalchemy import Row, RowMapping, Select, and_, select

from services.publisher.access import STORE, Org, org_asked
from services.publisher.answers import MailboxEntry, MailboxPage
from services.publisher.asking import invalid, number, parameters
from services.publisher.moments import moment
from services.publisher.operations import Operation, Parameter
from services.publisher.published import NOT_READ_YET, POLICY_CHANGED
from services.publisher.reply import reply
from shared import clock
from shared.contracts.values import Bucket, Coverage, Instant, Kind
from shared.reach import reached
from shared.tables import mailboxes, timelines

LARGEST_PAGE = 1000


async def list_mailboxes(request: web.Request) -> web.Response:
    """GET /v1/orgs/{org}/mailboxes: ordered by mailbox id; `limit`, `cursor` and `bucket` narrow the page."""
    org = await org_asked(request)
    asked = parameters(request, {"limit", "cursor", "bucket"})
    limit = number("limit", asked.get("limit", "100"), least=1, most=LARGEST_PAGE)
    query = _query(org, after=_opened(asked.get("cursor", "")), bucket=_bucket(asked.get("bucket")))
    async with reached(), request.app[STORE].read() as connection:
        rows = (await connection.execute(query.limit(limit + 1))).all()
    more = len(rows) > limit
    now = clock.now()
    page = tuple(_entry(row, org, now) for row in rows[:limit])
    return reply(MailboxPage(mailboxes=page, next=_sealed(page[-1].mailbox_id) if more else None))


def _query(org: Org, *, after: str, bucket: Bucket | None) -> Select[*tuple[object, ...]]:
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
            timelines.c.generation,
            mailboxes.c.waiting,
            mailboxes.c.retry_at,
            mailboxes.c.due_at,
            mailboxes.c.subscribed_until,
            mailboxes.c.failures,
        )
        .outerjoin(timelines, same)
        .where(mailboxes.c.org_id == org.org_id, mailboxes.c.mailbox_id > after)
        .order_by(mailboxes.c.mailbox_id)
    )
    return query if bucket is None else query.where(mailboxes.c.bucket == bucket.value)


def _entry(row: Row[*tuple[object, ...]], org: Org, now: Instant) -> MailboxEntry:
    found = row._mapping  # noqa: SLF001 -- SQLAlchemy's public name for a row as a mapping
    published = found["as_of"] is not None
    shown = published and found["generation"] >= org.shown_from
    unread = None if published or found["bucket"] != Bucket.ACTIVE else NOT_READ_YET
    untold = found["unknown_reason"] if shown or not published else POLICY_CHANGED
    return MailboxEntry(
        mailbox_id=found["mailbox_id"],
        mailbox=found["address"] or found["mailbox_id"],  # of an erased one nothing but the id is kept
        kind=Kind(found["kind"]),
        bucket=Bucket(found["bucket"]),
        coverage=Coverage(found["coverage"]) if shown else Coverage.UNKNOWN,
        reason=found["reason"] or untold or unread,
        as_of=moment(found["as_of"]) if published else None,
        version=found["version"],
        waiting=found["waiting"],
        next_try_at=_next_try(found),
        subscribed=(found["subscribed_until"] or 0) > now,
        failures=found["failures"],
    )


def _next_try(found: RowMapping) -> str | None:
    """Return when a reading that failed is tried again: after the pause ordered, else when the mailbox is due."""
    failing = found["failures"] or found["bucket"] == Bucket.FAILING
    instant = found["retry_at"] or (found["due_at"] if failing else None)
    return None if instant is None else moment(instant)


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
        mailbox_id = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        mailbox_id = "\0"
    if "\0" in mailbox_id:  # no id has it, and PostgreSQL takes no text that does
        raise invalid("cursor", "It must be `next` of an earlier page.")
    return mailbox_id


OPERATIONS = (
    Operation(
        name="listMailboxes",
        method="GET",
        path="/v1/orgs/{org}/mailboxes",
        summary="The org's mailboxes",
        group="Mailboxes",
        handler=list_mailboxes,
        answers=MailboxPage,
        query=(
            Parameter(
                name="limit",
                description="Mailboxes a page, 1 to 1000; 100 unless told.",
                schema={"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE},
            ),
            Parameter(name="cursor", description="`next` of an earlier page."),
            Parameter(
                name="bucket",
                description="Only mailboxes in this bucket.",
                schema={"type": "string", "enum": [each.value for each in Bucket]},
            ),
        ),
        problems=(404,),
    ),
)
