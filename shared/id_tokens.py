"""Decides whether an ID token proves who signed in: signature, issuer, audience, time and nonce, in this order.

Nothing of a token is believed before its signature is; what is wrong is a fixed word, never a claim's value.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

import jwt
from msgspec import Struct

from shared.contracts.values import Instant

LEEWAY: Final = 300  # seconds that two clocks may differ
PERSONAL: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the tenant of personal Microsoft accounts
ALGORITHM: Final = "RS256"
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ANY_TENANT: Final = "{tenantid}"
_LONGEST: Final = 65_536  # characters; Entra's are a few thousand
_LISTED: Final = 512  # roles looked at


class IdTokenError(Exception):
    """An ID token that proves nothing; `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason = reason


class Expected(Struct, frozen=True, kw_only=True):
    """What a token must say: the sign-in's address (https://login...), the app it is for, the nonce it answers."""

    login: str
    client_id: str
    nonce: str


class IdClaims(Struct, frozen=True, kw_only=True):
    """Who signed in: tenant and person (GUIDs, lower case), their name. `wids` are their roles, None: not told."""

    tid: str
    oid: str
    name: str = ""
    wids: tuple[str, ...] | None = None


def nonce_claim(nonce: str) -> str:
    """Return what a token says of a nonce kept in a flow: msal sends Entra the nonce's SHA-256."""
    return hashlib.sha256(nonce.encode()).hexdigest()


def checked(token: object, keys: Mapping[str, Any], expected: Expected, *, now: Instant) -> IdClaims:
    """Return who a token proves to have signed in. `keys` is the sign-in's key set (JWKS).

    Raises IdTokenError: id_token_missing, id_token_malformed, id_token_signature, id_token_issuer, id_token_audience,
    id_token_time, id_token_nonce, personal_account.
    """
    if not isinstance(token, str) or not token:
        raise IdTokenError("id_token_missing")
    if len(token) > _LONGEST:
        raise IdTokenError("id_token_malformed")
    key = _key(token, keys)
    claims = _verified(token, key)
    tenant_id, user_id = _guid(claims.get("tid")), _guid(claims.get("oid"))
    _see_issuer(claims, key, expected, tenant_id)
    if claims.get("aud") != expected.client_id:
        raise IdTokenError("id_token_audience")
    _see_time(claims, now)
    if not expected.nonce or claims.get("nonce") != expected.nonce:
        raise IdTokenError("id_token_nonce")
    if tenant_id == PERSONAL:
        raise IdTokenError("personal_account")
    return IdClaims(tid=tenant_id, oid=user_id, name=_name(claims), wids=_roles(claims))


def _key(token: str, keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the key that a token's header names, of those that the sign-in publishes."""
    try:
        wanted = jwt.get_unverified_header(token).get("kid")
    except (jwt.InvalidTokenError, ValueError):
        raise IdTokenError("id_token_malformed") from None
    published = keys.get("keys")
    for key in published if isinstance(published, list) else ():
        if isinstance(key, dict) and wanted and key.get("kid") == wanted and key.get("kty") == "RSA":
            return key
    raise IdTokenError("id_token_signature")


def _verified(token: str, key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims once the signature fits; what they say is looked at by hand, `now` being an argument."""
    unlooked = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        public = jwt.PyJWK(dict(key), algorithm=ALGORITHM).key
        return jwt.decode(token, public, algorithms=[ALGORITHM], options=unlooked)  # type: ignore[arg-type]  # a TypedDict's keys, made here
    except jwt.DecodeError as error:
        signature = isinstance(error, jwt.InvalidSignatureError)
        raise IdTokenError("id_token_signature" if signature else "id_token_malformed") from None
    except (jwt.PyJWTError, ValueError):
        raise IdTokenError("id_token_signature") from None


def _see_issuer(claims: Mapping[str, Any], key: Mapping[str, Any], expected: Expected, tenant_id: str) -> None:
    """See that the tenant named is the one that issued it; a key may be kept for one issuer alone."""
    issuer = f"{expected.login}/{tenant_id}/v2.0"
    kept_for = str(key.get("issuer", "")).replace(_ANY_TENANT, tenant_id)
    if claims.get("iss") != issuer or kept_for not in {"", issuer}:
        raise IdTokenError("id_token_issuer")


def _see_time(claims: Mapping[str, Any], now: Instant) -> None:
    begins, ends = _number(claims.get("nbf", claims.get("iat"))), _number(claims.get("exp"))
    if begins is None or ends is None or not begins - LEEWAY <= now < ends + LEEWAY:
        raise IdTokenError("id_token_time")


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _guid(value: object) -> str:
    found = value.lower() if isinstance(value, str) else ""
    if not _GUID.fullmatch(found):
        raise IdTokenError("id_token_malformed")
    return found


def _name(claims: Mapping[str, Any]) -> str:
    found = claims.get("name")
    return found[:256] if isinstance(found, str) else ""


def _roles(claims: Mapping[str, Any]) -> tuple[str, ...] | None:
    found = claims.get("wids")
    if not isinstance(found, list):
        return None
    return tuple(role.lower() for role in found[:_LISTED] if isinstance(role, str))
