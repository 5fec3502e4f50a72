"""Pages: an Exchange server is described, tried step by step, and connected as it was tried."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

import msgspec
from aiohttp import web

from services.authorizer.address_lists import addresses, decoded
from services.authorizer.console import drafts, exchange_form, exchange_guide, exchange_trials
from services.authorizer.console.events import streaming
from services.authorizer.console.exchange_form import FIELDS, SECRETS, Reading
from services.authorizer.console.exchange_trials import LONGEST, TRIALS, Tested
from services.authorizer.console.forms import Form, form
from services.authorizer.console.limits import TESTS, spend
from services.authorizer.console.place import place_of, visit_of
from services.authorizer.console.rendering import TEMPLATES, away, org_of, page
from services.authorizer.console.texts import text
from services.authorizer.console.watching import TooManyViewers
from services.authorizer.console.wording import pieces
from shared import clock, clouds
from shared.connections import credential_of
from shared.contracts.messages import EwsConnection
from shared.contracts.policy import Policy
from shared.ews.credential import EwsCredential
from shared.vault import VaultError

HERE: Final = "/setup/connect/exchange"
_TEST: Final = f"{HERE}/test"
_FORM: Final = "exchange_form"  # the kind of draft that has problems
_AGAIN: Final = 2  # seconds until a browser without script looks again
_BLANK: Final[Mapping[str, str]] = {**dict.fromkeys(FIELDS, ""), "find": "address", "cloud": "global"}
_SAID: Final[Mapping[str, str]] = {
    "saved": "exchange.saved",
    "untested": "notice.warn.exchange_untested",
    "overtaken": "notice.warn.overtaken",
    "leaving": "notice.warn.leaving",
}


async def show(request: web.Request) -> web.Response:
    """GET: the form, as it was filled in last, or as the org is connected; and the preparation beside it."""
    place = place_of(request)
    values, problems = await _filled(request)
    told = {name: request.query.get(f"guide_{name}", "") for name in ("account", "domain", "group")}
    known = exchange_guide.names(values, told, product=place.settings.product, egress=place.settings.egress)
    given = {
        "values": values,
        "problems": problems,
        "cloud_options": [(name, text(f"microsoft.cloud.{name}")) for name in _clouds(request)],
        "names": known,
        "placeholders": exchange_guide.has_placeholders(known),
        "stages": exchange_guide.stages(known),
        "listing": exchange_guide.listing(),
    }
    return await page(request, "exchange.html", given, tab="connection")


async def begin(request: web.Request) -> web.Response:
    """POST: try the server that the form describes; each time is a sign-in, so they are counted."""
    place, visit = place_of(request), visit_of(request)
    reading = _read(await form(request), clouds=_clouds(request))
    if reading.connection is None or reading.credential is None:
        body = msgspec.json.encode((reading.values, reading.problems))
        draft_id = await drafts.keep(place, visit, _FORM, body, now=clock.now())
        return away(request, f"{HERE}?draft={draft_id}")
    spend(request, TESTS)
    org = await org_of(request)
    tested = Tested(
        connection=reading.connection,
        credential=reading.credential,
        detail=(org.policy if org else Policy()).detail,
    )
    trial_id = await exchange_trials.begin(place, visit, request.app[TRIALS], tested)
    return away(request, f"{_TEST}?id={trial_id}")


async def test(request: web.Request) -> web.Response:
    """GET: how far a test is. A browser without script looks again by itself until it has ended."""
    trial_id = request.query.get("id", "")
    given = await _standing(request, trial_id)
    if given is None:
        return away(request, HERE, notice="notice.warn.exchange_untested")
    return await page(request, "exchange_test.html", {**given, "again": _AGAIN}, tab="connection")


async def events(request: web.Request) -> web.StreamResponse:
    """GET: a test's progress as server-sent events, each the part of the page that shows it, until it has ended."""
    trial_id = request.query.get("id", "")
    if await exchange_trials.progress(place_of(request), visit_of(request), trial_id) is None:
        raise web.HTTPNotFound
    try:
        with request.app[TRIALS].viewed(visit_of(request).org_id):
            return await _told(request, trial_id)
    except TooManyViewers:
        raise web.HTTPTooManyRequests(headers={"Retry-After": "30"}) from None


async def _told(request: web.Request, trial_id: str) -> web.StreamResponse:
    part = request.app[TEMPLATES].get_template("exchange_steps.html")
    shared = {"csrf": visit_of(request).csrf, "settings": place_of(request).settings}
    watched = exchange_trials.watched(place_of(request), visit_of(request), trial_id)
    async with streaming(request) as stream, aclosing(watched):
        async for _ in watched:
            given = await _standing(request, trial_id)
            if given is None:
                break
            await stream.send("part", part.render(given, **shared))
        await stream.send("end", "")
    return stream.response


async def save(request: web.Request) -> web.Response:
    """POST: connect as it was tried."""
    said = await exchange_trials.save(place_of(request), visit_of(request), (await form(request)).get("test"))
    return away(request, HERE if said == "untested" else "/setup", notice=_SAID[said])


async def _standing(request: web.Request, trial_id: str) -> dict[str, Any] | None:
    """Return what a template needs to show a trial, None where there is none in this session."""
    place, visit = place_of(request), visit_of(request)
    progress = await exchange_trials.progress(place, visit, trial_id)
    if progress is None:
        return None
    return {
        "progress": progress,
        "steps": [(step, pieces(step.sentence)) for step in progress.steps],
        "trial_id": trial_id,
        "longest": LONGEST,
    }


def _read(given: Form, *, clouds: tuple[str, ...]) -> Reading:
    """Return what a form means; a file of addresses takes the place of those typed."""
    values = {name: given.get(name) for name in FIELDS} | {name: given.exactly(name) for name in SECRETS}
    uploaded = given.files.get("list_file", b"")
    try:
        if uploaded:
            values["list"] = "\n".join(addresses(decoded(uploaded)))
    except ValueError:
        reading = exchange_form.read(values, clouds=clouds)
        problems = {**reading.problems, "list_file": "exchange.wrong.list_file"}
        return Reading(values=reading.values, problems=problems)
    return exchange_form.read(values, clouds=clouds)


async def _filled(request: web.Request) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the form's values and problems: of a draft, of a test, or of the connection in force."""
    place, visit = place_of(request), visit_of(request)
    if draft_id := request.query.get("draft", ""):
        body = await drafts.kept(place, visit, _FORM, draft_id, now=clock.now())
        if body is not None:
            return msgspec.json.decode(body, type=tuple[dict[str, str], dict[str, str]])
    if trial_id := request.query.get("test", ""):
        tested = await exchange_trials.tested(place, visit, trial_id)
        if tested is not None:
            return exchange_form.values_of(tested.connection, tested.credential), {}
    org = await org_of(request)
    if org is not None and isinstance(org.connection, EwsConnection):
        return exchange_form.values_of(org.connection, await _credential(request, org.connection)), {}
    return _BLANK, {}


async def _credential(request: web.Request, connection: EwsConnection) -> EwsCredential | None:
    """Return the credential in force, for the names in it; None where it is gone or of another sort."""
    place = place_of(request)
    try:
        return await credential_of(place.store, place.vault, connection.credential, EwsCredential)
    except VaultError:
        return None


def _clouds(request: web.Request) -> tuple[str, ...]:
    """Return the clouds that an app may sign in at here; the sandbox only where an operator set one."""
    with_sandbox = bool(place_of(request).desk.sandbox_url)
    return tuple(name for name in clouds.NAMES if name != clouds.SANDBOX or with_sandbox)


ROUTES: Final[tuple[web.RouteDef, ...]] = (
    web.get(HERE, show),
    web.post(_TEST, begin),
    web.get(_TEST, test),
    web.get(f"{_TEST}/events", events, allow_head=False),
    web.post(HERE, save),
)
