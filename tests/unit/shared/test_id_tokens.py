"""ID tokens: what proves who signed in, and that nothing else does, whatever it says."""

import base64
import json
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from shared.id_tokens import LEEWAY, PERSONAL, Expected, IdClaims, IdTokenError, checked, nonce_claim

NOW = 1_795_000_000
LOGIN = "https://login.example"
TENANT = "0a000000-0000-4000-8000-000000000001"
USER = "0b000000-0000-4000-8000-000000000002"
ISSUER = f"{LOGIN}/{TENANT}/v2.0"
EXPECTED = Expected(login=LOGIN, client_id="app-1", nonce="n-1")
ROLES = ("62e90394-69f5-4237-9190-012177145e10",)


@cache
def key(name: str = "k1") -> rsa.RSAPrivateKey:
    del name
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


@cache
def public(name: str = "k1") -> str:
    return str(jwt.algorithms.RSAAlgorithm.to_jwk(key(name).public_key()))


def jwks(name: str = "k1", **more: Any) -> dict[str, Any]:
    return {"keys": [{**json.loads(public(name)), "kid": "k1", "use": "sig", **more}]}


def claims(**changes: Any) -> dict[str, Any]:
    said = {
        "iss": ISSUER,
        "aud": "app-1",
        "tid": TENANT,
        "oid": USER,
        "name": "Anna",
        "nonce": "n-1",
        "wids": [ROLES[0].upper()],
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 3600,
    } | changes
    return {name: value for name, value in said.items() if value is not None}


def token(said: dict[str, Any] | None = None, *, by: str = "k1", kid: str = "k1") -> str:
    return jwt.encode(claims() if said is None else said, key(by), algorithm="RS256", headers={"kid": kid})


def refusal(given_token: object, keys: dict[str, Any] | None = None, *, now: int = NOW) -> str:
    with pytest.raises(IdTokenError) as caught:
        checked(given_token, jwks() if keys is None else keys, EXPECTED, now=now)
    assert str(caught.value) == caught.value.reason  # nothing of the token is in it
    return caught.value.reason


def test_a_good_token_says_who_signed_in() -> None:
    assert checked(token(), jwks(), EXPECTED, now=NOW) == IdClaims(tid=TENANT, oid=USER, name="Anna", wids=ROLES)


def test_roles_that_are_not_told_are_none_and_not_no_roles() -> None:
    assert checked(token(claims(wids=None)), jwks(), EXPECTED, now=NOW).wids is None
    assert checked(token(claims(wids=[])), jwks(), EXPECTED, now=NOW).wids == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": f"{LOGIN}/{USER}/v2.0"}, "id_token_issuer"),
        ({"iss": f"https://login.elsewhere.example/{TENANT}/v2.0"}, "id_token_issuer"),
        ({"iss": f"{ISSUER}/"}, "id_token_issuer"),
        ({"iss": None}, "id_token_issuer"),
        ({"tid": USER}, "id_token_issuer"),
        ({"tid": None}, "id_token_malformed"),
        ({"oid": None}, "id_token_malformed"),
        ({"oid": "somebody"}, "id_token_malformed"),
        ({"aud": "app-2"}, "id_token_audience"),
        ({"aud": ["app-1"]}, "id_token_audience"),
        ({"aud": None}, "id_token_audience"),
        ({"exp": None}, "id_token_time"),
        ({"exp": "never"}, "id_token_time"),
        ({"nbf": None, "iat": None}, "id_token_time"),
        ({"nonce": "n-2"}, "id_token_nonce"),
        ({"nonce": None}, "id_token_nonce"),
        ({"tid": PERSONAL, "iss": f"{LOGIN}/{PERSONAL}/v2.0"}, "personal_account"),
    ],
)
def test_one_wrong_claim_is_enough(changes: dict[str, Any], reason: str) -> None:
    assert refusal(token(claims(**changes))) == reason


def test_its_time_is_seen_to_with_some_leeway() -> None:
    for now in (NOW - LEEWAY, NOW + 3600 + LEEWAY - 1):
        assert checked(token(), jwks(), EXPECTED, now=now).tid == TENANT
    assert refusal(token(), now=NOW - LEEWAY - 1) == "id_token_time"
    assert refusal(token(), now=NOW + 3600 + LEEWAY) == "id_token_time"


def test_only_the_keys_published_sign() -> None:
    assert refusal(token(by="stranger")) == "id_token_signature"
    assert refusal(token(kid="k2")) == "id_token_signature"
    assert refusal(token(), {"keys": []}) == "id_token_signature"
    assert refusal(token(), {"keys": "none"}) == "id_token_signature"
    assert refusal(token(), {"keys": [{"kid": "k1", "kty": "RSA"}]}) == "id_token_signature"


def test_a_key_kept_for_one_issuer_signs_for_no_other() -> None:
    assert checked(token(), jwks(issuer=f"{LOGIN}/{{tenantid}}/v2.0"), EXPECTED, now=NOW).tid == TENANT
    assert refusal(token(), jwks(issuer=f"{LOGIN}/{PERSONAL}/v2.0")) == "id_token_issuer"


def test_no_algorithm_but_the_one_expected_is_taken() -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    assert refusal(f"{part({'alg': 'none', 'kid': 'k1'})}.{part(claims())}.") == "id_token_signature"
    modulus = json.loads(public())["n"]  # the public key taken for a shared secret
    by_secret = jwt.encode(claims(), modulus, algorithm="HS256", headers={"kid": "k1"})
    assert refusal(by_secret) == "id_token_signature"


@pytest.mark.parametrize("nothing", [None, "", 7, b"x"])
def test_no_token_is_no_proof(nothing: object) -> None:
    assert refusal(nothing) == "id_token_missing"


def test_an_empty_nonce_is_never_right() -> None:
    with pytest.raises(IdTokenError, match="id_token_nonce"):
        checked(token(claims(nonce="")), jwks(), Expected(login=LOGIN, client_id="app-1", nonce=""), now=NOW)


@given(st.text(max_size=200))
def test_whatever_text_there_is_it_is_refused_by_a_fixed_word(text: str) -> None:
    assert refusal(text) in {"id_token_missing", "id_token_malformed", "id_token_signature"}


@given(st.integers(min_value=0, max_value=10**6), st.characters(codec="ascii", categories=["L", "N"]))
def test_a_token_changed_anywhere_is_refused(place: int, letter: str) -> None:
    good = token()
    place %= good.rindex(".")  # the last letters of a signature may hold bits that count for nothing
    changed = good[:place] + letter + good[place + 1 :]
    if changed != good:
        assert refusal(changed).startswith("id_token_")


def test_the_nonce_sent_is_the_hash_of_the_one_kept() -> None:
    assert nonce_claim("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
