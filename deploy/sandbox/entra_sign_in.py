"""Signing a person in: the authorize endpoint with its page, and what a code is worth at the token endpoint.

It knows response_type=code in the query with PKCE (S256); what else Entra offers is refused.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import msgspec

from deploy.sandbox import entra_pages
from deploy.sandbox.aadsts import SHARED, Denied, described, tenant_named
from deploy.sandbox.answers import Answer, Ask, parameters
from deploy.sandbox.personas import Persona, personas
from deploy.sandbox.sign_ins import CODE_LIFETIME, Code, Misstep, Step
from deploy.sandbox.state import App, State
from deploy.sandbox.tokens import Signer, encode
from shared.contracts.values import Instant

_LIFETIME = 3600  # seconds an ID token lives
_NO_SESSION = "Session information is not sufficient for single-sign-on."


def answer(state: State, ask: Ask, name: str) -> Answer:
    """Answer GET and POST /{tenant}/oauth2/v2.0/authorize: the page of accounts, or the redirect with a code.

    Raises Denied where the request itself is wrong: nobody is redirected then.
    """
    given = ask.parameters()
    app = registered(state, given)
    _check(given)
    people = everybody(state, first=name, hint=given.get("login_hint", ""))
    misstep = state.sign_ins.strike(Step.SIGN_IN)
    if misstep is not None:
        return _back(given, told(misstep, state.clock()))
    if given.get("prompt") == "none":
        wanted = Misstep(step=Step.SIGN_IN, error="login_required", code=50058, message=_NO_SESSION)
        return _back(given, told(wanted, state.clock()))
    form = parameters(ask.body.decode("utf-8", "replace")) if ask.method == "POST" else {}
    if form.get("cancel"):
        said = {"error": "access_denied", "error_subcode": "cancel"}
        return _back(given, said | {"error_description": "the user canceled the authentication"})
    persona = next((one for one in people if one.oid == form.get("persona")), None)
    if persona is None:
        return entra_pages.choose(ask, app.name, people)
    return _back(given, _coded(state, given, persona))


def registered(state: State, given: Mapping[str, str]) -> App:
    """Return the app of a request of a browser. Raises Denied for an unknown one, or an address that is not its own."""
    client_id = given.get("client_id", "")
    app = state.apps.get(client_id.lower())
    if app is None:
        raise Denied(700016, f"Application with identifier '{client_id}' was not found.", error="unauthorized_client")
    target = given.get("redirect_uri", "")
    if not urlsplit(target).scheme or (app.redirect_uris and target not in app.redirect_uris):
        raise Denied(50011, "The redirect URI in the request does not match those of the application.")
    return app


def everybody(state: State, *, first: str, hint: str = "") -> list[Persona]:
    """Return all personas: whom the hint names first, then those of the tenant named. Raises Denied."""
    wanted = "" if first.lower() in SHARED else tenant_named(state, first).tenant_id
    people = [persona for tenant in state.tenants.values() for persona in personas(tenant)]
    return sorted(people, key=lambda one: (one.upn != hint, one.tenant_id != wanted))


def told(misstep: Misstep, now: Instant) -> dict[str, str]:
    """Return the parameters of a redirect that tells of an error."""
    words = f"AADSTS{misstep.code}: {misstep.message}" if misstep.code else misstep.message
    said = described(words, now, trace=str(uuid4()), correlation=str(uuid4()))
    return {"error": misstep.error, "error_description": said}


def redirected(target: str, said: Mapping[str, str]) -> Answer:
    """Return the redirect to an address with parameters added."""
    mark = "&" if urlsplit(target).query else "?"
    return Answer(status=302, headers={"Location": f"{target}{mark}{urlencode(said)}"})


def _back(given: Mapping[str, str], said: Mapping[str, str]) -> Answer:
    state = {"state": given["state"]} if "state" in given else {}
    return redirected(given["redirect_uri"], {**said, **state})


def _check(given: Mapping[str, str]) -> None:
    for name in ("response_type", "scope"):
        if not given.get(name):
            raise Denied(900144, f"The request must contain the following parameter: '{name}'.")
    if given["response_type"] != "code" or given.get("response_mode", "query") != "query":
        raise Denied(700051, "The response type is not enabled for the application.", error="unsupported_response_type")
    if given.get("code_challenge") and given.get("code_challenge_method") != "S256":
        raise Denied(501491, "The code_challenge_method is not supported; use S256.")


def _coded(state: State, given: Mapping[str, str], persona: Persona) -> dict[str, str]:
    code = secrets.token_urlsafe(48)
    state.sign_ins.last = persona
    state.sign_ins.codes[code] = Code(
        persona=persona,
        client_id=given["client_id"].lower(),
        redirect_uri=given["redirect_uri"],
        challenge=given.get("code_challenge", ""),
        nonce=given.get("nonce", ""),
        expires=state.clock() + CODE_LIFETIME,
    )
    info = msgspec.json.encode({"uid": persona.oid, "utid": persona.tenant_id})
    asked = {"client_info": encode(info)} if given.get("client_info") == "1" else {}
    return {"code": code, **asked, "session_state": str(uuid4())}


def redeemed(state: State, form: Mapping[str, str], *, base: str, tenant: str) -> dict[str, Any]:
    """Return what a code is worth to an app that has proved itself: an ID token and an access token. Raises Denied."""
    misstep = state.sign_ins.strike(Step.TOKEN)
    if misstep is not None:
        raise Denied(misstep.code, misstep.message, error=misstep.error)
    now = state.clock()
    code = _taken(state, form, now=now)
    if tenant.lower() not in SHARED and tenant_named(state, tenant).tenant_id != code.persona.tenant_id:
        raise _invalid(700005, "The provided authorization code is intended to use against another tenant.")
    token = _signed(state, _id_claims(state, code, base=base, now=now))
    access = state.signer.sign({"aud": base, "tid": code.persona.tenant_id, "oid": code.persona.oid, "scp": "openid"})
    said = {"token_type": "Bearer", "scope": "openid profile", "expires_in": _LIFETIME, "ext_expires_in": _LIFETIME}
    return said | {"access_token": access, "id_token": token}


def _taken(state: State, form: Mapping[str, str], *, now: Instant) -> Code:
    sign_ins = state.sign_ins
    given = form.get("code", "")
    if given in sign_ins.redeemed:
        raise _invalid(54005, "OAuth2 authorization code was already redeemed.")
    code = sign_ins.codes.pop(given, None)
    if code is None:
        raise _invalid(9002313, "The authorization code is malformed or not known.")
    sign_ins.redeemed.add(given)
    if code.expires <= now:
        raise _invalid(70008, "The provided authorization code has expired.")
    if form["client_id"].lower() != code.client_id:
        raise _invalid(700003, "The authorization code was issued to another application.")
    if form.get("redirect_uri") != code.redirect_uri:
        raise _invalid(500112, "The reply address does not match the one of the authorization request.")
    hashed = encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
    if code.challenge and not hmac.compare_digest(hashed, code.challenge):
        raise _invalid(501481, "The code_verifier does not match the code_challenge of the authorization request.")
    return code


def _invalid(number: int, message: str) -> Denied:
    return Denied(number, message, error="invalid_grant")


def _id_claims(state: State, code: Code, *, base: str, now: Instant) -> dict[str, Any]:
    persona, spoiling = code.persona, state.sign_ins.spoiling
    said: dict[str, Any] = {
        "ver": "2.0",
        "iss": f"{base}/{persona.tenant_id}/v2.0",
        "aud": code.client_id,
        "sub": encode(hashlib.sha256(f"{code.client_id}/{persona.oid}".encode()).digest()),
        "tid": persona.tenant_id,
        "oid": persona.oid,
        "name": persona.title,
        "preferred_username": persona.upn,
        "wids": list(persona.wids),
        "iat": now,
        "nbf": now,
        "exp": now + _LIFETIME,
        "uti": uuid4().hex,
    }
    said |= {"nonce": code.nonce} if code.nonce else {}
    return {name: value for name, value in (said | spoiling.claims).items() if name not in spoiling.without}


@cache
def _stranger() -> Signer:
    """Return a signer whose key is not the tenants'."""
    return Signer()


def _signed(state: State, claims: dict[str, Any]) -> str:
    """Sign with the tenants' key or, where that is ordered, with another one under the name of theirs."""
    signer = _stranger() if state.sign_ins.spoiling.foreign_key else state.signer
    return signer.sign(claims, key_id=state.signer.key_id)
