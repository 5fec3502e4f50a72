"""The authorizer against the sandbox: real sign-in, real Graph requests, each refusal as Microsoft words it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from deploy.sandbox import Fault, FaultKind, Sandbox, SandboxOptions, start
from deploy.sandbox.directory import Reach
from services.authorizer import orgs, requests, verdicts
from services.authorizer.desk import Desk, settle
from services.authorizer.exchange_doors import exchange
from services.authorizer.orgs import OrgState
from services.authorizer.settings import Settings
from services.authorizer.verify import Microsoft
from shared import clock
from shared.clouds import Cloud
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy, Scope
from shared.ews.dialling import surroundings
from shared.graph import GraphClient, open_session
from shared.identity import GraphCredential, Tokens
from shared.store import open_store
from shared.vault import load_vault
from tests.waiting import until

ALL = ("User.Read.All", "Calendars.Read", "MailboxSettings.Read", "GroupMember.Read.All", "Place.Read.All")
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    made = await start(SandboxOptions(folder=tmp_path / "sandbox", mailboxes=8, events=2, tenants=2))
    yield made
    await made.stop()


@pytest.fixture
async def desk(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    store, tokens = open_store(sqlite_url), Tokens(ca_file=str(sandbox.ca_file))
    async with open_session(str(sandbox.ca_file), connections=4) as session:

        def graph(cloud: Cloud, token: Callable[[], Awaitable[str]]) -> GraphClient:
            return GraphClient(session, cloud=cloud, token=token, forget=lambda: None)

        yield Desk(
            store=store,
            vault=load_vault(tmp_path / "keys", create=True),
            microsoft=Microsoft(tokens, graph),
            exchange=exchange(tokens, surroundings(str(sandbox.ca_file), "127.0.0.0/8")),
            settings=Settings(),
            sandbox_url=sandbox.url,
            tries={},
        )
    tokens.close()
    await store.close()
    await until(lambda: not sandbox._runner.server.connections)


async def connect(
    desk: Desk, sandbox: Sandbox, *, tenant: str = "", policy: Policy | None = None, **credential: str
) -> OrgState:
    """Ask for a connection and return what came of it."""
    given = {"client_id": sandbox.client_id, **(credential or {"client_secret": sandbox.client_secret})}
    await orgs.put_credential(desk.store, desk.vault, "default", GraphCredential(**given), now=clock.now())
    connection = GraphConnection(tenant_id=tenant or sandbox.tenant_id, cloud="sandbox")
    await orgs.request(desk.store, org_id="acme", connection=connection, policy=policy or Policy(), now=clock.now())
    (claimed,) = await verdicts.claim(desk.store, now=clock.now(), limit=1)
    await settle(desk, claimed)
    found = await orgs.org(desk.store, "acme")
    assert found is not None
    return found


async def test_a_good_secret_connects_the_tenant(desk: Desk, sandbox: Sandbox) -> None:
    found = await connect(desk, sandbox)
    assert (found.state, found.reason, found.tenant_id) == ("connected", None, sandbox.tenant_id)


async def test_a_tenant_named_by_its_domain_is_known_by_its_guid(desk: Desk, sandbox: Sandbox) -> None:
    domain = sandbox.state.tenants[sandbox.tenant_id].domain
    found = await connect(desk, sandbox, tenant=domain)
    assert (found.state, found.tenant_id) == ("connected", sandbox.tenant_id)


async def test_a_wrong_secret_is_told_from_an_expired_one(desk: Desk, sandbox: Sandbox) -> None:
    assert (await connect(desk, sandbox, client_secret="wrong")).reason == "secret_wrong"
    sandbox.expire_secret(sandbox.client_secret, at=clock.now() - 1)
    found = await connect(desk, sandbox)
    assert (found.state, found.reason) == ("refused", "secret_expired")
    assert "AADSTS7000222" in str(found.sentence)


@pytest.mark.parametrize(("tenant", "reason"), [(UNKNOWN, "tenant_unknown"), ("nonsense", "tenant_malformed")])
async def test_an_unknown_tenant_is_named(desk: Desk, sandbox: Sandbox, tenant: str, reason: str) -> None:
    found = await connect(desk, sandbox, tenant=tenant)
    assert (found.state, found.reason) == ("refused", reason)


async def test_an_app_without_consent_and_a_disabled_one_are_told_apart(desk: Desk, sandbox: Sandbox) -> None:
    sandbox.enable_app(enabled=False)
    assert (await connect(desk, sandbox)).reason == "app_disabled"
    sandbox.revoke()
    assert (await connect(desk, sandbox)).reason == "app_not_in_tenant"
    sandbox.consent()
    assert (await connect(desk, sandbox)).state == "connected"


async def test_a_consent_taken_back_is_found_when_doubted_and_its_return_too(desk: Desk, sandbox: Sandbox) -> None:
    await connect(desk, sandbox)
    sandbox.revoke()
    assert await requests.doubt(desk.store, "acme", generation=1, now=clock.now())
    found = await again(desk, clock.now())
    assert (found.state, found.generation, found.reason) == ("attention", 1, "app_not_in_tenant")
    sandbox.consent()
    found = await again(desk, clock.now() + desk.settings.retry_attention)
    assert (found.state, found.generation, found.reason) == ("connected", 1, None)


async def again(desk: Desk, now: int) -> OrgState:
    """Have the org verified that is due at an instant."""
    (claimed,) = await verdicts.claim(desk.store, now=now, limit=1)
    await settle(desk, claimed)
    found = await orgs.org(desk.store, "acme")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("User.Read.All", "directory_permission_missing"),
        ("Calendars.Read", "calendar_permission_missing"),
        ("MailboxSettings.Read", "settings_permission_missing"),
    ],
)
async def test_each_missing_permission_is_named_and_a_new_grant_is_seen_at_once(
    desk: Desk, sandbox: Sandbox, missing: str, reason: str
) -> None:
    sandbox.set_roles(*(role for role in ALL if role != missing))
    found = await connect(desk, sandbox)
    assert (found.state, found.reason) == ("refused", reason)
    assert missing in str(found.sentence)
    sandbox.set_roles(*ALL)
    assert (await connect(desk, sandbox)).state == "connected"


async def test_an_installation_scoped_in_exchange_is_accepted_without_the_calendar_role(
    desk: Desk, sandbox: Sandbox
) -> None:
    person = sandbox.mailboxes()[3]
    sandbox.set_roles("User.Read.All")
    sandbox.allow_mailboxes(person.address)
    found = await connect(desk, sandbox, policy=Policy(scope=Scope(include=(person.address,))))
    assert (found.state, found.reason) == ("connected", None)


async def test_a_certificate_connects_and_another_one_does_not(desk: Desk, sandbox: Sandbox) -> None:
    mine = pem()
    assert (await connect(desk, sandbox, certificate=mine)).reason == "certificate_refused"
    sandbox.add_certificate(mine[mine.index("-----BEGIN CERTIFICATE") :])
    assert (await connect(desk, sandbox, certificate=mine)).state == "connected"


async def test_the_sign_in_and_graph_may_be_busy_and_that_is_no_refusal(desk: Desk, sandbox: Sandbox) -> None:
    for match, reason in ((".*/token", "identity_throttled"), (".*/users", "graph_throttled")):
        number = sandbox.order(Fault(kind=FaultKind.THROTTLE, match=match, seconds=7))
        found = await connect(desk, sandbox)
        assert (found.state, found.reason) == ("requested", reason)
        sandbox.clear_faults(number)
    assert (await connect(desk, sandbox)).state == "connected"


async def test_a_page_of_html_with_status_200_is_no_answer(desk: Desk, sandbox: Sandbox) -> None:
    sandbox.order(Fault(kind=FaultKind.HTML, match=".*/users"))
    assert (await connect(desk, sandbox)).reason == "graph_unexpected"


@pytest.mark.parametrize(
    ("code", "reason"), [("53003", "conditional_access"), ("65001", "consent_missing"), ("99999", "identity_refused")]
)
async def test_other_refusals_of_the_sign_in_are_named(desk: Desk, sandbox: Sandbox, code: str, reason: str) -> None:
    sandbox.order(Fault(kind=FaultKind.ERROR, match=".*/token", code=code, status=400))
    found = await connect(desk, sandbox)
    assert (found.state, found.reason) == ("refused", reason)
    assert f"AADSTS{code}" in str(found.sentence)


async def test_a_directory_where_nobody_can_be_read_is_refused(desk: Desk, sandbox: Sandbox) -> None:
    for person in sandbox.mailboxes():
        sandbox.change_user(person.address, reach=Reach.MISSING)
    for person in sandbox.mailboxes(readable=False):
        if person.reach is Reach.DENIED:
            sandbox.remove_user(person.address)
    found = await connect(desk, sandbox)
    assert (found.state, found.reason) == ("refused", "no_readable_mailbox")


async def test_a_move_to_another_tenant_raises_the_generation_and_a_failed_one_does_not(
    desk: Desk, sandbox: Sandbox
) -> None:
    await connect(desk, sandbox)
    failed = await connect(desk, sandbox, tenant=UNKNOWN)
    assert (failed.state, failed.generation, failed.reason) == ("connected", 1, "tenant_unknown")
    moved = await connect(desk, sandbox, tenant=sandbox.tenant_ids[1])
    assert (moved.state, moved.generation, moved.tenant_id) == ("connected", 2, sandbox.tenant_ids[1])


async def test_a_wrong_sandbox_address_is_a_delay_and_names_no_address(desk: Desk, sandbox: Sandbox) -> None:
    away = replace(desk, sandbox_url="https://127.0.0.1:9")
    found = await connect(away, sandbox)
    assert (found.state, found.reason) == ("requested", "identity_unreachable")


def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "busyline")])
    now = datetime.fromtimestamp(clock.now(), UTC)
    made = x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key(), serial_number=1)
    valid = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
    certificate = valid.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()
