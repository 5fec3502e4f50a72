"""Answers who makes, lists and revokes feeds, and the calendar applications that read them.

It refuses to show an empty calendar where nothing is known: then there is none for the moment (503), and applications
go on with what they have.
"""

from aiohttp import web

from services.publisher import calendar_feeds, calendars
from services.publisher.access import COUNTED, STORE, bearer, org_asked, org_of
from services.publisher.answers import FeedEntry, FeedMade, Feeds
from services.publisher.asking import parameters
from services.publisher.availability import known_to, refused
from services.publisher.moments import moment
from services.publisher.operations import Operation
from services.publisher.problems import Problem
from services.publisher.published import published
from services.publisher.reply import reply
from shared import clock
from shared.errors import Reject
from shared.reach import reached

_AGAIN = "300"  # seconds after which a calendar that is not known for the moment may be asked for again
_REFUSALS = {"mailbox_unknown": (404, "There is no such mailbox"), "too_many_feeds": (409, "There are too many feeds")}


async def make(request: web.Request) -> web.Response:
    """POST /v1/orgs/{org}/mailboxes/{address}/feeds: a new secret address, shown this once."""
    org, known = await org_asked(request), await bearer(request)
    parameters(request, ())
    store = request.app[STORE]
    timeline = (await known_to(store, org, request.match_info["address"])).known
    try:
        made, secret = await calendar_feeds.make(store, known, org.org_id, timeline.mailbox_id, now=clock.now())
    except Reject as refusal:
        status, title = _REFUSALS[refusal.reason]
        raise Problem(status, refusal.reason, title=title) from None
    path = f"/v1/calendars/{secret}.ics"
    answer = FeedMade(feed=made.feed_id, mailbox_id=made.mailbox_id, created_at=moment(made.created_at), path=path)
    return reply(answer, status=201)


async def list_feeds(request: web.Request) -> web.Response:
    """GET /v1/orgs/{org}/feeds: the consumer's own, without their addresses."""
    org, known = await org_asked(request), await bearer(request)
    parameters(request, ())
    found = await calendar_feeds.listed(request.app[STORE], known, org.org_id)
    entries = (
        FeedEntry(feed=each.feed_id, mailbox_id=each.mailbox_id, created_at=moment(each.created_at)) for each in found
    )
    return reply(Feeds(feeds=tuple(entries)))


async def revoke(request: web.Request) -> web.Response:
    """DELETE /v1/orgs/{org}/feeds/{feed}: the address shows nothing from now on."""
    org, known = await org_asked(request), await bearer(request)
    parameters(request, ())
    if not await calendar_feeds.revoke(request.app[STORE], known, org.org_id, request.match_info["feed"]):
        raise _feed_unknown()
    return web.Response(status=204)


async def calendar(request: web.Request) -> web.Response:
    """GET /v1/calendars/{secret}.ics: when the mailbox is busy, to whoever knows the address."""
    store = request.app[STORE]
    feed = await calendar_feeds.opened(store, request.match_info["secret"])
    if feed is None:
        raise _feed_unknown()
    request[COUNTED] = (feed.consumer, feed.org_id)
    async with reached():
        org = await org_of(store, feed.org_id)
    shown = None if org is None else (await published(store, org, [feed.mailbox_id])).get(feed.mailbox_id)
    if shown is None:
        raise _feed_unknown()
    if refused(shown, None) is not None:
        title = "It is not known for the moment"
        raise Problem(503, "availability_unknown", title=title, headers={"Retry-After": _AGAIN})
    return web.Response(body=calendars.feed(shown.known), content_type=calendars.MEDIA_TYPE, charset="utf-8")


def _feed_unknown() -> Problem:
    return Problem(404, "feed_unknown", title="There is no such feed")


_GROUP = "Calendar feeds"
OPERATIONS = (
    Operation(
        name="makeFeed",
        method="POST",
        path="/v1/orgs/{org}/mailboxes/{address}/feeds",
        summary="A secret address at which a mailbox's busy time is read as a calendar",
        description="The address is shown once. It shows how the time counts, and no detail under any policy.",
        group=_GROUP,
        handler=make,
        answers=FeedMade,
        status=201,
        problems=(404, 409),
    ),
    Operation(
        name="listFeeds",
        method="GET",
        path="/v1/orgs/{org}/feeds",
        summary="The feeds that this token's consumer made",
        group=_GROUP,
        handler=list_feeds,
        answers=Feeds,
        problems=(404,),
    ),
    Operation(
        name="revokeFeed",
        method="DELETE",
        path="/v1/orgs/{org}/feeds/{feed}",
        summary="Nothing is shown at a feed's address from now on",
        group=_GROUP,
        handler=revoke,
        status=204,
        problems=(404,),
    ),
    Operation(
        name="calendar",
        method="GET",
        path="/v1/calendars/{secret}.ics",
        summary="A feed: a mailbox's busy time, for calendar applications",
        description="503 where it is not known for the moment; never an empty calendar then.",
        group=_GROUP,
        handler=calendar,
        media={calendars.MEDIA_TYPE: "An event for each block (RFC 5545), named by how the time counts."},
        problems=(404,),
        open=True,
    ),
)
