"""Signing a person in against a sign-in of our own: real msal, real TLS, and answers that prove nothing."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.clouds import cloud
from shared.id_tokens import nonce_claim
from shared.identity import GraphCredential, IdentityError, Tokens
from shared.sign_in import Begun, Registration, begin_sign_in, consent_address, finish_sign_in
from tests.unit.shared.entra_fake import EntraFake, refused

NOW = 1_795_000_000
BACK = "https://setup.example/setup/microsoft/signed-in"
TENANT = "0a000000-0000-4000-8000-000000000001"
KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
KEYS = {"keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "k1"}]}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EntraFake]:
    fake = EntraFake(tmp_path_factory.mktemp("entra"))
    yield fake
    fake.close()


@pytest.fixture
def entra(served: EntraFake) -> EntraFake:
    served.asked.clear()
    served.metadata, served.keys = None, (200, {}, KEYS)
    return served


@pytest.fixture(scope="module")
def tokens(served: EntraFake) -> Iterator[Tokens]:
    made = Tokens(ca_file=str(served.papers.ca_file))
    yield made
    made.close()


@pytest.fixture
def app(entra: EntraFake) -> Registration:
    credential = GraphCredential(client_id="App-1", client_secret="canary-secret")
    return Registration(cloud=cloud("sandbox", sandbox_url=entra.url), credential=credential)


async def begun(tokens: Tokens, app: Registration) -> Begun:
    return await begin_sign_in(tokens, app, redirect_uri=BACK, state="s" * 43)


def id_token(entra: EntraFake, begun: Begun, **changes: Any) -> str:
    claims = {
        "iss": f"{entra.url}/{TENANT}/v2.0",
        "aud": "app-1",
        "tid": TENANT,
        "oid": TENANT,
        "sub": "x",
        "nonce": nonce_claim(begun.flow["nonce"]),
        "nbf": NOW,
        "exp": NOW + 60,
    }
    return jwt.encode(claims | changes, KEY, algorithm="RS256", headers={"kid": "k1"})


async def finish(
    tokens: Tokens, app: Registration, begun: Begun, answer: Any, entra: EntraFake, **query: str
) -> object:
    """Return who signed in, or the error."""
    given = {"token_type": "Bearer", "expires_in": 60, "access_token": "a", "id_token": answer}
    entra.token = lambda _: (200, {}, {name: value for name, value in given.items() if value is not None})
    try:
        return await finish_sign_in(
            tokens, app, flow=begun.flow, query={"code": "c-1", "state": "s" * 43, **query}, now=NOW
        )
    except IdentityError as error:
        return error


async def test_a_sign_in_begins_at_microsoft_for_anybody_and_keeps_what_proves_it(
    tokens: Tokens, app: Registration, entra: EntraFake
) -> None:
    found = await begun(tokens, app)
    parts = urlsplit(found.address)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert found.address.startswith(f"{entra.url}/organizations/oauth2/v2.0/authorize?")
    assert (asked["redirect_uri"], asked["state"], asked["client_id"]) == (BACK, "s" * 43, "App-1")
    assert set(asked["scope"].split()) == {"openid", "profile"}
    assert "response_mode" not in asked  # in the query: a form from elsewhere comes without our cookie
    assert asked["nonce"] == nonce_claim(found.flow["nonce"])
    assert found.flow["code_verifier"] not in found.address
    json.dumps(found.flow)


async def test_a_good_answer_says_who_signed_in(tokens: Tokens, app: Registration, entra: EntraFake) -> None:
    flow = await begun(tokens, app)
    found = await finish(tokens, app, flow, id_token(entra, flow), entra)
    assert getattr(found, "tid", found) == TENANT
    (form,) = entra.asked
    assert (form["grant_type"], form["code"], form["redirect_uri"]) == ("authorization_code", "c-1", BACK)
    assert form["code_verifier"] == flow.flow["code_verifier"]


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "id_token_missing"),
        ("garbage", "id_token_malformed"),
        ("a.b.c", "id_token_malformed"),
        (7, "id_token_malformed"),
        (f"e30.{base64.urlsafe_b64encode(b'[]').decode()}.x", "id_token_malformed"),
    ],
)
async def test_what_is_no_token_is_a_fixed_word(
    tokens: Tokens, app: Registration, entra: EntraFake, token: Any, reason: str
) -> None:
    error = await finish(tokens, app, await begun(tokens, app), token, entra)
    assert isinstance(error, IdentityError)
    assert (error.reason, str(error)) == (reason, reason)


async def test_another_nonce_is_refused_without_a_word_of_it(
    tokens: Tokens, app: Registration, entra: EntraFake
) -> None:
    flow = await begun(tokens, app)
    error = await finish(tokens, app, flow, id_token(entra, flow, nonce="canary"), entra)
    assert isinstance(error, IdentityError)
    assert (error.reason, error.__cause__) == ("id_token_nonce", None)


@pytest.mark.parametrize(
    "query", [{"state": "t" * 43}, {"code": ""}, {"state": ""}, {"code": "", "error": "access_denied"}]
)
async def test_another_state_or_no_code_asks_nothing_of_microsoft(
    tokens: Tokens, app: Registration, entra: EntraFake, query: dict[str, str]
) -> None:
    flow = await begun(tokens, app)
    error = await finish(tokens, app, flow, None, entra, **query)
    assert isinstance(error, IdentityError)
    assert error.reason == "sign_in_state"
    assert entra.asked == []


async def test_a_flow_without_its_nonce_is_none(tokens: Tokens, app: Registration, entra: EntraFake) -> None:
    flow = await begun(tokens, app)
    emptied = Begun(address="", flow={name: value for name, value in flow.flow.items() if name != "nonce"})
    error = await finish(tokens, app, emptied, id_token(entra, flow), entra)
    assert isinstance(error, IdentityError)
    assert error.reason == "sign_in_state"


async def test_refusals_of_the_code_keep_their_number_and_no_text(
    tokens: Tokens, app: Registration, entra: EntraFake
) -> None:
    flow = await begun(tokens, app)
    entra.token = lambda _: refused(53003, 400)
    with pytest.raises(IdentityError) as caught:
        await finish_sign_in(tokens, app, flow=flow.flow, query={"code": "c", "state": "s" * 43}, now=NOW)
    assert (caught.value.reason, caught.value.code) == ("conditional_access", 53003)
    assert "private" not in str(caught.value)


async def test_a_busy_sign_in_is_named_so(tokens: Tokens, app: Registration, entra: EntraFake) -> None:
    flow = await begun(tokens, app)
    entra.keys = (503, {}, {})
    error = await finish(tokens, app, flow, id_token(entra, flow), entra)
    assert isinstance(error, IdentityError)
    assert (error.reason, error.transient) == ("identity_unavailable", True)


async def test_keys_that_cannot_be_read_are_none_of_microsofts(
    tokens: Tokens, app: Registration, entra: EntraFake
) -> None:
    flow = await begun(tokens, app)
    entra.keys = (200, {}, b"<html>")
    error = await finish(tokens, app, flow, id_token(entra, flow), entra)
    assert isinstance(error, IdentityError)
    assert (error.reason, error.transient) == ("identity_unexpected", True)


async def test_a_certificate_that_is_none_is_told(tokens: Tokens, entra: EntraFake) -> None:
    wrong = GraphCredential(client_id="app-1", certificate="no certificate")
    with pytest.raises(IdentityError, match="certificate_malformed"):
        await begun(tokens, Registration(cloud=cloud("sandbox", sandbox_url=entra.url), credential=wrong))


def test_the_consent_is_asked_of_one_tenant_for_everything_registered() -> None:
    address = consent_address(cloud("global"), "app 1", tenant_id=TENANT, redirect_uri=BACK, state="s&t")
    parts = urlsplit(address)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == (
        f"https://login.microsoftonline.com/{TENANT}/v2.0/adminconsent"
    )
    assert parse_qs(parts.query) == {
        "client_id": ["app 1"],
        "scope": ["https://graph.microsoft.com/.default"],
        "redirect_uri": [BACK],
        "state": ["s&t"],
    }
