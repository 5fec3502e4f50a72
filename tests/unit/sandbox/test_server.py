"""The sandbox on the network: TLS with its own CA, sign-in by msal, one address for everything, a clean end."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msal
import pytest
from cryptography import x509

from deploy.sandbox import Fault, FaultKind, Sandbox, SandboxOptions, start, tls
from shared.contracts.values import DAY
from tests.unit.sandbox.asking import NOW, WINDOW


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    running = await start(SandboxOptions(folder=tmp_path / "papers", mailboxes=3, events=25, tenants=2))
    yield running
    await running.stop()


@pytest.fixture
async def session(sandbox: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    async with opened(sandbox.ca_file) as made:
        yield made


def opened(ca_file: Path) -> aiohttp.ClientSession:
    trust = ssl.create_default_context(cafile=str(ca_file))
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))


async def token(sandbox: Sandbox, session: aiohttp.ClientSession, tenant: str = "") -> str:
    form = {
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "grant_type": "client_credentials",
        "scope": f"{sandbox.url}/.default",
    }
    async with session.post(f"{sandbox.url}/{tenant or sandbox.tenant_id}/oauth2/v2.0/token", data=form) as answer:
        said: dict[str, Any] = await answer.json()
        return str(said["access_token"])


async def users(sandbox: Sandbox, session: aiohttp.ClientSession, tenant: str = "") -> list[str]:
    headers = {"Authorization": f"Bearer {await token(sandbox, session, tenant)}"}
    async with session.get(f"{sandbox.url}/v1.0/users?$select=mail", headers=headers) as answer:
        return [row["mail"] for row in (await answer.json())["value"]]


async def test_each_tenant_shows_its_own_people(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    assert await users(sandbox, session) == [f"person.{number:04d}@sandbox.example" for number in (1, 2, 3)]
    second = await users(sandbox, session, sandbox.tenant_ids[1])
    assert second == [f"person.{number:04d}@sandbox-2.example" for number in (1, 2, 3)]


async def test_another_ca_does_not_vouch_for_it(sandbox: Sandbox, tmp_path: Path) -> None:
    other = tls.papers(tmp_path / "other", (), now=NOW)
    async with opened(other.ca_file) as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"{sandbox.url}/healthz")


async def test_the_certificate_is_for_localhost_too(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = sandbox.url.replace("127.0.0.1", "localhost")
    headers = {"Authorization": f"Bearer {await token(sandbox, session)}"}
    async with session.get(f"{url}/v1.0/users?$top=1", headers=headers) as answer:
        # the links lead back by the name the client came by
        assert (await answer.json())["@odata.nextLink"].startswith(f"{url}/v1.0/users?")


async def test_every_graph_answer_can_be_named(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{sandbox.url}/v1.0/users", headers={"client-request-id": "mine"}) as answer:
        error = (await answer.json())["error"]
        assert answer.status == 401
        assert answer.headers["request-id"] == error["innerError"]["request-id"]
        assert answer.headers["client-request-id"] == error["innerError"]["client-request-id"] == "mine"
        assert not error["innerError"]["date"].endswith("Z")


async def test_msal_signs_in_and_reads(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they would override verify
        monkeypatch.delenv(name, raising=False)

    def acquire() -> dict[str, Any]:
        app = msal.ConfidentialClientApplication(
            sandbox.client_id,
            authority=f"{sandbox.url}/{sandbox.tenant_id}",
            client_credential=sandbox.client_secret,
            instance_discovery=False,
            azure_region=False,
            verify=str(sandbox.ca_file),
            timeout=60,
        )
        try:
            return dict(app.acquire_token_for_client([f"{sandbox.url}/.default"]))
        finally:
            app.http_client.http_client.close()

    said = await asyncio.to_thread(acquire)
    assert said.get("error") is None
    assert said["access_token"] in sandbox.state.tokens


async def test_a_dropped_request_has_no_answer(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    headers = {"Authorization": f"Bearer {await token(sandbox, session)}"}
    sandbox.order(Fault(kind=FaultKind.DROP, times=2))
    with pytest.raises(aiohttp.ClientError):  # a client may try a GET once more by itself
        await session.get(f"{sandbox.url}/v1.0/users", headers=headers)
    sandbox.clear_faults()
    async with session.get(f"{sandbox.url}/v1.0/users", headers=headers) as answer:
        assert answer.status == 200


async def test_control_is_reached_with_its_token_only(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    headers = {"Authorization": f"Bearer {sandbox.control_token}"}
    async with session.get(f"{sandbox.url}/control/requests", headers=headers) as answer:
        assert (answer.status, "views" in await answer.json()) == (200, True)
    async with session.get(f"{sandbox.url}/control/requests") as answer:
        assert answer.status == 401


async def test_latency_is_added_to_graph_requests(tmp_path: Path) -> None:
    running = await start(SandboxOptions(folder=tmp_path, mailboxes=1, events=1, latency=0.1))
    try:
        async with opened(running.ca_file) as session:
            headers = {"Authorization": f"Bearer {await token(running, session)}"}
            begun = asyncio.get_running_loop().time()
            url = f"{running.url}/v1.0/users/person.0001@sandbox.example/calendarView?{WINDOW}&$select=start"
            answers = await asyncio.gather(*(session.get(url, headers=headers) for _ in range(3)))
            assert asyncio.get_running_loop().time() - begun >= 0.1
            assert [json.loads(await answer.read())["value"][0].keys() for answer in answers]
    finally:
        await running.stop()
    assert running.requests.peaks == {"person.0001@sandbox.example": 3}


async def test_a_stopped_sandbox_started_again_is_the_same(tmp_path: Path) -> None:
    options = SandboxOptions(folder=tmp_path, mailboxes=2, events=3, now=NOW)
    first = await start(options)
    await first.stop()
    second = await start(options)
    await second.stop()
    assert (first.tenant_id, first.client_id, first.client_secret) == (
        second.tenant_id,
        second.client_id,
        second.client_secret,
    )
    for mailbox in first.mailboxes():
        assert first.events(mailbox.address) == second.events(mailbox.address)


def test_the_ca_is_kept_while_it_is_valid_and_its_key_is_its_owners_alone(tmp_path: Path) -> None:
    first = tls.papers(tmp_path, (), now=NOW)
    ca = first.ca_file.read_bytes()
    tls.papers(tmp_path, ("sandbox.internal",), now=NOW + 100 * DAY)
    assert first.ca_file.read_bytes() == ca
    for name in ("ca.key", "server.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    tls.papers(tmp_path, (), now=NOW + tls.CA_DAYS * DAY)
    assert first.ca_file.read_bytes() != ca


@pytest.mark.parametrize("spoil", ["ca.key", "ca.pem"])
def test_a_broken_ca_is_replaced(tmp_path: Path, spoil: str) -> None:
    first = tls.papers(tmp_path, (), now=NOW)
    ca = first.ca_file.read_bytes()
    (tmp_path / spoil).write_text("nothing of use")
    tls.papers(tmp_path, (), now=NOW)
    assert first.ca_file.read_bytes() != ca


def test_the_certificate_names_what_it_was_asked_to(tmp_path: Path) -> None:
    made = tls.papers(tmp_path, ("sandbox.internal", "127.0.0.1"), now=NOW)
    certificate = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "sandbox.internal"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
