"""Tokens against a sign-in of our own: real msal, real TLS."""

import asyncio
import base64
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from shared import clock, identity
from shared.clouds import Cloud, cloud
from shared.identity import GraphCredential, IdentityError, Tokens
from tests.unit.shared.entra_fake import EntraFake, issued, refused
from tests.waiting import until

SECRET = GraphCredential(client_id="app-1", client_secret="canary-secret")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EntraFake]:
    fake = EntraFake(tmp_path_factory.mktemp("entra"))
    yield fake
    fake.close()


@pytest.fixture
def entra(served: EntraFake) -> EntraFake:
    served.tenant = str(uuid.uuid4())
    served.asked.clear()
    served.metadata, served.metadata_asked = None, 0
    served.token = lambda _: issued("token-1")
    return served


@pytest.fixture(scope="module")
def tokens(served: EntraFake) -> Iterator[Tokens]:
    made = Tokens(ca_file=str(served.papers.ca_file))  # every test has a tenant of its own
    yield made
    made.close()


def at(entra: EntraFake) -> Cloud:
    return cloud("sandbox", sandbox_url=entra.url)


async def ask(tokens: Tokens, entra: EntraFake, **changed: Any) -> str:
    return await tokens.token(**{"tenant_id": entra.tenant, "cloud": at(entra), "credential": SECRET, **changed})


async def failure(tokens: Tokens, entra: EntraFake, **changed: Any) -> IdentityError:
    with pytest.raises(IdentityError) as caught:
        await ask(tokens, entra, **changed)
    return caught.value


async def test_a_token_is_asked_for_with_the_clouds_own_scope(tokens: Tokens, entra: EntraFake) -> None:
    assert await ask(tokens, entra) == "token-1"
    (form,) = entra.asked
    assert form["scope"] == f"{entra.url}/.default"
    assert form["path"] == f"/{entra.tenant}/oauth2/v2.0/token"
    assert (form["client_id"], form["grant_type"]) == ("app-1", "client_credentials")


async def test_a_token_for_another_resource_is_asked_for_and_held_apart(tokens: Tokens, entra: EntraFake) -> None:
    other = "https://mail.acme.example/.default"
    entra.token = lambda form: issued("token-2" if form["scope"] == other else "token-1")
    for _ in range(2):
        assert await ask(tokens, entra) == "token-1"
        assert await ask(tokens, entra, scope=other) == "token-2"
    assert [form["scope"] for form in entra.asked] == [f"{entra.url}/.default", other]


async def test_a_token_is_held_and_not_asked_for_again(tokens: Tokens, entra: EntraFake) -> None:
    assert [await ask(tokens, entra) for _ in range(3)] == ["token-1"] * 3
    assert len(entra.asked) == 1


async def test_callers_at_the_same_time_share_one_acquisition(tokens: Tokens, entra: EntraFake) -> None:
    assert set(await asyncio.gather(*(ask(tokens, entra) for _ in range(50)))) == {"token-1"}
    assert len(entra.asked) == 1
    assert entra.metadata_asked == 1


async def test_a_caller_who_gives_up_does_not_take_the_token_from_the_others(tokens: Tokens, entra: EntraFake) -> None:
    first = asyncio.create_task(ask(tokens, entra))
    second = asyncio.create_task(ask(tokens, entra))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "token-1"


async def test_another_tenant_or_another_secret_is_another_token(tokens: Tokens, entra: EntraFake) -> None:
    await ask(tokens, entra)
    await ask(tokens, entra, tenant_id="0a000000-0000-4000-8000-000000000002")
    await ask(tokens, entra, credential=GraphCredential(client_id="app-1", client_secret="other"))
    assert len(entra.asked) == 3


async def test_fresh_asks_anew_whatever_is_held(tokens: Tokens, entra: EntraFake) -> None:
    await ask(tokens, entra)
    entra.token = lambda _: issued("token-2")
    assert await ask(tokens, entra, fresh=True) == "token-2"
    assert await ask(tokens, entra) == "token-2"


async def test_fresh_is_not_answered_from_a_refusal_that_msal_remembers(tokens: Tokens, entra: EntraFake) -> None:
    entra.token = lambda _: refused(700016, 400)  # msal replays an exact 400 for a minute
    await failure(tokens, entra)
    entra.token = lambda _: issued("token-2")
    assert await ask(tokens, entra, fresh=True) == "token-2"


async def test_a_forgotten_token_is_asked_for_again(
    tokens: Tokens, entra: EntraFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "SETTLED", 0.0)
    await ask(tokens, entra)
    entra.token = lambda _: issued("token-2")
    tokens.forget(tenant_id=entra.tenant, cloud=at(entra), credential=SECRET)
    assert await ask(tokens, entra) == "token-2"


async def test_a_token_that_msal_had_kept_is_no_new_one_and_is_dropped_when_it_is_rejected(
    tokens: Tokens, entra: EntraFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "HOLD", 0.0)  # held by msal alone
    monkeypatch.setattr(identity, "SETTLED", 0.1)
    await ask(tokens, entra)
    loop, issued_at = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    await until(lambda: loop.time() - issued_at > identity.SETTLED)
    assert (await ask(tokens, entra), len(entra.asked)) == ("token-1", 1)
    entra.token = lambda _: issued("token-2")
    tokens.forget(tenant_id=entra.tenant, cloud=at(entra), credential=SECRET)
    assert await ask(tokens, entra) == "token-2"


async def test_a_burst_of_rejections_renews_a_token_once(
    tokens: Tokens, entra: EntraFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(tokens, entra)
    for _ in range(10):
        tokens.forget(tenant_id=entra.tenant, cloud=at(entra), credential=SECRET)
        await ask(tokens, entra)
    assert len(entra.asked) == 1
    monkeypatch.setattr(identity, "SETTLED", 0.0)
    tokens.forget(tenant_id="never asked for", cloud=at(entra), credential=SECRET)


@pytest.mark.parametrize(
    ("code", "reason", "transient"),
    [
        (700016, "app_not_in_tenant", False),
        (7000112, "app_disabled", False),
        (7000215, "secret_wrong", False),
        (7000222, "secret_expired", False),
        (700027, "certificate_refused", False),
        (90002, "tenant_unknown", False),
        (900023, "tenant_malformed", False),
        (53003, "conditional_access", False),
        (65001, "consent_missing", False),
        (65004, "consent_declined", False),
        (50196, "request_refused", False),
        (90055, "identity_throttled", True),
        (90033, "identity_unavailable", True),
        (999_999, "identity_refused", False),
    ],
)
async def test_entras_codes_become_fixed_words(
    tokens: Tokens, entra: EntraFake, code: int, reason: str, transient: bool
) -> None:
    entra.token = lambda _: refused(code)
    error = await failure(tokens, entra)
    assert (error.reason, error.transient, error.code) == (reason, transient, code)


async def test_an_error_holds_neither_microsofts_text_nor_the_secret(tokens: Tokens, entra: EntraFake) -> None:
    entra.token = lambda _: refused(7000215)
    error = await failure(tokens, entra)
    told = f"{error!r} {error} {error.args} {vars(error)} {error.__cause__!r}"
    assert "private" not in told
    assert "canary" not in told
    assert error.__context__ is None  # no frame of the sign-in, with the secret in it, hangs on
    assert "canary" not in repr(SECRET)


async def test_an_unknown_tenant_is_told_by_its_metadata(tokens: Tokens, entra: EntraFake) -> None:
    entra.metadata = refused(90002, 400)
    assert (await failure(tokens, entra)).reason == "tenant_unknown"
    assert entra.asked == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_sign_in_is_transient_with_the_pause_it_ordered(
    tokens: Tokens, entra: EntraFake, status: int
) -> None:
    entra.token = lambda _: (status, {"Retry-After": "2.5"}, {"error": "temporarily_unavailable"})
    error = await failure(tokens, entra)
    assert (error.transient, error.retry_after) == (True, 2.5)
    assert error.reason == ("identity_throttled" if status == 429 else "identity_unavailable")


async def test_busy_metadata_is_transient_too(tokens: Tokens, entra: EntraFake) -> None:
    entra.metadata = (429, {"Retry-After": "3"}, {})
    error = await failure(tokens, entra)
    assert (error.reason, error.transient, error.retry_after) == ("identity_throttled", True, 3.0)


@pytest.mark.parametrize("answer", [(403, {}, b"<html>proxy</html>"), (302, {"Location": "https://x.invalid"}, b"")])
async def test_what_is_not_entra_is_transient_and_never_followed(
    tokens: Tokens, entra: EntraFake, answer: tuple[int, dict[str, str], bytes]
) -> None:
    entra.token = lambda _: answer
    error = await failure(tokens, entra)
    assert (error.reason, error.transient) == ("identity_unexpected", True)


async def test_a_refusal_is_held_so_that_many_readings_do_not_repeat_it(tokens: Tokens, entra: EntraFake) -> None:
    entra.token = lambda _: refused(7000215)  # a 401: msal itself would ask each time
    for _ in range(5):
        await failure(tokens, entra)
    assert len(entra.asked) == 1


async def test_what_nobody_asks_for_any_more_takes_no_memory(
    entra: EntraFake, served: EntraFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "HOLD", 0.0)
    monkeypatch.setattr(identity, "UNUSED", 0.0)
    tokens = Tokens(ca_file=str(served.papers.ca_file))
    for number in range(5):
        await ask(tokens, entra, credential=GraphCredential(client_id="app-1", client_secret=str(number)))
    assert len(tokens._held) == 1
    monkeypatch.setattr(identity, "UNUSED", 3600.0)
    await ask(tokens, entra)
    assert len(tokens._held) == 2
    tokens.close()


async def test_a_server_with_an_unknown_certificate_is_not_trusted(entra: EntraFake) -> None:
    tokens = Tokens()
    error = await failure(tokens, entra)
    tokens.close()
    assert (error.reason, error.transient) == ("identity_not_trusted", True)
    assert entra.asked == []


async def test_a_bundle_named_in_the_environment_does_not_displace_the_private_ca(
    tokens: Tokens, entra: EntraFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert await ask(tokens, entra) == "token-1"


async def test_the_public_cas_alone_do_not_open_a_private_sign_in(
    entra: EntraFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(entra.papers.ca_file))
    tokens = Tokens()
    assert (await failure(tokens, entra)).reason == "identity_not_trusted"
    tokens.close()


async def test_a_server_that_is_not_there_is_unreachable(entra: EntraFake) -> None:
    tokens = Tokens(ca_file=str(entra.papers.ca_file))
    error = await failure(tokens, entra, cloud=cloud("sandbox", sandbox_url="https://127.0.0.1:9"))
    tokens.close()
    assert (error.reason, error.transient) == ("identity_unreachable", True)


async def test_a_region_forced_by_the_environment_moves_no_endpoint(
    tokens: Tokens, entra: EntraFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    assert await ask(tokens, entra) == "token-1"


async def test_a_certificate_signs_with_ps256_and_sends_no_secret(tokens: Tokens, entra: EntraFake) -> None:
    credential = GraphCredential(client_id="app-1", certificate=pem())
    assert await ask(tokens, entra, credential=credential) == "token-1"
    (form,) = entra.asked
    assert "client_secret" not in form
    assert form["client_assertion_type"].endswith("jwt-bearer")
    assert b'"PS256"' in _part(form["client_assertion"], 0)


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda _: "not a pem", lambda t: t.upper()])
async def test_a_certificate_file_that_cannot_be_used_is_named_so(
    tokens: Tokens, entra: EntraFake, damage: Any
) -> None:
    credential = GraphCredential(client_id="app-1", certificate=damage(pem()))
    assert (await failure(tokens, entra, credential=credential)).reason == "certificate_malformed"
    assert entra.asked == []


def _part(assertion: str, index: int) -> bytes:
    part = assertion.split(".")[index]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).replace(b" ", b"")


def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "busyline")])
    now = datetime.fromtimestamp(clock.now(), UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()
