"""Admin consent, both endpoints: answered at once with yes, or with no where control ordered a refusal."""

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from deploy.sandbox.aadsts import SHARED, Denied, described, tenant_named
from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.directory import Tenant
from deploy.sandbox.state import App, Grant, State
from shared.contracts.values import Instant

_REFUSAL_V1 = {"error": "permission_denied", "error_description": "The admin canceled the request"}


def answer(state: State, ask: Ask, name: str, *, second: bool) -> Answer:
    """Answer GET /{tenant}/adminconsent or, `second`, /{tenant}/v2.0/adminconsent with a redirect.

    A yes grants what the app asks for. Raises Denied where the request itself is wrong: nobody is redirected then.
    """
    given = ask.parameters()
    app = _app(state, given)
    tenant = _tenant(state, name, given, second=second)
    if state.consent_refused:
        said = _refusal(state.clock()) if second else _REFUSAL_V1
    else:
        state.grants[app.client_id, tenant.tenant_id] = Grant(roles=app.roles)
        said = {"admin_consent": "True", "tenant": tenant.tenant_id}
        said |= {"scope": given["scope"]} if second else {}
    said = said | ({"state": given["state"]} if "state" in given else {})
    target = given["redirect_uri"]
    mark = "&" if urlsplit(target).query else "?"
    return Answer(status=302, headers={"Location": f"{target}{mark}{urlencode(said)}"})


def _app(state: State, given: Mapping[str, str]) -> App:
    client_id = given.get("client_id", "")
    app = state.apps.get(client_id.lower())
    if app is None:
        raise Denied(700016, f"Application with identifier '{client_id}' was not found.", error="unauthorized_client")
    target = given.get("redirect_uri", "")
    if not urlsplit(target).scheme or (app.redirect_uris and target not in app.redirect_uris):
        raise Denied(50011, "The redirect URI in the request does not match those of the application.")
    return app


def _tenant(state: State, name: str, given: Mapping[str, str], *, second: bool) -> Tenant:
    """Return the tenant that consents; the shared names stand for the first one, where the endpoint takes them."""
    if second and not given.get("scope"):
        raise Denied(900144, "The request must contain the following parameter: 'scope'.")
    if name.lower() not in SHARED:
        return tenant_named(state, name)
    if second and name.lower() != "organizations":
        raise Denied(90002, f"Tenant '{name}' is not supported here.")
    return next(iter(state.tenants.values()))


def _refusal(now: Instant) -> dict[str, str]:
    """Return v2's refusal; it says admin_consent=True all the same."""
    words = "AADSTS65004: The resource owner or authorization server denied the request."
    said = described(words, now, trace=str(uuid4()), correlation=str(uuid4()))
    return {"admin_consent": "True", "error": "consent_required", "error_description": said}
