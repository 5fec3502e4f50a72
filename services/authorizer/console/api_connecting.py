"""The JSON API that connects an org: the way to Microsoft for its admin; an Exchange server tried, then saved.

It keeps to the page's own rules: what was not tried, or did not pass, is not saved.
"""

from collections.abc import Mapping
from typing import Final

from services.authorizer.console import exchange_form, exchange_trials, limits, links
from services.authorizer.console.api_calls import Call
from services.authorizer.console.api_connections import (
    Entrance,
    ExchangeAsked,
    ExchangeSaved,
    StepTold,
    TestAsked,
    TestTold,
)
from services.authorizer.console.api_problems import Problem, invalid
from services.authorizer.console.exchange_form import AUTODISCOVER, ON
from services.authorizer.console.exchange_trials import TRIALS, Progress, Tested
from services.authorizer.console.microsoft_rules import choices
from services.authorizer.console.rendering import org_of
from services.authorizer.console.texts import text
from services.authorizer.preflight import Step
from shared.clouds import NAMES, SANDBOX
from shared.contracts.policy import Policy

_MICROSOFT: Final = "/setup/connect/microsoft"
_MEMBERS: Final = {  # of a form's field in the body
    "url": "server",
    "with_group": "groups",
    "with_list": "addresses",
    "list": "addresses",
    "with_ldap": "ldap",
    "ldap_url": "ldap.url",
    "ldap_base": "ldap.base",
    "ldap_group": "ldap.group",
    "ldap_user": "ldap.username",
    "ldap_password": "ldap.password",
}
_REFUSED: Final = {
    "untested": "There is no test of this id that passed and was not saved yet.",
    "overtaken": "A later word about this organisation's connection counts already.",
    "leaving": "This organisation is being disconnected: connect it again once there is a receipt.",
}


async def entrance(call: Call) -> Entrance:
    """Return where the admin's browser is sent; whoever calls by a link gets one for the browser, as long-lived."""
    settings, visit = call.place.settings, call.visit
    if visit.csrf:  # a browser's session: it is signed in there already
        return Entrance(url=f"{settings.public_url}{_MICROSOFT}", expires_at=None)
    begun, url = visit.created_at, settings.public_url
    token = links.signed(visit.org_id, visit.actor, key=settings.link_keys[0], public_url=url, now=begun)
    return Entrance(url=links.address(token, url), expires_at=begun + links.LONGEST)


async def test(call: Call) -> TestTold:
    """Begin to try the server that the body describes. Raises Problem for what is wrong with it."""
    reading = exchange_form.read(fields(call.body), clouds=_clouds(call))
    if reading.connection is None or reading.credential is None:
        name, key = next(iter(reading.problems.items()))
        raise invalid(_MEMBERS.get(name, name), text(key))
    limits.spend(call.request, limits.TESTS)
    org = await org_of(call.request)
    detail = (org.policy if org is not None else Policy()).detail
    tested = Tested(connection=reading.connection, credential=reading.credential, detail=detail)
    test_id = await exchange_trials.begin(call.place, call.visit, call.request.app[TRIALS], tested)
    return await _told(call, test_id)


async def tested(call: Call) -> TestTold:
    """Return how far a test is. Raises Problem: 404."""
    return await _told(call, call.request.match_info["test_id"])


async def save(call: Call) -> ExchangeSaved:
    """Ask for the org to be connected as it was tried. Raises Problem."""
    asked: TestAsked = call.body
    said = await exchange_trials.save(call.place, call.visit, asked.test_id)
    if said != "saved":
        raise Problem(409, said, detail=_REFUSED[said])
    return ExchangeSaved()


def fields(asked: ExchangeAsked) -> Mapping[str, str]:
    """Return a body as the page's form would have it: one set of rules decides about both."""
    ldap = asked.ldap
    given = {
        "find": "address" if asked.server else AUTODISCOVER,
        "url": asked.server,
        "with_group": ON if asked.groups else "",
        "groups": "\n".join(asked.groups),
        "with_rooms": ON if asked.rooms else "",
        "with_list": ON if asked.addresses else "",
        "list": "\n".join(asked.addresses),
    }
    same = ("auth", "account", "password", "tenant", "client_id", "client_secret", "resource", "cloud", "member")
    given |= {name: getattr(asked, name) for name in (*same, "outsider")}
    if ldap is not None:
        given |= {"with_ldap": ON, "ldap_url": ldap.url, "ldap_base": ldap.base, "ldap_group": ldap.group}
        given |= {"ldap_user": ldap.username, "ldap_password": ldap.password}
    return given


def _clouds(call: Call) -> tuple[str, ...]:
    return choices(NAMES, sandbox=SANDBOX, has_sandbox=bool(call.place.desk.sandbox_url))


async def _told(call: Call, test_id: str) -> TestTold:
    found = await exchange_trials.progress(call.place, call.visit, test_id)
    if found is None:
        raise Problem(404, "test_unknown", detail="There is no such test, or it is more than half an hour old.")
    return told(test_id, found)


def told(test_id: str, found: Progress) -> TestTold:
    """Return a test as the API tells it."""
    steps = tuple(_step(step) for step in found.steps)
    return TestTold(test_id=test_id, ended=found.ended, passed=found.passed, cut=found.cut, steps=steps)


def _step(step: Step) -> StepTold:
    return StepTold(
        name=step.name, title=step.title, ok=step.ok, reason=step.reason, sentence=step.sentence, found=step.found
    )
