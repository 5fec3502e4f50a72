"""Signs access tokens that look like Microsoft's (v1) and checks the assertions apps sign in with.

It refuses an assertion whose key is not registered, whose signature does not fit, or that speaks of something else.
"""

import base64
import binascii
import hashlib
from functools import cached_property
from typing import Any
from uuid import uuid4

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec import Struct

from shared.contracts.values import Instant

GRAPH_ID = "00000003-0000-0000-c000-000000000000"
_LEEWAY = 300  # seconds a client's clock may differ


class AssertionRefused(Exception):  # noqa: N818 -- the assertion is refused, nothing failed
    """A client assertion that does not hold; `code` is the AADSTS number, `why` a fixed word."""

    def __init__(self, code: int, why: str) -> None:
        """Take the AADSTS number and the reason."""
        super().__init__(why)
        self.code = code
        self.why = why


class Issued(Struct, frozen=True, kw_only=True):
    """What a token that was handed out allows, until `expires` (UTC seconds)."""

    tenant_id: str
    client_id: str
    roles: frozenset[str]
    expires: Instant
    audience: str = ""


class Signer:
    """The tenants' signing key, one for all; made when it is first needed, and as long-lived as the process."""

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65_537, key_size=2048)

    @cached_property
    def key_id(self) -> str:
        """The key's name in tokens and in the key set."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return encode(hashlib.sha1(public, usedforsecurity=False).digest())

    def sign(self, claims: dict[str, Any], *, key_id: str = "") -> str:
        """Return a signed token of these claims (RS256); its header names this key, or the one it pretends to be."""
        name = key_id or self.key_id
        header = {"typ": "JWT", "alg": "RS256", "x5t": name, "kid": name}
        signed = f"{encode(msgspec.json.encode(header))}.{encode(msgspec.json.encode(claims))}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{encode(signature)}"

    def jwks(self) -> dict[str, Any]:
        """Return the public key as a JSON web key set."""
        numbers = self._key.public_key().public_numbers()
        modulus = encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8))
        key = {"kty": "RSA", "use": "sig", "kid": self.key_id, "x5t": self.key_id, "n": modulus, "e": "AQAB"}
        return {"keys": [key]}


def claims(issued: Issued, *, audience: str, now: Instant) -> dict[str, Any]:
    """Return the claims of a v1 app-only token; no `roles` claim where no permission was granted."""
    said: dict[str, Any] = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{issued.tenant_id}/",
        "iat": now,
        "nbf": now,
        "exp": issued.expires,
        "appid": issued.client_id,
        "appidacr": "1",
        "idp": f"https://sts.windows.net/{issued.tenant_id}/",
        "idtyp": "app",
        "sub": issued.client_id,
        "oid": issued.client_id,
        "tid": issued.tenant_id,
        "uti": uuid4().hex,
        "ver": "1.0",
    }
    return said | ({"roles": sorted(issued.roles)} if issued.roles else {})


def check_assertion(
    assertion: str, certificates: list[x509.Certificate], *, client_id: str, endpoints: tuple[str, ...], now: Instant
) -> None:
    """Accept a client assertion of PS256 or RS256 or raise AssertionRefused."""
    header, body, signed, signature = _parts(assertion)
    certificate = _registered(header, certificates)
    _verify(certificate, str(header.get("alg")), signed, signature)
    if body.get("iss") != client_id or body.get("sub") != client_id:
        raise AssertionRefused(700021, "subject")
    if not str(body.get("aud")).startswith(endpoints):
        raise AssertionRefused(700023, "audience")
    # msal writes floats and no nbf; a thumbprint keeps its padding
    if not _number(body.get("exp")) > now or _number(body.get("nbf", now)) > now + _LEEWAY:
        raise AssertionRefused(700024, "time")


def encode(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    try:
        head, body, signature = assertion.split(".")
        header = msgspec.json.decode(_decode(head), type=dict[str, Any])
        said = msgspec.json.decode(_decode(body), type=dict[str, Any])
        return header, said, f"{head}.{body}".encode(), _decode(signature)
    except (ValueError, binascii.Error, msgspec.DecodeError) as broken:
        raise AssertionRefused(50027, "malformed") from broken


def _registered(header: dict[str, Any], certificates: list[x509.Certificate]) -> x509.Certificate:
    """Return the registered certificate the header's thumbprint names; hexadecimal never, base64 with or without =."""
    asked = {str(header.get(name, "")).rstrip("=") for name in ("x5t#S256", "x5t", "kid")} - {""}
    for certificate in certificates:
        digests = (certificate.fingerprint(hashes.SHA256()), certificate.fingerprint(hashes.SHA1()))  # noqa: S303 -- x5t is SHA-1 by definition
        if asked & {encode(digest) for digest in digests}:
            return certificate
    raise AssertionRefused(700027, "key_not_found")


def _verify(certificate: x509.Certificate, algorithm: str, signed: bytes, signature: bytes) -> None:
    key = certificate.public_key()
    paddings: dict[str, padding.AsymmetricPadding] = {
        "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO),
        "RS256": padding.PKCS1v15(),
    }
    if not isinstance(key, rsa.RSAPublicKey) or algorithm not in paddings:
        raise AssertionRefused(700027, "algorithm")
    try:
        key.verify(signature, signed, paddings[algorithm], hashes.SHA256())
    except InvalidSignature as wrong:
        raise AssertionRefused(700027, "signature") from wrong
