"""Sign-in: tokens for secrets and certificates, and every refusal with its AADSTS number."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from deploy.sandbox import worlds
from deploy.sandbox.entra import ASSERTION
from deploy.sandbox.tokens import encode
from tests.unit.sandbox.asking import BASE, NOW, SECRET, Caller, caller, decoded

SCOPE = f"{BASE}/.default"


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=1, events=0)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


@pytest.fixture(scope="module")
def certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def claims(**changes: Any) -> dict[str, Any]:
    said = {
        "aud": f"{BASE}/tenant/oauth2/v2.0/token",
        "iss": worlds.CLIENT_ID,
        "sub": worlds.CLIENT_ID,
        "exp": NOW + 600.5,
        "jti": "one",
    }
    return said | changes


async def token(asking: Caller, tenant: str = "", **changes: str | None) -> tuple[int, dict[str, Any]]:
    form = {
        "client_id": worlds.CLIENT_ID,
        "client_secret": SECRET,
        "grant_type": "client_credentials",
        "scope": SCOPE,
    } | changes
    body = urlencode({name: value for name, value in form.items() if value is not None})
    answer = await asking.entra(f"/{tenant or asking.tenant.tenant_id}/oauth2/v2.0/token", form=body)
    return answer.status, decoded(answer)


async def asserted(asking: Caller, assertion: str) -> tuple[int, dict[str, Any]]:
    return await token(asking, client_secret=None, client_assertion_type=ASSERTION, client_assertion=assertion)


@pytest.mark.parametrize("name", ["{id}", "sandbox.example", "SANDBOX.example"])
async def test_a_secret_gives_a_token_for_a_tenant_by_guid_or_domain(asking: Caller, name: str) -> None:
    status, said = await token(asking, name.replace("{id}", asking.tenant.tenant_id))
    assert status == 200
    assert said["token_type"] == "Bearer"
    asking.token = said["access_token"]
    assert (await asking.get("/organization"))["value"][0]["id"] == asking.tenant.tenant_id


async def test_a_token_is_a_signed_v1_token_of_the_tenant_and_the_roles(asking: Caller) -> None:
    access = (await token(asking))[1]["access_token"]
    keys = decoded(await asking.entra(f"/{asking.tenant.tenant_id}/discovery/v2.0/keys"))["keys"]
    read = jwt.decode(
        access,
        jwt.PyJWK(keys[0]).key,
        algorithms=["RS256"],
        audience=BASE,
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert (read["tid"], read["appid"], read["ver"]) == (asking.tenant.tenant_id, worlds.CLIENT_ID, "1.0")
    assert "Calendars.Read" in read["roles"]
    assert read["exp"] == NOW + 3599
    assert jwt.get_unverified_header(access)["kid"] == keys[0]["kid"]


async def test_without_roles_there_is_no_roles_claim(asking: Caller) -> None:
    asking.changes.set_roles()
    access = (await token(asking))[1]["access_token"]
    assert "roles" not in jwt.decode(access, options={"verify_signature": False})


@pytest.mark.parametrize(
    ("algorithm", "thumbprint", "digest"),
    [("PS256", "x5t#S256", hashes.SHA256), ("RS256", "x5t", hashes.SHA1)],
)
@pytest.mark.parametrize("ending", ["", "="])
async def test_a_certificate_signs_in_both_ways(  # noqa: PLR0917 -- fixtures
    asking: Caller,
    key: rsa.RSAPrivateKey,
    certificate: x509.Certificate,
    algorithm: str,
    thumbprint: str,
    digest: Callable[[], hashes.HashAlgorithm],
    ending: str,
) -> None:
    asking.changes.add_certificate(pem(certificate))
    headers = {thumbprint: encode(certificate.fingerprint(digest())) + ending}
    status, said = await asserted(asking, jwt.encode(claims(), key, algorithm=algorithm, headers=headers))
    assert (status, said.get("error_codes")) == (200, None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": NOW - 1}, 700024),
        ({"nbf": NOW + 3600}, 700024),
        ({"sub": "another"}, 700021),
        ({"aud": "https://login.elsewhere.example/"}, 700023),
    ],
)
async def test_an_assertion_that_speaks_of_something_else_is_refused(
    asking: Caller, key: rsa.RSAPrivateKey, certificate: x509.Certificate, changes: dict[str, Any], code: int
) -> None:
    asking.changes.add_certificate(pem(certificate))
    headers = {"x5t#S256": encode(certificate.fingerprint(hashes.SHA256()))}
    status, said = await asserted(asking, jwt.encode(claims(**changes), key, algorithm="PS256", headers=headers))
    assert (status, said["error"], said["error_codes"]) == (401, "invalid_client", [code])


async def test_an_unregistered_or_wrong_key_is_refused(
    asking: Caller, key: rsa.RSAPrivateKey, certificate: x509.Certificate
) -> None:
    headers = {"x5t#S256": encode(certificate.fingerprint(hashes.SHA256()))}
    signed = jwt.encode(claims(), key, algorithm="PS256", headers=headers)
    assert (await asserted(asking, signed))[1]["error_codes"] == [700027]
    asking.changes.add_certificate(pem(certificate))
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    forged = jwt.encode(claims(), other, algorithm="PS256", headers=headers)
    assert (await asserted(asking, forged))[1]["error_codes"] == [700027]
    assert (await asserted(asking, "no.assertion"))[1]["error_codes"] == [50027]


@pytest.mark.parametrize(
    ("changes", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": None}, 401, "invalid_client", 7000218),
        ({"client_id": "97e0a5b7-d745-40b6-94fe-5f77d35c6e05"}, 400, "unauthorized_client", 700016),
        ({"client_id": None}, 400, "invalid_request", 900144),
        ({"scope": "https://graph.microsoft.com/Calendars.Read"}, 400, "invalid_scope", 70011),
        ({"scope": "https://other.example/.default"}, 400, "invalid_scope", 70011),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"tenant": "nowhere.example"}, 400, "invalid_request", 90002),
        ({"tenant": "common"}, 400, "invalid_request", 9001023),
        ({"tenant": "no tenant!"}, 400, "invalid_request", 900023),
    ],
)
async def test_a_refused_sign_in_has_its_number(
    asking: Caller, changes: dict[str, str | None], status: int, error: str, code: int
) -> None:
    found, said = await token(asking, **changes)  # type: ignore[arg-type]
    assert (found, said["error"], said["error_codes"]) == (status, error, [code])
    assert said["error_description"].startswith(f"AADSTS{code}: ")
    assert said["error_description"].count("\r\n") == 3


async def test_expired_secrets_disabled_apps_and_revoked_consent_are_told_apart(asking: Caller) -> None:
    asking.changes.enable_app(enabled=False)
    assert (await token(asking))[1]["error_codes"] == [7000112]
    asking.changes.enable_app()
    asking.changes.expire_secret(SECRET, at=NOW)
    assert (await token(asking))[1]["error_codes"] == [7000222]
    asking.changes.revoke()
    assert (await token(asking))[1]["error_codes"] == [700016]


async def test_tokens_end_when_their_time_is_over_and_when_ordered(asking: Caller) -> None:
    asking.token = (await token(asking))[1]["access_token"]
    asking.now += 3598
    await asking.get("/organization")
    asking.now += 1
    assert await asking.refused("/organization") == (401, "InvalidAuthenticationToken")
    asking.token = (await token(asking))[1]["access_token"]
    asking.changes.expire_tokens()
    assert await asking.refused("/organization") == (401, "InvalidAuthenticationToken")


async def test_no_token_is_refused(asking: Caller) -> None:
    assert await asking.refused("/organization", authorization="Basic x") == (401, "InvalidAuthenticationToken")


async def test_a_taken_role_ends_in_403(asking: Caller) -> None:
    asking.changes.set_roles("Calendars.Read")
    asking.token = (await token(asking))[1]["access_token"]
    assert await asking.refused("/users") == (403, "Authorization_RequestDenied")


async def test_metadata_of_the_shared_names_has_the_literal_tenant(asking: Caller) -> None:
    path = "v2.0/.well-known/openid-configuration"
    shared = decoded(await asking.entra(f"/organizations/{path}"))
    own = decoded(await asking.entra(f"/sandbox.example/{path}"))
    assert shared["issuer"] == f"{BASE}/{{tenantid}}/v2.0"
    assert own["token_endpoint"] == f"{BASE}/{asking.tenant.tenant_id}/oauth2/v2.0/token"
    assert (await asking.entra(f"/nowhere.example/{path}")).status == 400


def test_the_secret_is_kept_in_the_folder_for_its_owner_alone(tmp_path: Path) -> None:
    first = worlds.kept_secret(tmp_path, "client-secret")
    assert worlds.kept_secret(tmp_path, "client-secret") == first
    assert (tmp_path / "client-secret").stat().st_mode & 0o777 == 0o600
