"""Pages: the state of every mailbox, searched and filtered; one of them tested or read again; all of them as a file."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from msgspec import Struct

from services.authorizer import boxes, resyncing
from services.authorizer.boxes import LONGEST, Box, Wanted
from services.authorizer.console import drafts
from services.authorizer.console.acting import noted
from services.authorizer.console.advice import advise, outcome
from services.authorizer.console.limits import Limit, spend
from services.authorizer.console.place import place_of, visit_of
from services.authorizer.console.progress import number
from services.authorizer.console.rendering import away, org_of, page
from services.authorizer.console.texts import text
from services.authorizer.console.wording import pieces
from services.authorizer.orgs import OrgState
from services.authorizer.trying import tried
from shared import clock
from shared.connections import CONNECTED
from shared.contracts.values import Bucket, Instant

HERE: Final = "/setup/mailboxes"
TESTS: Final = Limit(name="mailbox_tests", most=20, seconds=600)
SYNCS: Final = Limit(name="mailbox_syncs", most=60, seconds=600)
SYNCS_OF_ALL: Final = Limit(name="syncs", most=3, seconds=900)
_TESTED: Final = "mailbox_test"  # the kind of draft that a test's outcome is


class Tested(Struct, frozen=True, kw_only=True):
    """What a test came to: of which mailbox, when, and why it could not be read ("" where it could)."""

    mailbox_id: str
    at: Instant
    reason: str


async def show(request: web.Request) -> web.StreamResponse:
    """GET /setup/mailboxes."""
    org = await org_of(request)
    if org is None:
        return away(request, "/setup")
    wanted, after = wanted_of(request.query), boxes.place(request.query.get("after", ""))
    found = await boxes.page(place_of(request).store, org.org_id, wanted, after=after)
    values = {
        "found": found,
        "rows": [(box, _why(box)) for box in found.boxes],
        "pieces": pieces,
        "number": number,
        "wanted": wanted,
        "filtered": wanted != Wanted(),
        "choices": [("", text("mailboxes.bucket.all")), *((b.value, text(f"bucket.{b.value}")) for b in Bucket)],
        "csv": _address(f"{HERE}.csv", wanted),
        "first": _address(HERE, wanted) if after is not None else "",
        "next": _address(HERE, wanted, after=boxes.written(found.following)) if found.following else "",
    }
    return await page(request, "mailboxes.html", values, tab="mailboxes")


def wanted_of(query: Mapping[str, str]) -> Wanted:
    """Return which mailboxes an address asks for; what it does not say well it does not say."""
    bucket = query.get("bucket", "")
    return Wanted(
        text=query.get("q", "").strip()[:LONGEST],
        bucket=Bucket(bucket) if bucket in set(Bucket) else None,
        reason=query.get("reason", "")[:64],
        waiting=query.get("waiting", "") == "yes",
    )


def _address(path: str, wanted: Wanted, *, after: str = "") -> str:
    asked = {
        "q": wanted.text,
        "bucket": wanted.bucket.value if wanted.bucket else "",
        "reason": wanted.reason,
        "waiting": "yes" if wanted.waiting else "",
        "after": after,
    }
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"{path}?{query}" if query else path


def _why(box: Box) -> str:
    """Return the key of why a mailbox is not read, or waits; "" where it is simply read."""
    if box.bucket is Bucket.ACTIVE and not box.waiting:
        return ""
    return advise(box.bucket, box.waiting if box.bucket is Bucket.ACTIVE else box.reason).title


async def download(request: web.Request) -> web.StreamResponse:
    """GET /setup/mailboxes.csv: all that are wanted, a page in memory at a time."""
    org = await org_of(request)
    if org is None:
        raise web.HTTPNotFound
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="mailboxes-{org.org_id}.csv"',
        }
    )
    await response.prepare(request)
    async for part in _parts(request, org, wanted_of(request.query)):
        await response.write(part.encode())
    await response.write_eof()
    return response


async def _parts(request: web.Request, org: OrgState, wanted: Wanted) -> AsyncIterator[str]:
    now, rows, titles = clock.now(), [], True
    async for box in boxes.listed(place_of(request).store, org.org_id, wanted):
        rows.append(boxes.told(box, now))
        if len(rows) == boxes.PAGE:
            yield boxes.table(rows, titles=titles)
            rows, titles = [], False
    if rows or titles:
        yield boxes.table(rows, titles=titles)


async def show_one(request: web.Request) -> web.StreamResponse:
    """GET /setup/mailboxes/{mailbox_id}."""
    org, box = await _asked(request)
    waits = box.waiting if box.bucket is Bucket.ACTIVE else ""
    values: dict[str, Any] = {
        "box": box,
        "advice": advise(box.bucket, waits or box.reason),
        "waits": bool(waits),
        "subscribed": box.subscribed_until if (box.subscribed_until or 0) > clock.now() else None,
        "may_test": may_be_tested(org, box),
        "may_sync": may_be_read(org, box),
        "tested": await _tested(request, box),
        "outcome": outcome,
        "pieces": pieces,
        "number": number,
    }
    return await page(request, "mailbox.html", values, tab="mailboxes")


def may_be_tested(org: OrgState, box: Box) -> bool:
    """Say whether a mailbox may be tested: a sign-in that was refused is not tried again."""
    return org.state == CONNECTED and bool(box.address)


def may_be_read(org: OrgState, box: Box) -> bool:
    """Say whether a mailbox can be read again now."""
    return org.state == CONNECTED and box.bucket in resyncing.READ and box.generation == org.generation


async def test(request: web.Request) -> web.StreamResponse:
    """POST /setup/mailboxes/{mailbox_id}/test: one real attempt to read it."""
    org, box = await _asked(request)
    here = f"{HERE}/{box.mailbox_id}"
    if not may_be_tested(org, box):
        return away(request, here, notice="notice.warn.not_tested")
    spend(request, TESTS)
    place, visit, now = place_of(request), visit_of(request), clock.now()
    reason = await tried(place.desk, org, box, now=now)
    await noted(request, "mailbox.tested", {"outcome": reason or "read"})
    body = msgspec.json.encode(Tested(mailbox_id=box.mailbox_id, at=now, reason=reason))
    kept = await drafts.keep(place, visit, _TESTED, body, now=now)
    return away(request, f"{here}?{urlencode({'tested': kept})}")


async def _tested(request: web.Request, box: Box) -> Tested | None:
    """Return what the test came to that the address names, if it was this mailbox's."""
    name = request.query.get("tested", "")
    body = await drafts.kept(place_of(request), visit_of(request), _TESTED, name, now=clock.now()) if name else None
    found = None if body is None else msgspec.json.decode(body, type=Tested)
    return found if found is not None and found.mailbox_id == box.mailbox_id else None


async def sync(request: web.Request) -> web.StreamResponse:
    """POST /setup/mailboxes/{mailbox_id}/sync: read it now, ahead of all that waits."""
    _, box = await _asked(request)
    spend(request, SYNCS)
    place, visit = place_of(request), visit_of(request)
    asked = await resyncing.one(place.store, place.broker, visit.org_id, box.mailbox_id, now=clock.now())
    if asked:
        await noted(request, "org.resynced", {"mailboxes": 1})
    return away(request, f"{HERE}/{box.mailbox_id}", notice="notice.synced" if asked else "notice.warn.not_synced")


async def sync_all(request: web.Request) -> web.StreamResponse:
    """POST /setup/sync: search the directory and read every mailbox."""
    org = await org_of(request)
    if org is None or org.state != CONNECTED:
        return away(request, "/setup", notice="notice.warn.not_synced")
    spend(request, SYNCS_OF_ALL)
    place = place_of(request)
    count = await resyncing.everything(place.store, place.broker, org.org_id, now=clock.now())
    place.wakes.enumerate.set()
    await noted(request, "org.resynced", {"mailboxes": count})
    return away(request, "/setup/status", notice="notice.synced_all")


async def _asked(request: web.Request) -> tuple[OrgState, Box]:
    """Return the org and the mailbox that the path names. Raises HTTPNotFound: another org's ids among them."""
    org = await org_of(request)
    if org is None:
        raise web.HTTPNotFound
    box = await boxes.box(place_of(request).store, org.org_id, request.match_info["mailbox_id"])
    if box is None:
        raise web.HTTPNotFound
    return org, box


ROUTES: Final = (
    web.get(HERE, show),
    web.get(f"{HERE}.csv", download, allow_head=False),
    web.get(f"{HERE}/{{mailbox_id}}", show_one),
    web.post(f"{HERE}/{{mailbox_id}}/test", test),
    web.post(f"{HERE}/{{mailbox_id}}/sync", sync),
    web.post("/setup/sync", sync_all),
)
