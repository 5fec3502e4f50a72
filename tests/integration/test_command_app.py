"""`busyline app`: the deployment's own app is stored sealed, audited and shown without what is secret."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from services.authorizer import audit
from shared import clock, tables
from shared.connections import credential_of
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.identity import GraphCredential
from shared.store import Store, open_store
from shared.vault import load_vault
from tests.integration.test_command_acts import Operator

ONE = "11111111-2222-4333-8444-555555555555"
OTHER = "66666666-7777-4888-9999-aaaaaaaaaaaa"


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.close()


@pytest.fixture
def operator(store_url: str, tmp_path: Path) -> Operator:
    load_vault(tmp_path / "keys", create=True)
    return Operator(
        {"BUSYLINE_DATABASE_URL": store_url, "BUSYLINE_KEYS_FILE": str(tmp_path / "keys"), "COLUMNS": "200"}
    )


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_text("canary-secret\n", encoding="utf-8")
    return str(file)


def certificate(folder: Path, *, days: int, passphrase: bytes = b"") -> str:
    """Write a key and its certificate, good for so many days."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")]), datetime.fromtimestamp(clock.now(), UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    written = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    file = folder / "app.pem"
    file.write_bytes(written + made.public_bytes(serialization.Encoding.PEM))
    return str(file)


def mixed(folder: Path) -> str:
    """Write a key beside another key's certificate."""
    parts = [Path(certificate(folder, days=30)).read_text(encoding="ascii") for _ in range(2)]
    key, issued = parts[0].partition("-----BEGIN CERTIFICATE"), parts[1].partition("-----BEGIN CERTIFICATE")
    file = folder / "mixed.pem"
    file.write_text(key[0] + issued[1] + issued[2], encoding="ascii")
    return str(file)


async def stored(store: Store, folder: Path) -> GraphCredential | None:
    return await credential_of(store, load_vault(folder / "keys"), "default", GraphCredential)


async def reach_by_default(store: Store) -> None:
    connection = msgspec.json.encode(GraphConnection(tenant_id="contoso.example"))
    row = {"org_id": "acme", "generation": 1, "state": "connected", "tenant_id": "x", "connection": connection}
    async with store.write() as writing:
        await writing.execute(tables.orgs.insert().values(**row, policy=msgspec.json.encode(Policy())))


async def test_an_app_is_stored_sealed_and_the_deployments_log_tells_of_it(
    operator: Operator, store: Store, tmp_path: Path, secret: str
) -> None:
    said = await operator.says("app", "set", "--client-id", ONE.upper(), "--client-secret-file", secret, "--actor", "a")
    assert "The app is stored" in said
    assert await stored(store, tmp_path) == GraphCredential(client_id=ONE, client_secret="canary-secret")
    (entry,) = await audit.entries(store, audit.DEPLOYMENT)
    assert (entry.actor, entry.action, entry.details) == ("a", "credential.stored", {"form": "client_secret"})


async def test_it_is_shown_without_what_is_secret(operator: Operator, store: Store, secret: str) -> None:
    await operator.says("app", "set", "--client-id", ONE, "--client-secret-file", secret)
    await reach_by_default(store)
    operator.environment["BUSYLINE_AUTHORIZER_SETUP_URL"] = "https://setup.example"
    said = await operator.says("app", "show")
    assert f"client id {ONE}" in said
    assert "signs in with client secret" in said
    assert "organisations 1" in said
    assert "https://setup.example/setup/microsoft/signed-in https://setup.example/setup/microsoft/consented" in said
    assert "canary" not in said


async def test_a_certificate_is_shown_with_its_end(operator: Operator, tmp_path: Path) -> None:
    await operator.says("app", "set", "--client-id", ONE, "--certificate-file", certificate(tmp_path, days=30))
    ends = clock.moment(clock.now() + 30 * 86_400)[:10]
    said = await operator.says("app", "show")
    assert f"signs in with certificate, until {ends}" in said
    assert "BUSYLINE_AUTHORIZER_SETUP_URL is not set" in said
    assert "PRIVATE KEY" not in said


async def test_what_cannot_sign_in_is_not_stored(operator: Operator, store: Store, tmp_path: Path, secret: str) -> None:
    async def refused(*options: str) -> str:
        return await operator.fails("app", "set", *options, code=2)

    assert "is a GUID" in await refused("--client-id", "busyline", "--client-secret-file", secret)
    assert "one of them" in await refused("--client-id", ONE)
    assert "without a passphrase" in await refused("--client-id", ONE, "--certificate-file", secret)
    locked = certificate(tmp_path, days=30, passphrase=b"canary")
    assert "without a passphrase" in await refused("--client-id", ONE, "--certificate-file", locked)
    assert "has expired" in await refused("--client-id", ONE, "--certificate-file", certificate(tmp_path, days=-1))
    assert "not its certificate's" in await refused("--client-id", ONE, "--certificate-file", mixed(tmp_path))
    assert await stored(store, tmp_path) is None


async def test_another_app_for_connected_organisations_is_asked_about(
    operator: Operator, store: Store, tmp_path: Path, secret: str
) -> None:
    await operator.says("app", "set", "--client-id", ONE, "--client-secret-file", secret)
    await reach_by_default(store)
    other = ("app", "set", "--client-id", OTHER, "--client-secret-file", secret)
    assert "1 organisations are reached by another app" in await operator.fails(*other, typed="n\n")
    assert (found := await stored(store, tmp_path)) is not None
    assert found.client_id == ONE
    await operator.says(*other, "--yes")
    assert (found := await stored(store, tmp_path)) is not None
    assert found.client_id == OTHER


async def test_without_an_app_there_is_a_sentence(operator: Operator) -> None:
    assert "no app is stored" in await operator.fails("app", "show")
