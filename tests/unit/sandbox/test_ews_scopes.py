"""As whom a request may act, and in which words it is refused."""

from pathlib import Path

import pytest

from deploy.sandbox import SandboxOptions, worlds
from deploy.sandbox.changes import Changes
from deploy.sandbox.directory import Reach
from deploy.sandbox.ews import scopes
from deploy.sandbox.ews.call import Account, SoapFault
from deploy.sandbox.state import State
from tests.unit.sandbox.asking import NOW

PERSON = "person.0001@sandbox.example"
ALL = "all.calendars@sandbox.example"


@pytest.fixture
def state(tmp_path: Path) -> State:
    options = SandboxOptions(folder=tmp_path, now=NOW, mailboxes=10, events=1, ews_password="x")
    return worlds.build(options, clock=lambda: NOW)


def account(scope: str = ALL, mailbox: str = "") -> Account:
    return Account(name="svc", tenant_id="", scope=scope, mailbox=mailbox)


def acting(state: State, name: str | None, kind: str = "PrimarySmtpAddress", *, scope: str = ALL) -> str:
    tenant = next(iter(state.tenants.values()))
    found = scopes.acting(state, tenant, account(scope), name, kind)
    return "" if found is None else found.address


def refusal(state: State, name: str, kind: str = "PrimarySmtpAddress", *, scope: str = ALL) -> SoapFault:
    with pytest.raises(SoapFault) as refused:
        acting(state, name, kind, scope=scope)
    assert refused.value.status == 500
    return refused.value


@pytest.mark.parametrize("name", [PERSON, "PERSON.0002@Sandbox.Example", "Room.0001@sandbox.example"])
def test_a_member_of_the_scope_may_be_acted_as(state: State, name: str) -> None:
    assert acting(state, name) == name.lower()


def test_who_is_not_in_the_scope_may_not_be_acted_as(state: State) -> None:
    odd = "odd.numbers@sandbox.example"
    assert acting(state, PERSON, scope=odd) == PERSON
    assert refusal(state, "person.0002@sandbox.example", scope=odd).code == "ErrorImpersonateUserDenied"


@pytest.mark.parametrize("scope", ["", "nobody@sandbox.example", "no.such.group@sandbox.example"])
def test_without_the_role_nobody_may_be_acted_as(state: State, scope: str) -> None:
    refused = refusal(state, PERSON, scope=scope)
    assert refused.code == "ErrorImpersonateUserDenied"
    assert refused.message == "The account does not have permission to impersonate the requested user."


def test_everybody_may_be_acted_as_under_full_access(state: State) -> None:
    Changes(state).add_user("new@sandbox.example")
    assert refusal(state, "new@sandbox.example").code == "ErrorImpersonateUserDenied"
    assert acting(state, "new@sandbox.example", scope="*") == "new@sandbox.example"


def test_a_scope_may_count_direct_members_only(state: State) -> None:
    Changes(state).ews.behave(nested=False)
    assert acting(state, "person.0002@sandbox.example") == "person.0002@sandbox.example"
    assert refusal(state, PERSON).code == "ErrorImpersonateUserDenied"


def test_membership_can_change(state: State) -> None:
    orders = Changes(state).ews
    Changes(state).add_user("new@sandbox.example")
    orders.change_members(add=("new@sandbox.example",), remove=(PERSON,))
    assert acting(state, "new@sandbox.example") == "new@sandbox.example"
    assert refusal(state, PERSON).code == "ErrorImpersonateUserDenied"


@pytest.mark.parametrize("name", ["no.body@sandbox.example", "premises.0001@sandbox.example", ALL])
def test_who_has_no_mailbox_here_is_named_so_before_any_scope_is_looked_at(state: State, name: str) -> None:
    refused = refusal(state, name, scope="")
    assert refused.code == "ErrorNonExistentMailbox"
    assert refused.message == "The SMTP address has no mailbox associated with it."


def test_a_mailbox_that_is_shut_is_denied_under_full_access_too(state: State) -> None:
    Changes(state).change_user(PERSON, reach=Reach.DENIED)
    assert refusal(state, PERSON, scope="*").code == "ErrorImpersonateUserDenied"


def test_a_secondary_address_is_answered_with_the_right_one(state: State) -> None:
    Changes(state).ews.add_alias("Room.0001@sandbox.example", "Board@sandbox.example")
    refused = refusal(state, "board@sandbox.example")
    assert refused.code == "ErrorNonPrimarySmtpAddress"
    assert refused.values == {"Primary": "Room.0001@sandbox.example"}
    assert acting(state, "board@sandbox.example", "SmtpAddress") == "room.0001@sandbox.example"


def test_a_principal_name_finds_its_person_and_a_wrong_one_nobody(state: State) -> None:
    assert acting(state, PERSON, "PrincipalName") == PERSON
    assert refusal(state, "no.body@sandbox.example", "PrincipalName").code == "ErrorInvalidUserPrincipalName"
    assert refusal(state, "S-1-5-21-1-2-3-4", "SID").code == "ErrorInvalidUserSid"


def test_a_header_without_a_name_is_refused(state: State) -> None:
    assert refusal(state, " ").code == "ErrorInvalidExchangeImpersonationHeaderData"


def test_without_a_header_the_account_acts_as_itself_or_as_nobody(state: State) -> None:
    tenant = next(iter(state.tenants.values()))
    assert acting(state, None) == ""
    found = scopes.acting(state, tenant, account(mailbox=PERSON), None)
    assert found is not None
    assert found.address == PERSON


def test_a_folder_of_calendars_has_a_scope_with_everybody_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "calendars"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.ics").write_text("BEGIN:VCALENDAR\nEND:VCALENDAR\n")
    options = SandboxOptions(folder=tmp_path, now=NOW, calendars=folder, ews_password="x")
    state = worlds.build(options, clock=lambda: NOW)
    assert [acting(state, f"{name}@sandbox.example") for name in "ab"] == ["a@sandbox.example", "b@sandbox.example"]
