"""Decides whether a platform's signed link opens the setup page, for which org and for whom; makes such links too.

A link is a JWT (RFC 7519) signed with HS256 and nothing else. It refuses with one fixed word, and quotes nothing.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import jwt
import msgspec
from msgspec import Meta, Struct

from services.authorizer.console.returning import may_return
from shared.contracts.values import ORG_ID, Instant

ROLE: Final = "it_admin"
LONGEST: Final = 600  # seconds that a link may live
SKEW: Final = 60  # seconds that the platform's clock may be ahead
SHORTEST_KEY: Final = 32  # bytes: as long as HS256's hash (RFC 7518, 3.2)
AUDIENCE: Final = "/setup"
_LARGEST: Final = 8192  # characters of a link
_UNCHECKED: Final = ("exp", "iat", "nbf", "aud", "iss", "sub", "jti")  # they are checked here, by an instant given

Reason = Literal["expired", "used", "role", "malformed", "signature", "return_to"]


class LinkRefused(Exception):  # noqa: N818 -- what happens to the link
    """A link opens nothing; `reason` is a fixed word."""

    def __init__(self, reason: Reason) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason: Reason = reason


class Link(Struct, frozen=True, kw_only=True):
    """What a good link says: who (`actor`, as the platform names them) comes for which org, and where they return to.

    `link_hash` is the SHA-256 of its id; it could not be followed from `expires_at` on anyway.
    """

    org_id: str
    actor: str
    return_to: str
    link_hash: str
    issued_at: Instant
    expires_at: Instant


class _Claims(Struct, frozen=True):
    org_id: str
    sub: Annotated[str, Meta(min_length=1, max_length=320)]
    role: str
    jti: Annotated[str, Meta(min_length=16, max_length=128)]
    iat: Annotated[float, Meta(ge=0)]
    exp: Annotated[float, Meta(ge=0, le=2**53)]
    aud: str
    return_to: str = ""


def checked(token: str, *, keys: Sequence[str], public_url: str, return_to: Sequence[str], now: Instant) -> Link:
    """Return what a link says. Raises LinkRefused: expired, role, malformed, signature, return_to.

    Whether it was followed before is the store's to know.
    """
    claims = _claims(_opened(token, keys), public_url)
    _see_times(claims, now)
    if claims.role != ROLE:
        raise LinkRefused("role")
    if claims.return_to and not may_return(claims.return_to, return_to):
        raise LinkRefused("return_to")
    return Link(
        org_id=claims.org_id,
        actor=claims.sub,
        return_to=claims.return_to,
        link_hash=hashlib.sha256(claims.jti.encode()).hexdigest(),
        issued_at=int(claims.iat),
        expires_at=int(claims.exp),
    )


def signed(  # noqa: PLR0913 -- a link has so many claims
    org_id: str, actor: str, *, key: str, public_url: str, now: Instant, seconds: int = LONGEST, return_to: str = "",
    role: str = ROLE,
) -> str:  # fmt: skip
    """Return a link's token, as a platform makes it; `seconds` is how long it can be followed."""
    claims = {
        "org_id": org_id,
        "sub": actor,
        "role": role,
        "jti": secrets.token_urlsafe(24),
        "iat": now,
        "exp": now + seconds,
        "aud": public_url + AUDIENCE,
        **({"return_to": return_to} if return_to else {}),
    }
    return jwt.encode(claims, key, algorithm="HS256")


def address(token: str, public_url: str) -> str:
    """Return the address that a browser follows."""
    return f"{public_url}/setup/enter?link={token}"


def _opened(token: str, keys: Sequence[str]) -> dict[str, Any]:
    """Return the claims of a link that one of the keys signed; a `kid` in its header is not needed and not read."""
    if not token or len(token) > _LARGEST or not token.isascii():
        raise LinkRefused("malformed")
    options: Any = {"verify_signature": True, **{f"verify_{name}": False for name in _UNCHECKED}}
    for key in keys:
        try:
            opened: dict[str, Any] = jwt.decode(token, key, algorithms=["HS256"], options=options)
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            continue
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise LinkRefused("malformed") from None
        return opened
    raise LinkRefused("signature")


def _claims(opened: dict[str, Any], public_url: str) -> _Claims:
    try:
        claims = msgspec.convert(opened, _Claims)
    except msgspec.ValidationError:
        raise LinkRefused("malformed") from None
    if claims.aud != public_url + AUDIENCE or not claims.sub.isprintable() or claims.exp <= claims.iat:
        raise LinkRefused("malformed")
    if not ORG_ID.fullmatch(claims.org_id) or not claims.jti.isascii():  # not `match`: "$" lets a line end pass
        raise LinkRefused("malformed")
    return claims


def _see_times(claims: _Claims, now: Instant) -> None:
    if claims.iat > now + SKEW or claims.exp - claims.iat > LONGEST:
        raise LinkRefused("malformed")
    if claims.exp <= now:
        raise LinkRefused("expired")
