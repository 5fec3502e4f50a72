"""What is odd about a connection, how one signs in, and where a token may go: decided before anything is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer import preflight
from services.authorizer.preflight import EVERYTHING, NEEDED, ONLINE, TITLES, Step
from shared.contracts.messages import RoomListsSource
from shared.contracts.policy import Detail
from shared.ews.credential import EwsCredential
from tests.unit.authorizer.exchange_fakes import APP, MEMBER, PASSWORD, ews

WORDS = st.sets(st.sampled_from(["basic", "ntlm", "oauth"])).map(tuple)


def reasons(steps: tuple[Step, ...]) -> list[str]:
    assert all(step.ok is None and step.title and step.sentence for step in steps)
    return [step.reason for step in steps]


def test_nothing_is_odd_about_an_ordinary_connection() -> None:
    assert preflight.oddities(ews(), PASSWORD) == ()
    assert preflight.of_endpoint(ews().url) == ()


@pytest.mark.parametrize(
    "name", ["administrator", "Admin", "admin.jones", "exadmin", "Domain-Admin", "it.administrator"]
)
def test_an_administrators_mailbox_is_warned_of(name: str) -> None:
    assert reasons(preflight.oddities(ews(member=f"{name}@acme.example"), PASSWORD)) == ["member_is_administrator"]


@pytest.mark.parametrize("name", ["anna", "jadmin", "badminton", "sadie"])
def test_an_ordinary_mailbox_is_not_taken_for_an_administrators(name: str) -> None:
    assert not preflight.looks_like_an_administrator(f"{name}@acme.example")


@pytest.mark.parametrize(
    ("account", "same"),
    [
        ("svc@acme.example", True),
        ("svc@AD.Acme.Example", True),
        ("svc@example", True),
        ("ACME\\svc", True),
        ("acme.example\\svc", True),
        ("svc", True),
        ("svc@other.example", False),
        ("OTHER\\svc", False),
        ("svc@evilacme.example", False),
    ],
)
def test_an_account_of_another_domain_is_warned_of(account: str, same: bool) -> None:
    credential = EwsCredential(username=account, password="x")
    assert reasons(preflight.oddities(ews(), credential)) == ([] if same else ["domains_differ"])


@pytest.mark.parametrize("host", sorted(ONLINE))
def test_exchange_online_is_warned_of(host: str) -> None:
    assert reasons(preflight.of_endpoint(f"https://{host.upper()}/EWS/Exchange.asmx")) == ["exchange_online"]
    assert reasons(preflight.of_endpoint(f"https://{host}.evil.example/EWS/Exchange.asmx")) == []


def test_plain_http_is_warned_of() -> None:
    assert reasons(preflight.of_endpoint("http://mail.acme.example/EWS/Exchange.asmx")) == ["plain_http"]


@pytest.mark.parametrize(
    ("auth", "credential", "offered", "scheme", "reason"),
    [
        ("", PASSWORD, ("basic", "ntlm", "oauth"), "ntlm", ""),
        ("", PASSWORD, ("basic",), "basic", ""),
        ("basic", PASSWORD, ("basic", "ntlm"), "basic", ""),
        ("ntlm", PASSWORD, ("basic",), "", "scheme_not_offered"),
        ("", PASSWORD, ("oauth",), "", "scheme_without_credential"),
        ("", PASSWORD, (), "", "no_scheme"),
        ("", APP, ("basic", "oauth"), "oauth", ""),
        ("", APP, ("basic",), "oauth", ""),
        ("basic", APP, ("basic",), "", "scheme_without_credential"),
        ("oauth", PASSWORD, ("oauth",), "", "scheme_without_credential"),
    ],
)
def test_the_way_to_sign_in_is_the_best_that_fits(
    auth: str, credential: EwsCredential, offered: tuple[str, ...], scheme: str, reason: str
) -> None:
    assert preflight.scheme_for(ews(auth=auth), credential, offered) == (scheme, reason)


@given(st.sampled_from(["", "basic", "ntlm", "oauth"]), st.booleans(), WORDS)
def test_a_way_is_found_or_a_reason_and_a_password_never_goes_as_a_token(
    auth: str, with_app: bool, offered: tuple[str, ...]
) -> None:
    scheme, reason = preflight.scheme_for(ews(auth=auth), APP if with_app else PASSWORD, offered)
    assert bool(scheme) != bool(reason)
    assert not scheme or (scheme == "oauth") == with_app
    assert not scheme or scheme == "oauth" or scheme in offered


def test_a_token_goes_to_the_server_it_is_issued_for_and_to_no_other() -> None:
    own = ews(resource="https://mail.acme.example/")
    assert preflight.tokens_may_go(own, "https://MAIL.acme.example/EWS/Exchange.asmx")
    assert not preflight.tokens_may_go(own, "https://evil.example/EWS/Exchange.asmx")
    assert preflight.tokens_may_go(ews(), "https://outlook.office365.com/EWS/Exchange.asmx")
    assert not preflight.tokens_may_go(ews(), "https://mail.acme.example/EWS/Exchange.asmx")


def test_a_second_mailbox_is_one_of_a_list_or_the_outsider() -> None:
    assert preflight.second(ews(outsider="omar@acme.example")) == "ben@acme.example"
    assert preflight.second(ews(outsider="omar@acme.example", directory=(RoomListsSource(),))) == "omar@acme.example"
    assert preflight.second(ews(outsider="")) == "ben@acme.example"
    assert preflight.second(ews(outsider="", member="ben@acme.example")) == MEMBER


def test_every_policy_needs_steps_that_there_are() -> None:
    assert set(NEEDED) == set(Detail)
    assert frozenset[str]().union(*NEEDED.values()) == EVERYTHING
    assert set(TITLES) >= EVERYTHING
