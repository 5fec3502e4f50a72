"""Connecting Microsoft 365 on the setup page against the sandbox: real msal, real ID tokens, each forgery refused."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.sandbox import Sandbox, SandboxOptions, start
from deploy.sandbox.sign_ins import Misstep, Spoiling, Step
from services.authorizer import audit, orgs, verdicts
from services.authorizer.console.microsoft_return import WAITING
from services.authorizer.credentials import DEFAULT
from services.authorizer.desk import Desk, settle
from services.authorizer.exchange_doors import exchange
from services.authorizer.settings import Settings
from services.authorizer.verify import Microsoft
from shared import clock
from shared.clouds import Cloud
from shared.contracts.messages import GraphConnection
from shared.contracts.policy import Policy
from shared.ews.dialling import surroundings
from shared.graph import GraphClient, open_session
from shared.identity import GraphCredential, Tokens
from shared.store import open_store
from shared.tables import credentials
from shared.vault import load_vault
from tests.integration.microsoft_journey import CONNECT, Journey, query_of, with_query
from tests.unit.authorizer.console.visiting import ACTOR, PUBLIC, Console, Page, visited
from tests.waiting import until

OTHER_TENANT = "0a000000-0000-4000-8000-00000000dead"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    options = SandboxOptions(folder=tmp_path / "sandbox", mailboxes=3, events=1, tenants=2, interactive=True)
    made = await start(options)
    made.revoke()
    made.revoke(tenant=made.tenant_ids[1])
    yield made
    await made.stop()


@pytest.fixture
async def desk(sandbox: Sandbox, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    store, tokens = open_store(sqlite_url), Tokens(ca_file=str(sandbox.ca_file))
    vault = load_vault(tmp_path / "keys", create=True)
    app = GraphCredential(client_id=sandbox.client_id, client_secret=sandbox.client_secret)
    await orgs.put_credential(store, vault, DEFAULT, app, now=clock.now())
    async with open_session(str(sandbox.ca_file), connections=4) as session:

        def graph(cloud: Cloud, token: Callable[[], Awaitable[str]]) -> GraphClient:
            return GraphClient(session, cloud=cloud, token=token, forget=lambda: None)

        yield Desk(
            store=store,
            vault=vault,
            microsoft=Microsoft(tokens, graph),
            exchange=exchange(tokens, surroundings(str(sandbox.ca_file), "127.0.0.0/8")),
            settings=Settings(),
            sandbox_url=sandbox.url,
            tries={},
        )
    tokens.close()
    await store.close()
    await until(lambda: not sandbox._runner.server.connections)


@pytest.fixture
async def console(desk: Desk) -> AsyncIterator[Console]:
    async with visited(desk) as made:
        await made.enter()
        yield made


@pytest.fixture
def journey(console: Console, sandbox: Sandbox) -> Journey:
    return Journey(console, sandbox)


async def acts(console: Console) -> list[tuple[str, str, Any]]:
    """Return what the org's audit log has of it: who, what, details."""
    found = await audit.entries(console.store, "acme")
    assert audit.verify(found) is None
    return [(entry.actor, entry.action, entry.details) for entry in found]


async def verdict(console: Console) -> orgs.OrgState:
    """Have what is due verified, and return how the org stands."""
    (claimed,) = await verdicts.claim(console.store, now=clock.now(), limit=1)
    await settle(console.desk, claimed)
    found = await orgs.org(console.store, "acme")
    assert found is not None
    return found


def refused(page: Page, reason: str, status: int) -> None:
    assert page.status == status
    assert f"<code>{reason}</code>" in page.text


async def nothing_is_bound(console: Console) -> None:
    assert await orgs.org(console.store, "acme") is None


# the happy path


async def test_an_admin_who_signs_in_and_consents_connects_the_tenant_of_the_id_token(
    journey: Journey, console: Console
) -> None:
    page = await journey.connect()
    assert (page.status, page.location) == (303, WAITING)
    assert console.place.wakes.verify.is_set()
    found = await verdict(console)
    assert (found.state, found.tenant_id) == ("connected", journey.sandbox.tenant_id)
    assert found.connection == GraphConnection(tenant_id=journey.sandbox.tenant_id, credential=DEFAULT, cloud="sandbox")
    told = [entry for entry in await acts(console) if entry[0] == ACTOR]
    assert told[0] == (ACTOR, "microsoft.signed_in", {"role": "global_administrator"})
    assert told[1][1] == "org.requested"


async def test_a_privileged_role_administrator_may_connect_too(journey: Journey) -> None:
    address = await journey.to_consent("Privileged Role Administrator")
    page = await journey.consent(address, "Privileged Role Administrator")
    assert page.location == WAITING


async def test_the_sign_in_is_asked_for_with_pkce_state_and_nonce_and_comes_back_to_the_public_address(
    journey: Journey,
) -> None:
    asked = query_of(await journey.begin())
    assert asked["redirect_uri"] == f"{PUBLIC}/setup/microsoft/signed-in"
    assert (asked["response_type"], asked["code_challenge_method"], asked["prompt"]) == (
        "code",
        "S256",
        "select_account",
    )
    assert len(asked["state"]) >= 43
    assert len(asked["nonce"]) == 64
    assert "offline_access" not in asked["scope"]


async def test_the_consent_is_asked_of_the_tenant_that_signed_in_for_everything_registered(journey: Journey) -> None:
    address = await journey.to_consent(tenant=1)
    assert address.startswith(f"{journey.sandbox.url}/{journey.sandbox.tenant_ids[1]}/v2.0/adminconsent?")
    asked = query_of(address)
    assert asked["scope"] == f"{journey.sandbox.url}/.default"
    assert asked["redirect_uri"] == f"{PUBLIC}/setup/microsoft/consented"


async def test_the_page_waits_for_the_verdict_and_goes_on_once_it_is_good(journey: Journey, console: Console) -> None:
    await journey.connect()
    page = await console.get(WAITING)
    assert 'http-equiv="refresh"' in page.text
    await verdict(console)
    page = await console.get(WAITING)
    assert (page.status, page.location) == (303, "/setup/status")


async def test_a_refused_connection_shows_its_sentence_and_is_checked_again_on_demand(
    journey: Journey, console: Console
) -> None:
    await journey.connect()
    journey.sandbox.set_roles("User.Read.All", "MailboxSettings.Read")
    found = await verdict(console)
    assert found.reason == "calendar_permission_missing"
    page = await console.get(WAITING)
    assert "http-equiv" not in page.text
    assert "calendar_permission_missing" in page.text
    journey.sandbox.consent()
    assert (await console.post(f"{CONNECT}/again")).location == WAITING
    assert (await verdict(console)).state == "connected"


async def test_an_installation_scoped_in_exchange_connects_without_calendar_roles(
    journey: Journey, console: Console
) -> None:
    await journey.connect()
    journey.sandbox.set_roles("User.Read.All", "MailboxSettings.Read")
    journey.sandbox.allow_mailboxes(*(person.address for person in journey.sandbox.mailboxes()))
    assert (await verdict(console)).state == "connected"


async def test_a_tenant_of_another_org_is_refused(journey: Journey, console: Console) -> None:
    await journey.connect()
    await verdict(console)
    async with console.another() as other:
        await other.enter("zebra")
        assert (await Journey(other, journey.sandbox).connect()).location == WAITING
        (claimed,) = await verdicts.claim(console.store, now=clock.now(), limit=1)
        await settle(console.desk, claimed)
        assert "tenant_taken" in (await other.get(WAITING)).text


async def test_an_org_that_connects_anew_keeps_its_policy(journey: Journey, console: Console) -> None:
    await journey.connect()
    await verdict(console)
    await orgs.change_policy(console.store, "acme", Policy(show_free=True), actor="x", now=clock.now())
    await journey.connect()
    assert (await verdict(console)).policy == Policy(show_free=True)


# who may


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("Application Administrator", "role_application_administrator"),
        ("Cloud Application Administrator", "role_application_administrator"),
        ("Ordinary user", "role_missing"),
    ],
)
async def test_an_id_token_of_somebody_who_may_not_consent_ends_the_journey(
    journey: Journey, console: Console, title: str, reason: str
) -> None:
    refused(await journey.sign_in(title), reason, 403)
    assert (await acts(console))[-1][1:] == ("microsoft.sign_in_refused", {"reason": reason, "code": 0})
    await nothing_is_bound(console)


@pytest.mark.parametrize("readable", [False, True])
async def test_without_roles_in_the_id_token_nobody_can_wait_with_a_forged_consent_until_an_admin_has_consented(
    journey: Journey, console: Console, readable: bool
) -> None:
    if readable:
        journey.sandbox.consent()
    journey.sandbox.state.sign_ins.spoiling = Spoiling(without=("wids",))
    page = await journey.sign_in("Ordinary user")
    if page.status == 303:  # on to the consent, whose redirect an ordinary user writes by hand
        asked = query_of(page.location)
        tenant = journey.sandbox.tenant_ids[0]
        await console.get(f"/setup/microsoft/consented?admin_consent=True&tenant={tenant}&state={asked['state']}")
        journey.sandbox.consent()  # an administrator consents, for whomever
        assert (await verdict(console)).state != "connected"
    refused(page, "role_unproven", 403)
    await nothing_is_bound(console)


async def test_without_roles_the_org_that_has_the_tenant_may_connect_anew(journey: Journey, console: Console) -> None:
    await journey.connect()
    await verdict(console)
    journey.sandbox.state.sign_ins.spoiling = Spoiling(without=("wids",))
    assert (await journey.connect()).location == WAITING


# forgeries


async def test_a_forged_tenant_in_the_consent_redirect_binds_nothing(journey: Journey, console: Console) -> None:
    address = await journey.to_consent()
    path = await journey.press(address, persona=journey.persona().oid, answer="accept")
    page = await console.get(with_query(path, tenant=OTHER_TENANT))
    refused(page, "tenant_mismatch", 403)
    assert (await acts(console))[-1][1:] == ("microsoft.consent_refused", {"reason": "tenant_mismatch", "code": 0})
    await nothing_is_bound(console)
    refused(await console.get(path), "state_unknown", 403)


async def test_a_consent_for_another_tenant_than_signed_in_binds_nothing(journey: Journey, console: Console) -> None:
    refused(await journey.consent(await journey.to_consent(tenant=0), tenant=1), "tenant_mismatch", 403)
    await nothing_is_bound(console)


@pytest.mark.parametrize("missing", ["admin_consent", "tenant"])
async def test_a_consent_redirect_that_lacks_something_binds_nothing(
    journey: Journey, console: Console, missing: str
) -> None:
    path = await journey.press(await journey.to_consent(), persona=journey.persona().oid, answer="accept")
    page = await console.get(with_query(path, **{missing: None}))
    assert page.status in {400, 403}
    await nothing_is_bound(console)


async def test_an_error_beside_admin_consent_true_is_an_error(journey: Journey, console: Console) -> None:
    path = await journey.press(await journey.to_consent(), persona=journey.persona().oid, answer="accept")
    refused(await console.get(with_query(path, error="consent_required")), "consent_needed", 400)
    await nothing_is_bound(console)


@pytest.mark.parametrize("step", ["signed-in", "consented"])
async def test_a_state_that_nobody_began_with_is_refused(console: Console, step: str) -> None:
    query = f"code=x&state={'A' * 43}&admin_consent=True&tenant={OTHER_TENANT}"
    refused(await console.get(f"/setup/microsoft/{step}?{query}"), "state_unknown", 403)
    refused(await console.get(f"/setup/microsoft/{step}"), "state_unknown", 403)
    assert await acts(console) == []  # anybody could fill the log so


async def test_another_sessions_state_is_refused_and_stays_good_for_its_own(journey: Journey, console: Console) -> None:
    path = await journey.press(await journey.begin(), persona=journey.persona().oid)
    async with console.another() as attacked:
        await attacked.enter("victim")
        refused(await attacked.get(path), "state_unknown", 403)  # login CSRF: an attacker's code in a victim's browser
        assert await orgs.org(console.store, "victim") is None
    assert (await console.get(path)).status == 303


async def test_another_sessions_consent_is_refused(journey: Journey, console: Console) -> None:
    path = await journey.press(await journey.to_consent(), persona=journey.persona().oid, answer="accept")
    async with console.another() as other:
        await other.enter("victim")
        refused(await other.get(path), "state_unknown", 403)
        assert await orgs.org(console.store, "victim") is None


async def test_a_sign_ins_state_is_none_of_a_consent(journey: Journey, console: Console) -> None:
    state = query_of(await journey.begin())["state"]
    path = f"/setup/microsoft/consented?admin_consent=True&tenant={journey.sandbox.tenant_id}&state={state}"
    refused(await console.get(path), "state_unknown", 403)
    await nothing_is_bound(console)


async def test_a_state_is_good_for_one_return(journey: Journey, console: Console) -> None:
    path = await journey.press(await journey.begin(), persona=journey.persona().oid)
    assert (await console.get(path)).status == 303
    refused(await console.get(path), "state_unknown", 403)


async def test_a_state_is_good_for_ten_minutes(
    journey: Journey, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await journey.press(await journey.begin(), persona=journey.persona().oid)
    late = clock.now() + 600
    monkeypatch.setattr(clock, "now", lambda: late)
    refused(await console.get(path), "state_expired", 403)
    await nothing_is_bound(console)


async def test_a_state_ends_with_its_session(journey: Journey, console: Console) -> None:
    path = await journey.press(await journey.begin(), persona=journey.persona().oid)
    await console.post("/setup/sign-out")
    assert (await console.get(path)).location.startswith("/setup/signed-out")
    await console.enter()
    refused(await console.get(path), "state_unknown", 403)


async def test_a_code_of_another_sign_in_and_another_tenant_is_not_taken(journey: Journey, console: Console) -> None:
    mine, theirs = await journey.begin(), await journey.begin()
    stolen = query_of(await journey.press(theirs, persona=journey.persona(tenant=1).oid))["code"]
    path = await journey.press(mine, persona=journey.persona().oid)
    refused(await console.get(with_query(path, code=stolen)), "code_refused", 400)  # PKCE
    await nothing_is_bound(console)


@pytest.mark.parametrize(
    ("spoiling", "reason"),
    [
        (Spoiling(foreign_key=True), "id_token_signature"),
        (Spoiling(claims={"nonce": "another"}), "id_token_nonce"),
        (Spoiling(without=("nonce",)), "id_token_nonce"),
        (Spoiling(claims={"tid": OTHER_TENANT}), "id_token_issuer"),
        (Spoiling(claims={"iss": f"https://login.elsewhere.example/{OTHER_TENANT}/v2.0"}), "id_token_issuer"),
        (Spoiling(claims={"aud": "another-app"}), "id_token_audience"),
        (Spoiling(claims={"exp": 1}), "id_token_time"),
        (Spoiling(claims={"nbf": 4_000_000_000}), "id_token_time"),
        (Spoiling(claims={"tid": "../evil"}), "id_token_malformed"),
        (Spoiling(without=("tid",)), "id_token_malformed"),
    ],
)
async def test_an_id_token_that_does_not_hold_proves_nothing(
    journey: Journey, console: Console, spoiling: Spoiling, reason: str
) -> None:
    journey.sandbox.state.sign_ins.spoiling = spoiling
    refused(await journey.sign_in(), reason, 403)
    assert (await acts(console))[-1][2]["reason"] == reason
    await nothing_is_bound(console)


async def test_a_spoofed_host_changes_no_address(console: Console) -> None:
    spoofed = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Origin": PUBLIC}
    page = await console.post(CONNECT, {"cloud": "sandbox"}, headers=spoofed)
    assert "evil.example" not in page.location
    assert query_of(page.location)["redirect_uri"].startswith(f"{PUBLIC}/")


async def test_neither_the_page_nor_the_store_holds_the_flow_in_the_clear(journey: Journey, console: Console) -> None:
    address = await journey.begin()
    state = query_of(address)["state"]
    async with console.store.read() as reading:
        rows = (await reading.exec_driver_sql("SELECT * FROM sign_ins")).all()
    assert len(rows) == 1
    kept = repr([tuple(row) for row in rows])  # a row's own is cut in the middle
    assert state not in kept
    assert "code_verifier" not in kept


# Microsoft says no


@pytest.mark.parametrize(
    ("misstep", "reason", "status"),
    [
        (Misstep(step=Step.SIGN_IN, error="access_denied"), "declined", 400),
        (Misstep(step=Step.SIGN_IN, error="access_denied", code=50105), "not_assigned", 400),
        (Misstep(step=Step.SIGN_IN, error="interaction_required", code=53003), "sign_in_blocked", 400),
        (Misstep(step=Step.SIGN_IN, error="interaction_required"), "sign_in_again", 400),
        (Misstep(step=Step.SIGN_IN, error="temporarily_unavailable"), "busy", 503),
        (Misstep(step=Step.SIGN_IN, error="<script>alert(1)</script>"), "other", 400),
        (Misstep(step=Step.TOKEN, error="invalid_grant", code=70008), "code_refused", 400),
        (Misstep(step=Step.TOKEN, error="invalid_grant", code=50076), "proof_wanted", 400),
        (Misstep(step=Step.TOKEN, error="invalid_client", code=7000222), "app_credential", 400),
        (Misstep(step=Step.TOKEN, error="unauthorized_client", code=700016), "app_unknown", 400),
    ],
)
async def test_each_error_of_the_sign_in_is_told_in_its_own_words(
    journey: Journey, console: Console, misstep: Misstep, reason: str, status: int
) -> None:
    journey.sandbox.state.sign_ins.order(replace(misstep, message="<b>private text of Microsoft's</b>"))
    page = await journey.sign_in()
    refused(page, reason, status)
    assert "private text" not in page.text
    assert "<script>alert" not in page.text
    assert (f"AADSTS{misstep.code}" in page.text) is bool(misstep.code)
    await nothing_is_bound(console)


@pytest.mark.parametrize(
    ("misstep", "reason"),
    [
        (Misstep(step=Step.CONSENT, error="consent_required", code=65004), "declined"),
        (Misstep(step=Step.CONSENT, error="access_denied", code=90094), "consent_needed"),
        (Misstep(step=Step.CONSENT, error="invalid_client", code=650057), "registration_wrong"),
        (Misstep(step=Step.CONSENT, error="server_error"), "busy"),
    ],
)
async def test_each_error_of_the_consent_is_told_in_its_own_words(
    journey: Journey, console: Console, misstep: Misstep, reason: str
) -> None:
    address = await journey.to_consent()
    journey.sandbox.state.sign_ins.order(misstep)
    page = await journey.consent(address)
    refused(page, reason, 503 if reason == "busy" else 400)
    assert (await acts(console))[-1][1] == "microsoft.consent_refused"
    await nothing_is_bound(console)


async def test_an_admin_who_cancels_is_told_that_nothing_was_changed(journey: Journey, console: Console) -> None:
    address = await journey.begin()
    refused(await console.get(await journey.press(address, cancel="true")), "declined", 400)
    page = await console.get(await journey.press(await journey.to_consent(), answer="cancel"))
    refused(page, "declined", 400)
    assert "Nothing was changed" in page.text
    await nothing_is_bound(console)


async def test_a_sign_in_out_of_reach_is_told_at_once(desk: Desk) -> None:
    async with visited(replace(desk, sandbox_url="https://127.0.0.1:1")) as console:
        await console.enter()
        refused(await console.post(CONNECT, {"cloud": "sandbox"}), "unreachable", 503)


# the page


async def test_the_page_shows_the_least_permissions_and_what_they_are_for(console: Console) -> None:
    page = await console.get(CONNECT)
    assert page.status == 200
    for name in ("User.Read.All", "Calendars.Read", "MailboxSettings.Read", "Place.Read.All"):
        assert f"<code>{name}</code>" in page.text
    assert "<code>GroupMember.Read.All</code>" not in page.text  # asked for only where a policy names groups
    assert "Free/busy only" in page.text


async def test_without_an_app_the_page_says_so_and_offers_no_button(console: Console) -> None:
    async with console.store.write() as writing:
        await writing.execute(credentials.delete())
    page = await console.get(CONNECT)
    assert "busyline app set" in page.text
    assert f"{PUBLIC}/setup/microsoft/consented" in page.text
    assert "Authorize calendar access" not in page.text
    refused(await console.post(CONNECT, {"cloud": "sandbox"}), "app_missing", 400)


async def test_an_unknown_cloud_is_not_gone_to(console: Console) -> None:
    page = await console.post(CONNECT, {"cloud": "https://evil.example"})
    assert (page.status, page.location) == (303, f"{CONNECT}?missing=cloud")
    assert 'href="#f-cloud"' in (await console.get(page.location)).text


async def test_an_app_replaced_meanwhile_ends_the_journey(journey: Journey, console: Console) -> None:
    path = await journey.press(await journey.begin(), persona=journey.persona().oid)
    another = GraphCredential(client_id="97e0a5b7-d745-40b6-94fe-5f77d35c6e05", client_secret="x")
    await orgs.put_credential(console.store, console.place.vault, DEFAULT, another, now=clock.now())
    refused(await console.get(path), "app_missing", 400)


async def test_the_terms_are_shown_demanded_and_their_acceptance_is_written_down(desk: Desk, sandbox: Sandbox) -> None:
    terms = "You <b>agree</b> to everything.\nReally."
    async with visited(desk, terms=terms, terms_version="2026-11") as console:
        await console.enter()
        page = await console.get(CONNECT)
        assert "You &lt;b&gt;agree" in page.text
        assert "Version 2026-11" in page.text
        unticked = await console.post(CONNECT, {"cloud": "sandbox"})
        assert unticked.location == f"{CONNECT}?missing=terms&cloud=sandbox"
        assert 'href="#f-terms"' in (await console.get(unticked.location)).text
        assert await acts(console) == []
        await Journey(console, sandbox).begin(terms="yes")
        ((actor, action, details),) = await acts(console)
        assert (actor, action, details["version"]) == (ACTOR, "terms.accepted", "2026-11")


async def test_journeys_are_limited(journey: Journey, console: Console) -> None:
    for _ in range(20):
        await journey.begin()
    assert (await console.post(CONNECT, {"cloud": "sandbox"})).status == 429
