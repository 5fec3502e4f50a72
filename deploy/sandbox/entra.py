"""Entra's part: metadata, keys, tokens for apps, sign-in of people and admin consent, with errors in AADSTS form.

It gives app-only tokens for Graph and Exchange, and ID tokens; an app without consent in a tenant is unknown there.
"""

import asyncio
import hmac
import re
from collections.abc import Mapping
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from deploy.sandbox import consent, entra_sign_in
from deploy.sandbox.aadsts import SHARED, Denied, refused, tenant_named
from deploy.sandbox.answers import PLAIN_JSON, Answer, Ask, parameters
from deploy.sandbox.directory import Tenant
from deploy.sandbox.faults import Fault, FaultKind, retry_after, spoilt
from deploy.sandbox.state import App, Grant, State
from deploy.sandbox.tokens import AssertionRefused, Issued, check_assertion, claims
from shared.contracts.values import Instant

EXCHANGE = ("https://outlook.office365.com", "https://outlook.office.com")
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_PATHS = re.compile(
    r"/(?P<tenant>[^/]+)/(?P<what>v2\.0/\.well-known/openid-configuration|discovery/v2\.0/keys|oauth2/v2\.0/token"
    r"|oauth2/v2\.0/authorize|v2\.0/adminconsent|adminconsent)"
)
_KINDS = {"keys": "keys", "token": "token", "authorize": "sign_in", "adminconsent": "consent"}


class _Request(Struct, frozen=True, kw_only=True):
    ask: Ask
    tenant: str
    now: Instant


async def answer(state: State, ask: Ask) -> Answer:
    """Answer one request to Entra. Never raises."""
    found = _PATHS.fullmatch(unquote(ask.path))
    if found is None:
        return Answer(status=404, body=b"", content_type="text/html")
    kind = _KINDS.get(found["what"].rpartition("/")[2], "metadata")
    state.counts.kinds[kind] += 1
    request = _Request(ask=ask, tenant=found["tenant"], now=state.clock())
    try:
        return await _struck(state, request, found["what"])
    except Denied as denied:
        return refused(denied, request.now, ask.headers.get("client-request-id", ""))


async def _struck(state: State, request: _Request, what: str) -> Answer:
    """Answer, wrongly or late where a fault is on order."""
    fault = state.faults.strike(unquote(request.ask.path), named=True) if state.faults.orders else None
    if fault is not None and fault.kind is FaultKind.SLOW:
        await asyncio.sleep(fault.seconds)
    if fault is None or fault.kind is FaultKind.SLOW:
        return _served(state, request, what)
    if fault.kind in {FaultKind.HTML, FaultKind.TRUNCATED}:
        return spoilt(fault, _served(state, request, what))
    if fault.kind is FaultKind.DROP:
        return Answer(dropped=True)
    return _failed(fault, request.now)


def _failed(fault: Fault, now: Instant) -> Answer:
    if fault.code.isdecimal():  # an AADSTS number: the sign-in is refused for this reason
        return refused(Denied(int(fault.code), "Ordered.", error="invalid_grant", status=fault.status), now)
    throttle = fault.kind is FaultKind.THROTTLE
    code, status = (90055, 429) if throttle else (90033, fault.status)
    message = "The request was throttled." if throttle else "A transient error has occurred. Please try again."
    made = refused(Denied(code, message, error="temporarily_unavailable", status=status), now)
    made.headers = retry_after(fault, now) if throttle else {}
    return made


def _served(state: State, request: _Request, what: str) -> Answer:
    if what == "discovery/v2.0/keys":
        return _json(state.signer.jwks())
    if what.endswith("openid-configuration"):
        return _metadata(state, request)
    if what.endswith("adminconsent"):
        second = what.startswith("v2.0")
        return consent.answer(state, request.ask, request.tenant, second=second)
    if what.endswith("authorize"):
        return entra_sign_in.answer(state, request.ask, request.tenant)
    return _token(state, request)


def _json(value: object) -> Answer:
    return Answer(body=msgspec.json.encode(value), content_type=PLAIN_JSON)


def _metadata(state: State, request: _Request) -> Answer:
    shared = request.tenant.lower() in SHARED
    path = request.tenant if shared else tenant_named(state, request.tenant).tenant_id
    base = f"{request.ask.base}/{path}"
    return _json(
        {
            "issuer": f"{request.ask.base}/{'{tenantid}' if shared else path}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "userinfo_endpoint": f"{request.ask.base}/oidc/userinfo",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "subject_types_supported": ["pairwise"],
        }
    )


def _token(state: State, request: _Request) -> Answer:
    form = parameters(request.ask.body.decode("utf-8", "replace"))
    for name in ("grant_type", "client_id"):
        if not form.get(name):
            raise Denied(900144, f"The request body must contain the following parameter: '{name}'.")
    if form["grant_type"] == "authorization_code":
        return _of_person(state, request, form)
    if request.tenant.lower() in SHARED:
        raise Denied(9001023, "The grant type is not supported over the /common or /consumers endpoints.")
    if form["grant_type"] != "client_credentials":
        raise Denied(70003, "The app requested an unsupported grant type.", error="unsupported_grant_type")
    tenant = tenant_named(state, request.tenant)
    app, grant = _granted(state, tenant, form["client_id"])
    _check_credential(app, form, request)
    audience = _audience(form.get("scope", ""), request.ask.base)
    lifetime = state.options.token_lifetime
    issued = Issued(
        tenant_id=tenant.tenant_id,
        client_id=app.client_id,
        roles=grant.roles,
        expires=request.now + lifetime,
        audience=audience,
    )
    token = state.signer.sign(claims(issued, audience=audience, now=request.now))
    state.tokens[token] = issued
    return _json({"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token})


def _of_person(state: State, request: _Request, form: Mapping[str, str]) -> Answer:
    app = state.apps.get(form["client_id"].lower())
    if app is None:
        raise Denied(700016, "Application was not found in the directory.", error="unauthorized_client")
    _check_credential(app, form, request)
    return _json(entra_sign_in.redeemed(state, form, base=request.ask.base, tenant=request.tenant))


def _granted(state: State, tenant: Tenant, client_id: str) -> tuple[App, Grant]:
    app = state.apps.get(client_id.lower())
    grant = state.grants.get((client_id.lower(), tenant.tenant_id))
    if app is None or grant is None:
        message = (
            f"Application with identifier '{client_id}' was not found in the directory '{tenant.domain}'. It has not "
            "been installed by the administrator of the tenant or consented to by any user in the tenant."
        )
        raise Denied(700016, message, error="unauthorized_client")
    if not grant.enabled:
        message = f"Application '{client_id}'({app.name}) is disabled."
        raise Denied(7000112, message, error="unauthorized_client", status=401)
    return app, grant


def _check_credential(app: App, form: Mapping[str, str], request: _Request) -> None:
    def denied(code: int, message: str) -> Denied:
        return Denied(code, message, error="invalid_client", status=401)

    if form.get("client_assertion"):
        if form.get("client_assertion_type") != ASSERTION:
            raise denied(700025, "The client assertion type is not supported.")
        try:
            check_assertion(
                form["client_assertion"],
                app.certificates,
                client_id=app.client_id,
                endpoints=(f"{request.ask.base}/",),
                now=request.now,
            )
        except AssertionRefused as wrong:
            message = f"Client assertion failed signature validation or does not fit. [Reason - {wrong.why}]"
            raise denied(wrong.code, message) from wrong
        return
    secret = form.get("client_secret")
    if not secret:
        message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        raise denied(7000218, message)
    known = [kept for kept in app.secrets if hmac.compare_digest(kept.encode(), secret.encode())]
    if not known:
        raise denied(7000215, f"Invalid client secret provided for app '{app.client_id}'.")
    expires = app.secrets[known[0]]
    if expires is not None and expires <= request.now:
        raise denied(7000222, f"The provided client secret keys for app '{app.client_id}' are expired.")


def _audience(scope: str, base: str) -> str:
    resources = (base, "https://graph.microsoft.com", *EXCHANGE)
    for resource in resources:
        if scope == f"{resource}/.default":
            return resource
    message = f"The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
    raise Denied(70011, message, error="invalid_scope")
