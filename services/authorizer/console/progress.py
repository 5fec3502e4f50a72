"""Pages: how the first reading goes, live, and how the org stands: what is read, how fresh, what is wrong and why."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from msgspec import Struct

from services.authorizer.console import phases, sessions
from services.authorizer.console.advice import Advice, advise
from services.authorizer.console.events import HEARTBEAT, Stream, streaming
from services.authorizer.console.phases import SETTLED, Phase, Progress
from services.authorizer.console.place import Visit, place_of, visit_of
from services.authorizer.console.rendering import ORG, away, page
from services.authorizer.console.texts import text
from services.authorizer.console.watching import Look, TooManyViewers, Watch, watches_of
from services.authorizer.console.wording import pieces
from services.authorizer.sentences import FINAL
from services.authorizer.standing import Cause, Standing, standing
from shared import clock
from shared.contracts.values import Bucket
from shared.store import Store

LOOK: Final = 30  # seconds between two looks whether the viewer is still signed in
LONGEST: Final = 600  # seconds of one stream; the browser then begins another
_BY_NATURE: Final = tuple(bucket for bucket in Bucket if bucket not in (Bucket.ACTIVE, *SETTLED))


class Told(Struct, frozen=True, kw_only=True):
    """A cause as it is shown: how many mailboxes, what it is called and what to do. `waiting`: they are read still."""

    bucket: Bucket
    reason: str
    count: int
    advice: Advice
    waiting: bool = False


async def show(request: web.Request) -> web.StreamResponse:
    """GET /setup/status."""
    found = await standing(place_of(request).store, visit_of(request).org_id, now=clock.now())
    request[ORG] = found.org
    match phases.phase(found):
        case Phase.NONE:
            return away(request, "/setup/connect")
        case Phase.LEAVING | Phase.LEFT:
            return away(request, "/setup/disconnect")
        case phase:
            return await page(request, "status.html", values(found, phase), tab="status")


def values(found: Standing, phase: Phase) -> dict[str, Any]:
    """Return what the page shows."""
    far = phases.progress(found)
    return {
        "found": found,
        "phase": phase.value,
        "far": far,
        "figures": figures(found, far),
        "mark": mark(found),
        "problems": problems(found),
        "others": others(found),
        "search": _search(found),
        "final": found.org is not None and found.org.reason in FINAL,
        "pieces": pieces,
        "number": number,
        "query": query,
    }


def problems(found: Standing) -> tuple[Told, ...]:
    """Return what keeps mailboxes from being read, the most frequent first, then what some wait for."""
    causes = tuple(_told(cause) for cause in found.causes if cause.bucket in SETTLED)
    waits = tuple(
        Told(bucket=Bucket.ACTIVE, reason=word, count=count, advice=advise(Bucket.ACTIVE, word), waiting=True)
        for word, count in sorted(found.waiting.items(), key=lambda item: (-item[1], item[0]))
    )
    return causes + waits


def others(found: Standing) -> tuple[Told, ...]:
    """Return the causes for which objects of the directory are not read by right."""
    return tuple(_told(cause) for cause in found.causes if cause.bucket in _BY_NATURE)


def query(one: Told) -> str:
    """Return the query that leads to a cause's mailboxes."""
    if one.waiting:
        return urlencode({"waiting": "yes"})
    return urlencode({"bucket": one.bucket.value} | ({"reason": one.reason} if one.reason else {}))


def figures(found: Standing, far: Progress) -> dict[str, str]:
    """Return what changes while somebody looks, in words."""
    key = "status.progress.searching" if far.searching else "status.progress"
    wrong = found.in_bucket(*SETTLED)
    return {
        "progress": text(key, done=number(far.done), found=number(far.found)),
        "percent": text("status.percent", percent=far.percent),
        "rate": text("status.rate", rate=number(far.per_minute)) if far.per_minute else text("status.rate.unknown"),
        "ends": "" if far.ends_at is None else clock.moment(far.ends_at),
        "read": number(found.read),
        "wrong": number(wrong),
        "waiting": number(sum(found.waiting.values())),
        "left": number(sum(found.left.values())),
    }


def mark(found: Standing) -> str:
    """Return a word that changes with what the page says beside its figures, and tells nothing by itself."""
    org = found.org
    told = (org and (org.state, org.reason, org.pending, org.generation), problems(found), found.search, _done(found))
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:16]


def _done(found: Standing) -> tuple[str, ...]:
    return found.purge.done if found.purge is not None else ()


def event(look: Look) -> Mapping[str, Any]:
    """Return what a viewer is told of a look."""
    far = phases.progress(look.found, look.samples)
    return {
        "phase": phases.phase(look.found).value,
        "mark": mark(look.found),
        "percent": far.percent,
        "figures": figures(look.found, far),
    }


async def events(request: web.Request) -> web.StreamResponse:
    """GET /setup/status/events: how the org stands, again whenever it is looked at."""
    visit = visit_of(request)
    try:
        async with watches_of(request).watching(visit.org_id) as watch, streaming(request) as stream:
            await _tell(stream, watch, store=place_of(request).store, visit=visit)
    except TooManyViewers:
        raise web.HTTPTooManyRequests(headers={"Retry-After": "30"}) from None
    return stream.response


async def _tell(stream: Stream, watch: Watch, *, store: Store, visit: Visit) -> None:
    """Tell of every look, until the viewer has signed out, is gone, or has listened for long."""
    ticks = asyncio.get_running_loop().time
    end, checked, seen = ticks() + LONGEST, ticks(), watch.look_anew()
    while ticks() < end and not watch.closed:
        look = await watch.news(seen, seconds=HEARTBEAT)
        if ticks() - checked >= LOOK:
            if not await sessions.is_open(store, visit.session_hash, now=clock.now()):
                return
            checked = ticks()
        if look is None:
            await stream.beat()
        else:
            seen = look.number
            await stream.send("standing", event(look))


def _told(cause: Cause) -> Told:
    advice = advise(cause.bucket, cause.reason)
    return Told(bucket=cause.bucket, reason=cause.reason, count=cause.count, advice=advice)


def _search(found: Standing) -> Advice | None:
    """Return what is told of the last search's trouble."""
    if found.search is None or not found.search.error or found.search.held:
        return None
    return advise(Bucket.ACTIVE, found.search.error)


def number(count: int) -> str:
    """Write a number for people: a narrow space between thousands, as ISO 80000 has it."""
    return f"{count:,}".replace(",", "\u202f")


ROUTES: Final = (
    web.get("/setup/status", show),
    web.get("/setup/status/events", events, allow_head=False),
)
