"""Who is let in to EWS, by which scheme, and what is counted of those who are not."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox import SandboxOptions, worlds
from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.changes import Changes
from deploy.sandbox.ews import sign_in
from deploy.sandbox.ews.call import Account
from deploy.sandbox.ews.world import FULL_ACCESS, ServiceAccount
from deploy.sandbox.options import ROLES
from deploy.sandbox.state import State
from tests.unit.sandbox.asking import NOW, Caller, caller, decoded

PASSWORD = "a password of the test"
UPN = "svc-busyline@sandbox.example"
SCOPE = "all.calendars@sandbox.example"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return world(tmp_path)


@pytest.fixture(scope="module")
def state_of_all(tmp_path_factory: pytest.TempPathFactory) -> State:
    return world(tmp_path_factory.mktemp("papers"))


def world(folder: Path, **options: Any) -> State:
    said: dict[str, Any] = {"now": NOW, "ews_password": PASSWORD, "mailboxes": 3, "events": 1} | options
    return worlds.build(SandboxOptions(folder=folder, **said), clock=lambda: NOW)


def basic(name: str, password: str = PASSWORD) -> str:
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


def asked(authorization: str = "", **headers: str) -> Ask:
    sent = {"host": "mail.sandbox.example"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if authorization:
        sent["authorization"] = authorization
    return Ask(method="POST", path="/EWS/Exchange.asmx", headers=sent, base="https://mail.sandbox.example")


def refused(state: State, authorization: str = "", **headers: str) -> Answer:
    found = sign_in.signed_in(state, asked(authorization, **headers), {})
    assert isinstance(found, Answer)
    return found


def admitted(state: State, authorization: str, **headers: str) -> Account:
    found = sign_in.signed_in(state, asked(authorization, **headers), {})
    assert isinstance(found, Account)
    return found


@pytest.mark.parametrize(
    "name", [UPN, UPN.upper(), "SANDBOX\\svc-busyline", "sandbox\\SVC-BUSYLINE", "svc-busyline", f"\\{UPN}"]
)
def test_basic_lets_an_account_in_under_each_of_its_names(state: State, name: str) -> None:
    account = admitted(state, basic(name))
    assert account == Account(name=UPN, tenant_id=next(iter(state.tenants)), scope=SCOPE)
    assert state.ews.sign_ins == {"basic": 1}


def test_an_unauthenticated_probe_learns_the_schemes_and_is_no_failed_sign_in(state: State) -> None:
    answer = refused(state)
    assert answer.status == 401
    schemes = [line.partition(" ")[0] for line in answer.headers["WWW-Authenticate"].split("\n")]
    assert schemes == ["Bearer", "Negotiate", "NTLM", "Basic"]
    assert not state.ews.failed_sign_ins


def test_only_the_schemes_on_offer_are_named_and_taken(tmp_path: Path) -> None:
    state = world(tmp_path, ews_schemes=("ntlm",))
    answer = refused(state, basic(UPN))
    assert answer.headers["WWW-Authenticate"].split("\n") == ["Negotiate", "NTLM"]
    assert not state.ews.failed_sign_ins  # a scheme that is not served looks at no password


def test_a_server_without_any_scheme_names_none(tmp_path: Path) -> None:
    assert "WWW-Authenticate" not in refused(world(tmp_path, ews_schemes=())).headers


@pytest.mark.parametrize(("name", "counted"), [(UPN, UPN), ("SANDBOX\\svc-busyline", UPN), ("NoBody", "nobody")])
def test_a_wrong_password_is_one_failed_sign_in_of_its_account(state: State, name: str, counted: str) -> None:
    assert refused(state, basic(name, "wrong")).status == 401
    assert state.ews.failed_sign_ins == {counted: 1}
    assert not state.ews.sign_ins


@pytest.mark.parametrize("broken", ["Basic", "Basic !!!", "Basic /w==", "Digest abc"])
def test_what_is_no_sign_in_at_all_is_asked_for_one(state: State, broken: str) -> None:
    assert refused(state, broken).status == 401


def test_a_locked_account_is_told_so_and_a_disabled_one_is_not(state: State) -> None:
    orders = Changes(state).ews
    orders.change_account(UPN, locked=True)
    assert b"currently locked out" in refused(state, basic(UPN)).body
    orders.change_account(UPN, locked=False, disabled=True)
    assert b"locked" not in refused(state, basic(UPN)).body
    assert state.ews.failed_sign_ins == {UPN: 2}
    assert not state.ews.sign_ins


def test_a_changed_password_holds_at_once(state: State) -> None:
    Changes(state).ews.change_account(UPN, password="another")
    assert refused(state, basic(UPN)).status == 401
    assert admitted(state, basic(UPN, "another")).name == UPN


def test_a_password_that_ntlm_cannot_keep_is_refused(state: State) -> None:
    with pytest.raises(ValueError, match="password"):
        Changes(state).ews.change_account(UPN, password="a:b")


def test_each_organisation_has_an_account_of_its_own(tmp_path: Path) -> None:
    state = world(tmp_path, tenants=2)
    account = admitted(state, basic("SANDBOX-2\\svc-busyline"))
    assert account.tenant_id == list(state.tenants)[1]
    assert account.scope == "all.calendars@sandbox-2.example"


def test_another_account_can_be_let_in(state: State) -> None:
    tenant_id = next(iter(state.tenants))
    other = ServiceAccount(
        domain="SANDBOX", user="narrow", upn="narrow@sandbox.example", password="x", tenant_id=tenant_id
    )
    Changes(state).ews.add_account(other)
    assert admitted(state, basic("narrow", "x")).scope == ""


def test_ews_that_is_shut_says_403_to_those_who_signed_in(state: State) -> None:
    Changes(state).ews.behave(shut=True)
    assert refused(state, basic(UPN)).status == 403
    assert refused(state, basic(UPN, "wrong")).status == 401


def test_a_blocked_client_says_403_and_others_are_let_in(state: State) -> None:
    Changes(state).ews.behave(blocked=("Busyline",))
    assert refused(state, basic(UPN), user_agent="busyline/1.0").status == 403
    assert admitted(state, basic(UPN), user_agent="Outlook").name == UPN


def test_everybody_can_be_sent_elsewhere(state: State) -> None:
    Changes(state).ews.behave(redirect="http://169.254.169.254/EWS/Exchange.asmx")
    answer = refused(state)
    assert (answer.status, answer.headers["Location"]) == (302, "http://169.254.169.254/EWS/Exchange.asmx")


async def bearer(asking: Caller, scope: str) -> str:
    form = (
        f"client_id={worlds.CLIENT_ID}&client_secret=a secret of the test&grant_type=client_credentials&scope={scope}"
    )
    answer = await asking.entra(f"/{asking.tenant.tenant_id}/oauth2/v2.0/token", form=form)
    return f"Bearer {decoded(answer)['access_token']}"


RESOURCES = ("https://127.0.0.1:8443", "https://outlook.office365.com", "https://outlook.office.com")


@pytest.mark.parametrize("resource", RESOURCES)
async def test_a_token_for_exchange_with_full_access_may_act_as_everybody(tmp_path: Path, resource: str) -> None:
    asking = caller(tmp_path, mailboxes=1, events=1, roles=(*ROLES, FULL_ACCESS))
    account = admitted(asking.state, await bearer(asking, f"{resource}/.default"))
    assert account == Account(name=worlds.CLIENT_ID, tenant_id=asking.tenant.tenant_id, scope="*")
    assert asking.state.ews.sign_ins == {"oauth": 1}


async def test_a_token_without_the_permission_is_refused_and_says_why(tmp_path: Path) -> None:
    asking = caller(tmp_path, mailboxes=1, events=1)
    answer = refused(asking.state, await bearer(asking, "https://outlook.office365.com/.default"))
    assert answer.status == 401
    assert "contains no permissions" in answer.headers["x-ms-diagnostics"]
    assert asking.state.ews.failed_sign_ins == {worlds.CLIENT_ID: 1}


async def test_a_token_for_graph_is_not_one_for_exchange(tmp_path: Path) -> None:
    asking = caller(tmp_path, mailboxes=1, events=1, roles=(*ROLES, FULL_ACCESS))
    answer = refused(asking.state, await bearer(asking, "https://graph.microsoft.com/.default"))
    assert "audience" in answer.headers["x-ms-diagnostics"]


async def test_a_token_ends_with_its_time_with_its_app_and_with_consent(tmp_path: Path) -> None:
    asking = caller(tmp_path, mailboxes=1, events=1, roles=(*ROLES, FULL_ACCESS))
    token = await bearer(asking, f"{RESOURCES[0]}/.default")
    asking.state.grants[worlds.CLIENT_ID, asking.tenant.tenant_id].enabled = False
    assert "disabled" in refused(asking.state, token).headers["x-ms-diagnostics"]
    asking.state.grants[worlds.CLIENT_ID, asking.tenant.tenant_id].enabled = True
    asking.now += 7200
    assert "expired" in refused(asking.state, token).headers["x-ms-diagnostics"]
    assert refused(asking.state, "Bearer made.up.token").status == 401


@given(scheme=st.sampled_from(["Basic", "NTLM", "Negotiate", "Bearer", ""]), raw=st.binary(max_size=120))
def test_nothing_but_the_right_words_lets_in(state_of_all: State, scheme: str, raw: bytes) -> None:
    for sent in (b64encode(raw).decode(), b64encode(b"NTLMSSP\0" + raw).decode(), raw.decode("latin-1")):
        assert refused(state_of_all, f"{scheme} {sent}").status == 401


def test_counts_begin_again_when_told_to(state: State) -> None:
    refused(state, basic(UPN, "wrong"))
    admitted(state, basic(UPN))
    Changes(state).ews.forget_sign_ins()
    assert not state.ews.failed_sign_ins
    assert not state.ews.sign_ins
