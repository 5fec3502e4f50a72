"""Pages: what is read and shown of an org, with a preview of every change, which alone can put it in force."""

import hashlib
import hmac
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec
from aiohttp import web

from services.authorizer import orgs, policy_previewing
from services.authorizer.console import drafts, policy_form, policy_words
from services.authorizer.console.forms import form
from services.authorizer.console.place import Visit, place_of, visit_of
from services.authorizer.console.policy_form import FIELDS, STATUSES, WORDS
from services.authorizer.console.rendering import away, org_of, page
from services.authorizer.console.sessions import proves
from services.authorizer.console.texts import text
from services.authorizer.orgs import OrgState
from shared import clock
from shared.connections import IN_FORCE
from shared.contracts.messages import EwsConnection
from shared.contracts.policy import Policy
from shared.contracts.values import Status
from shared.errors import Retry

HERE: Final = "/setup/settings"
_PREVIEW: Final = f"{HERE}/preview"
_FORM: Final = "policy_form"  # kinds of drafts: what is wrong, and what is proposed
_PROPOSED: Final = "policy"
_SEAL: Final = "setup policy preview v1"


async def show(request: web.Request) -> web.Response:
    """GET: the settings in force, or as they were filled in last."""
    org = await _in_force(request)
    if org is None:
        return _elsewhere(request)
    values, problems = await _filled(request, org)
    given = {
        "values": values,
        "problems": problems,
        "by_address": isinstance(org.connection, EwsConnection),
        "window": _dates(org.policy),
        "statuses": {word: _choices(values[word]) for word in WORDS},
        "limits": policy_form.DAYS,
    }
    return await page(request, "policy.html", given, tab="settings")


async def propose(request: web.Request) -> web.Response:
    """POST: settings as they might be; on to their preview, or back to what is wrong with them."""
    org = await _in_force(request)
    if org is None:
        return _elsewhere(request)
    given, place, visit, now = await form(request), place_of(request), visit_of(request), clock.now()
    values = {name: given.get(name) for name in FIELDS}
    reading = policy_form.read(values, org.policy, by_address=isinstance(org.connection, EwsConnection))
    if reading.policy is None:
        body = msgspec.json.encode((reading.values, reading.problems))
        return away(request, f"{HERE}?draft={await drafts.keep(place, visit, _FORM, body, now=now)}")
    draft_id = await drafts.keep(place, visit, _PROPOSED, msgspec.json.encode(reading.policy), now=now)
    return away(request, f"{_PREVIEW}?id={draft_id}")


async def preview(request: web.Request) -> web.Response:
    """GET: what the settings proposed would change of what is in force now."""
    org, draft_id = await _in_force(request), request.query.get("id", "")
    if org is None:
        return _elsewhere(request)
    proposed = await _proposed(request, draft_id)
    if proposed is None:
        return away(request, HERE, notice="notice.warn.policy_gone")
    place, visit = place_of(request), visit_of(request)
    found = await policy_previewing.figured(place.store, org, proposed, now=clock.now())
    given = {
        "changes": policy_words.changes(found),
        "effects": policy_words.effects(found.figures, stricter=found.stricter),
        "nobody": policy_words.nobody_stays(found.figures),
        "stricter": found.stricter,
        "unread": found.unread,
        "draft_id": draft_id,
        "seal": _seal(visit, draft_id, proposed, org.generation, place.vault.derived(_SEAL)[0]),
    }
    return await page(request, "policy_preview.html", given, tab="settings")


async def save(request: web.Request) -> web.Response:
    """POST: put in force what was previewed, if it is still what the preview compared."""
    org, given = await _in_force(request), await form(request)
    if org is None:
        return _elsewhere(request)
    place, visit, draft_id = place_of(request), visit_of(request), given.get("draft")
    proposed = await _proposed(request, draft_id)
    if proposed is None:
        return away(request, HERE, notice="notice.warn.policy_gone")
    made = partial(_seal, visit, draft_id, proposed, org.generation)
    if not proves(place.vault, _SEAL, given.get("seal"), made):
        return away(request, f"{_PREVIEW}?id={draft_id}", notice="notice.warn.policy_moved")
    return away(request, HERE, notice=await _put_in_force(request, draft_id, proposed))


async def _put_in_force(request: web.Request, draft_id: str, proposed: Policy) -> str:
    """Change the policy and return the key of what is said of it."""
    place, visit, now = place_of(request), visit_of(request), clock.now()
    try:
        heard = await orgs.change_policy(place.store, visit.org_id, proposed, actor=visit.actor, now=now)
    except Retry:
        return "notice.warn.leaving"
    await drafts.taken(place, visit, _PROPOSED, draft_id, now=now)
    place.wakes.verify.set()
    place.wakes.enumerate.set()
    return "policy.saved" if heard else "notice.warn.overtaken"


async def _in_force(request: web.Request) -> OrgState | None:
    """Return the org, None where it has no policy in force."""
    org = await org_of(request)
    return org if org is not None and org.state in IN_FORCE else None


def _elsewhere(request: web.Request) -> web.Response:
    return away(request, "/setup/connect", notice="notice.warn.policy_later")


async def _proposed(request: web.Request, draft_id: str) -> Policy | None:
    body = await drafts.kept(place_of(request), visit_of(request), _PROPOSED, draft_id, now=clock.now())
    return None if body is None else msgspec.json.decode(body, type=Policy)


async def _filled(request: web.Request, org: OrgState) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the form's values and what is wrong with them: of a draft, of a proposal, or of what is in force."""
    draft_id = request.query.get("draft", "")
    body = await drafts.kept(place_of(request), visit_of(request), _FORM, draft_id, now=clock.now())
    if body is not None:
        values, problems = msgspec.json.decode(body, type=tuple[dict[str, str], dict[str, str]])
        return values, problems
    proposed = await _proposed(request, request.query.get("proposed", ""))
    return policy_form.values_of(proposed or org.policy), {}


def _choices(chosen: str) -> list[tuple[str, str]]:
    """Return the statuses that a word may be shown as, each with its text; one that is chosen already is among them."""
    usual = [status.value for status in STATUSES]
    others = [status.value for status in Status if status.value == chosen and chosen not in usual]
    return [(word, text(f"policy.status.{word}")) for word in (*usual, *others)]


def _dates(policy: Policy) -> tuple[str, str] | None:
    """Return the fixed span of a policy as it is written for people, None where it moves."""
    return None if policy.window is None else policy_words.dates(policy.window)


def _seal(visit: Visit, draft_id: str, proposed: Policy, generation: int, key: bytes) -> str:
    """Return what proves that a preview was of just these settings, against what is in force."""
    said: tuple[Any, ...] = (visit.session_hash, visit.org_id, draft_id, generation, proposed)
    return hmac.digest(key, msgspec.json.encode(said), hashlib.sha256).hex()


ROUTES: Final[tuple[web.RouteDef, ...]] = (
    web.get(HERE, show),
    web.post(_PREVIEW, propose),
    web.get(_PREVIEW, preview),
    web.post(HERE, save),
)
