"""Edge: an admin signs in at Microsoft and comes back with a code (OpenID Connect, code flow with PKCE, by msal).

What comes back is believed for its ID token alone, checked against the keys that the sign-in publishes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from msgspec import Struct

from shared.clouds import Cloud
from shared.contracts.values import Instant
from shared.id_tokens import Expected, IdClaims, IdTokenError, checked, nonce_claim
from shared.identity import GraphCredential, IdentityError, application, refused
from shared.token_http import Refused, TokenHttp

R = TypeVar("R")

ANYBODY: Final = "organizations"  # whoever signs in with a work account; the tenant is what the ID token says
_FORM: Final = "form_post"
_PROMPT: Final = "select_account"  # an admin often has several accounts, and the browser would take one


class Threads(Protocol):
    """What is needed of shared.identity.Tokens."""

    async def blocking(self, work: Callable[[TokenHttp], R]) -> R:
        """Run what blocks in a thread."""
        ...


class Registration(Struct, frozen=True, kw_only=True):
    """The app that people sign in to, in its cloud."""

    cloud: Cloud
    credential: GraphCredential


class Begun(Struct, frozen=True, kw_only=True):
    """Where to send the browser, and what must be kept, sealed, until it comes back: PKCE verifier, nonce, state."""

    address: str
    flow: dict[str, Any]


async def begin_sign_in(threads: Threads, app: Registration, *, redirect_uri: str, state: str) -> Begun:
    """Begin a sign-in that ends at `redirect_uri` with this state. Raises IdentityError."""
    return _raised(await threads.blocking(partial(_begun, app, redirect_uri, state)))


async def finish_sign_in(
    threads: Threads, app: Registration, *, flow: Mapping[str, Any], query: Mapping[str, str], now: Instant
) -> IdClaims:
    """Return who signed in, given what was kept of the flow and what the browser came back with (code, state).

    Raises IdentityError: what Microsoft says of the code, or a word of shared.id_tokens, or sign_in_state.
    """
    return _raised(await threads.blocking(partial(_finished, app, dict(flow), dict(query), now)))


def consent_address(cloud: Cloud, client_id: str, *, tenant_id: str, redirect_uri: str, state: str) -> str:
    """Return where a tenant's admin is asked to consent to everything the app's registration lists."""
    # `.default` is the one way to ask for application permissions (Microsoft: v2-admin-consent)
    asked = {"client_id": client_id, "scope": cloud.scope, "redirect_uri": redirect_uri, "state": state}
    return f"{cloud.login}/{tenant_id}/v2.0/adminconsent?{urlencode(asked)}"


def _raised(outcome: R | IdentityError) -> R:
    if isinstance(outcome, IdentityError):
        raise outcome.again() from None
    return outcome


def _begun(app: Registration, redirect_uri: str, state: str, http: TokenHttp) -> Begun | IdentityError:
    made = _application(app, http)
    if isinstance(made, IdentityError):
        return made
    asked = {"redirect_uri": redirect_uri, "state": state, "prompt": _PROMPT, "response_mode": _FORM}
    flow: dict[str, Any] = made.initiate_auth_code_flow([], **asked)
    return Begun(address=_by_query(str(flow.pop("auth_uri"))), flow=flow)


def _by_query(address: str) -> str:
    """Have the answer come in the query, which msal warns of at each call.

    A form posted by another site comes without the session's cookie (SameSite=Lax), and nobody would be signed in.
    """
    parts = urlsplit(address)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "response_mode"]
    return parts._replace(query=urlencode(query)).geturl()


def _finished(
    app: Registration, flow: dict[str, Any], query: dict[str, str], now: Instant, http: TokenHttp
) -> IdClaims | IdentityError:
    try:
        return _proved(app, flow, query, now, http)
    except Refused as refusal:
        return refused(refusal.answer, refusal.reason, refusal.retry_after)
    except IdTokenError as error:
        return IdentityError(error.reason)
    except IdentityError as error:
        return error.again()


def _proved(app: Registration, flow: dict[str, Any], query: dict[str, str], now: Instant, http: TokenHttp) -> IdClaims:
    """Redeem the code and check the ID token. Raises IdentityError, IdTokenError, Refused."""
    made = _raised(_application(app, http))
    given = {str(name): query[name] for name in ("code", "state") if name in query}
    nonce = flow.get("nonce")
    if not isinstance(nonce, str) or not nonce or not given.get("code") or given.get("state") != flow.get("state"):
        raise IdentityError("sign_in_state")
    answer = _redeemed(made, flow, given)
    if "error" in answer:
        raise refused(answer)
    client_id = app.credential.client_id.lower()
    expected = Expected(login=app.cloud.login, client_id=client_id, nonce=nonce_claim(nonce))
    return checked(answer.get("id_token"), _keys(app.cloud, http), expected, now=now)


def _redeemed(made: Any, flow: dict[str, Any], given: dict[str, str]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = made.acquire_token_by_auth_code_flow(flow, given)
    except RuntimeError:  # msal: another nonce than was sent
        raise IdentityError("id_token_nonce") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):  # msal cannot read what came back
        raise IdentityError("id_token_malformed") from None
    return answer


def _application(app: Registration, http: TokenHttp) -> Any:
    try:
        return application(ANYBODY, app.cloud, app.credential, http)
    except Refused as refusal:
        return refused(refusal.answer, refusal.reason, refusal.retry_after)
    except ValueError:  # also metadata that is no JSON
        return IdentityError("certificate_malformed" if app.credential.certificate else "request_refused")


def _keys(cloud: Cloud, http: TokenHttp) -> dict[str, Any]:
    """Return the keys that the sign-in signs with; asked anew each time, for they change without a word.

    Raises Refused and IdentityError.
    """
    answer = http.get(f"{cloud.login}/{ANYBODY}/discovery/v2.0/keys")
    try:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.DecodeError:
        raise IdentityError("identity_unexpected", transient=True) from None
