"""The JSON API about an org's mailboxes: their state page by page, a test of one, and reading them again."""

from typing import Final

from services.authorizer import boxes, resyncing
from services.authorizer.boxes import LONGEST, Box, Wanted
from services.authorizer.console import mailboxes as pages
from services.authorizer.console.acting import noted
from services.authorizer.console.advice import outcome
from services.authorizer.console.api_answers import MailboxesPage, MailboxTested, MailboxTold, Reading
from services.authorizer.console.api_calls import Call, Parameter, number
from services.authorizer.console.api_problems import Problem, invalid
from services.authorizer.console.limits import spend
from services.authorizer.console.rendering import org_of
from services.authorizer.console.texts import text
from services.authorizer.orgs import OrgState
from services.authorizer.trying import tried
from shared import clock
from shared.connections import CONNECTED
from shared.contracts.values import Bucket

LARGEST: Final = 1000
_USUAL: Final = 100
LISTING: Final = (
    Parameter(name="limit", description="Mailboxes a page, 1 to 1000; 100 unless told.", schema={"type": "integer"}),
    Parameter(name="after", description="`after` of the page before."),
    Parameter(name="text", description="Only those whose address holds this."),
    Parameter(name="bucket", description="Only those in this bucket.", schema={"enum": [*Bucket]}),
    Parameter(name="reason", description="Only those there for this reason."),
    Parameter(
        name="waiting", description="`true`: only those whose reading is to be tried again.", schema={"enum": ["true"]}
    ),
)


async def mailboxes(call: Call) -> MailboxesPage:
    """Return the org's mailboxes by address. Raises Problem for a parameter that is wrong."""
    limit = number(call.query, "limit", among=(1, LARGEST), otherwise=_USUAL)
    begin = call.query.get("after", "")
    after = boxes.place(begin) if begin else None
    if begin and after is None:
        raise invalid("after", "It must be `after` of an earlier page.")
    found = await boxes.page(call.place.store, call.visit.org_id, _wanted(call), after=after, limit=limit)
    following = boxes.written(found.following) if found.following else None
    return MailboxesPage(mailboxes=tuple(_told(one) for one in found.boxes), count=found.count, after=following)


async def mailbox(call: Call) -> MailboxTold:
    """Return one mailbox by its id. Raises Problem: 404."""
    return _told(await known(call))


async def test(call: Call) -> MailboxTested:
    """Make one real attempt to read a mailbox. Raises Problem."""
    org, box = await _org(call), await known(call)
    if not pages.may_be_tested(org, box):
        raise Problem(409, "not_connected", detail=text("notice.warn.not_tested"))
    spend(call.request, pages.TESTS)
    now = clock.now()
    reason = await tried(call.place.desk, org, box, now=now)
    await noted(call.request, "mailbox.tested", {"outcome": reason or "read"})
    sentence = text(outcome(reason)) if reason else ""
    return MailboxTested(mailbox_id=box.mailbox_id, at=now, read=not reason, reason=reason, sentence=sentence)


async def sync(call: Call) -> Reading:
    """Have one mailbox read now, ahead of all that waits. Raises Problem."""
    box, place, visit = await known(call), call.place, call.visit
    spend(call.request, pages.SYNCS)
    if not await resyncing.one(place.store, place.broker, visit.org_id, box.mailbox_id, now=clock.now()):
        raise Problem(409, "not_read", detail=text("notice.warn.not_synced"))
    await noted(call.request, "org.resynced", {"mailboxes": 1})
    return Reading(mailboxes=1)


async def sync_all(call: Call) -> Reading:
    """Have the directory searched and every mailbox read now. Raises Problem."""
    org, place = await _org(call), call.place
    if org.state != CONNECTED:
        raise Problem(409, "not_connected", detail=text("notice.warn.not_synced"))
    spend(call.request, pages.SYNCS_OF_ALL)
    count = await resyncing.everything(place.store, place.broker, org.org_id, now=clock.now())
    place.wakes.enumerate.set()
    await noted(call.request, "org.resynced", {"mailboxes": count})
    return Reading(mailboxes=count)


async def _org(call: Call) -> OrgState:
    org = await org_of(call.request)
    if org is None:
        raise Problem(409, "not_connected", detail="This organisation is not connected.")
    return org


async def known(call: Call) -> Box:
    """Return the mailbox whose id is in the path. Raises Problem: 404, another org's ids among them."""
    found = await boxes.box(call.place.store, call.visit.org_id, call.request.match_info["mailbox_id"])
    if found is None:
        raise Problem(404, "mailbox_unknown", detail="This organisation has no such mailbox.")
    return found


def _wanted(call: Call) -> Wanted:
    given = call.query
    bucket, named = given.get("bucket", ""), given.get("text", "")
    if bucket and bucket not in set(Bucket):
        raise invalid("bucket", f"One of {', '.join(Bucket)} is needed.")
    if len(named) > LONGEST:
        raise invalid("text", f"It has at most {LONGEST} characters.")
    if given.get("waiting", "true") != "true":
        raise invalid("waiting", "It is `true` or left out.")
    return Wanted(
        text=named,
        bucket=Bucket(bucket) if bucket else None,
        reason=given.get("reason", ""),
        waiting="waiting" in given,
    )


def _told(one: Box) -> MailboxTold:
    return MailboxTold(**{name: getattr(one, name) for name in MailboxTold.__struct_fields__})
