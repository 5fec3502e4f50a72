"""Admin consent, both endpoints: answered at once, or on a page by a person who may; refused where that was ordered."""

from collections.abc import Mapping
from uuid import uuid4

from deploy.sandbox import entra_pages
from deploy.sandbox.aadsts import SHARED, Denied, described, tenant_named
from deploy.sandbox.answers import Answer, Ask, parameters
from deploy.sandbox.directory import Tenant
from deploy.sandbox.entra_sign_in import everybody, redirected, registered, told
from deploy.sandbox.personas import Persona
from deploy.sandbox.sign_ins import Step
from deploy.sandbox.state import App, Grant, State
from shared.contracts.values import Instant

_REFUSAL_V1 = {"error": "permission_denied", "error_description": "The admin canceled the request"}


def answer(state: State, ask: Ask, name: str, *, second: bool) -> Answer:
    """Answer /{tenant}/adminconsent or, `second`, /{tenant}/v2.0/adminconsent with a redirect, or a page before it.

    A yes grants what the app asks for. Raises Denied where the request itself is wrong: nobody is redirected then.
    """
    given = ask.parameters()
    app = registered(state, given)
    tenant = _tenant(state, name, given, second=second)
    misstep = state.sign_ins.strike(Step.CONSENT)
    if misstep is not None:
        said = {"admin_consent": "True"} if second else {}
        return _back(given, said | told(misstep, state.clock()))
    if state.consent_refused:
        return _back(given, _refusal(state.clock(), second=second))
    if not state.sign_ins.interactive:
        return _granted(state, app, tenant.tenant_id, given, second=second)
    return _asked(state, ask, app, everybody(state, first=name), second=second)


def _asked(state: State, ask: Ask, app: App, people: list[Persona], *, second: bool) -> Answer:
    """Show the page, or act on what was answered there. The tenant is that of whoever answers, whatever was asked for.

    Entra keeps to the tenant that the path names; here a consent for another one shows what an app makes of it.
    """
    given = ask.parameters()
    form = parameters(ask.body.decode("utf-8", "replace")) if ask.method == "POST" else {}
    if form.get("answer") == "cancel":
        return _back(given, _refusal(state.clock(), second=second))
    last = state.sign_ins.last or people[0]
    persona = next((one for one in people if one.oid == form.get("persona")), None)
    if persona is None or form.get("answer") != "accept":
        return entra_pages.consent(ask, app.name, app.roles, people, chosen=last.oid)
    if not persona.may_consent:
        return entra_pages.approval(ask, app.name)
    return _granted(state, app, persona.tenant_id, given, second=second)


def _granted(state: State, app: App, tenant_id: str, given: Mapping[str, str], *, second: bool) -> Answer:
    state.grants[app.client_id, tenant_id] = Grant(roles=app.roles)
    said = {"admin_consent": "True", "tenant": tenant_id}
    return _back(given, said | ({"scope": given["scope"]} if second else {}))


def _back(given: Mapping[str, str], said: Mapping[str, str]) -> Answer:
    state = {"state": given["state"]} if "state" in given else {}
    return redirected(given["redirect_uri"], {**said, **state})


def _tenant(state: State, name: str, given: Mapping[str, str], *, second: bool) -> Tenant:
    """Return the tenant that consents; the shared names stand for the first one, where the endpoint takes them."""
    if second and not given.get("scope"):
        raise Denied(900144, "The request must contain the following parameter: 'scope'.")
    if name.lower() not in SHARED:
        return tenant_named(state, name)
    if second and name.lower() != "organizations":
        raise Denied(90002, f"Tenant '{name}' is not supported here.")
    return next(iter(state.tenants.values()))


def _refusal(now: Instant, *, second: bool) -> dict[str, str]:
    """Return a refusal; v2's says admin_consent=True all the same."""
    if not second:
        return _REFUSAL_V1
    words = "AADSTS65004: The resource owner or authorization server denied the request."
    said = described(words, now, trace=str(uuid4()), correlation=str(uuid4()))
    return {"admin_consent": "True", "error": "consent_required", "error_description": said}
