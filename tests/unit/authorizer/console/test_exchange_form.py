"""What a form about an Exchange server means: the connection, the credential, and each field that is wrong."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer.console.exchange_form import FIELDS, SECRETS, read, values_of
from services.authorizer.console.exchange_places import ldap_address, server_address
from shared.contracts.messages import EwsConnection, GroupSource, LdapSource, ListSource, RoomListsSource
from shared.ews.credential import EwsCredential
from shared.identity import GraphCredential

GOOD = {
    "find": "address",
    "url": "mail.acme.example",
    "account": "ACME\\svc",
    "password": " canary word ",
    "member": "Anna@Acme.example",
    "with_group": "yes",
    "groups": "Calendars@acme.example",
}
APP = {"auth": "oauth", "tenant": "Acme.example", "client_id": "app-1", "client_secret": "canary-secret"}
LDAP = {"with_ldap": "yes", "ldap_url": "dc1.acme.example", "ldap_base": "DC=acme,DC=example"}


def problems(**changes: str) -> dict[str, str]:
    return read({**GOOD, **changes}).problems


def test_a_good_form_is_a_connection_and_a_credential() -> None:
    found = read(GOOD)
    assert found.problems == {}
    assert found.connection == EwsConnection(
        url="https://mail.acme.example/EWS/Exchange.asmx",
        member="anna@acme.example",
        directory=(GroupSource(address="calendars@acme.example"),),
    )
    assert found.credential == EwsCredential(username="ACME\\svc", password=" canary word ")


def test_an_app_signs_in_by_oauth_at_its_tenant() -> None:
    found = read({**GOOD, **APP, "resource": "https://mail.acme.example"})
    assert found.connection is not None
    assert (found.connection.auth, found.connection.tenant_id) == ("oauth", "acme.example")
    assert found.connection.resource == "https://mail.acme.example"
    assert found.credential == EwsCredential(app=GraphCredential(client_id="app-1", client_secret="canary-secret"))


def test_every_sort_of_list_becomes_a_source() -> None:
    found = read({**GOOD, **LDAP, "with_rooms": "yes", "with_list": "yes", "list": "b@acme.example\nC@acme.example"})
    assert found.connection is not None
    assert found.connection.directory == (
        GroupSource(address="calendars@acme.example"),
        LdapSource(url="ldaps://dc1.acme.example", base="DC=acme,DC=example"),
        RoomListsSource(),
        ListSource(addresses=("b@acme.example", "c@acme.example")),
    )


def test_what_belongs_to_a_list_that_is_not_chosen_counts_for_nothing() -> None:
    assert problems(ldap_url="%%%", ldap_user="someone", list="no address") == {}


@pytest.mark.parametrize(
    ("changes", "field", "word"),
    [
        ({"url": ""}, "url", "exchange.missing.url"),
        ({"url": "https://user@mail.acme.example/"}, "url", "exchange.wrong.url"),
        ({"url": "ftp://mail.acme.example"}, "url", "exchange.wrong.url"),
        ({"url": "https://[::1"}, "url", "exchange.wrong.url"),
        ({"auth": "digest"}, "auth", "exchange.wrong.auth"),
        ({"account": ""}, "account", "exchange.missing.account"),
        ({"password": ""}, "password", "exchange.missing.password"),
        ({"password": "a\nb"}, "password", "exchange.wrong.secret"),
        ({"account": "a" * 1025}, "account", "exchange.wrong.long"),
        ({"member": ""}, "member", "exchange.missing.member"),
        ({"member": "anna"}, "member", "exchange.wrong.address"),
        ({"outsider": "omar"}, "outsider", "exchange.wrong.address"),
        ({"outsider": "ANNA@acme.example"}, "outsider", "exchange.wrong.outsider"),
        ({"with_group": ""}, "with_group", "exchange.missing.sources"),
        ({"groups": ""}, "groups", "exchange.missing.groups"),
        ({"groups": "no address"}, "groups", "exchange.wrong.groups"),
        ({"groups": "\n".join(f"g{n}@acme.example" for n in range(13))}, "groups", "exchange.wrong.many_groups"),
        ({"with_list": "yes"}, "list", "exchange.missing.list"),
        ({"with_list": "yes", "list": "anna"}, "list", "exchange.wrong.list"),
        ({**LDAP, "ldap_url": ""}, "ldap_url", "exchange.missing.ldap_url"),
        ({**LDAP, "ldap_url": "http://dc1"}, "ldap_url", "exchange.wrong.ldap_url"),
        ({**LDAP, "ldap_base": ""}, "ldap_base", "exchange.missing.ldap_base"),
        ({**LDAP, "ldap_base": "acme"}, "ldap_base", "exchange.wrong.dn"),
        ({**LDAP, "ldap_group": "acme"}, "ldap_group", "exchange.wrong.dn"),
        ({**LDAP, "ldap_user": "reader"}, "ldap_password", "exchange.missing.ldap_password"),
        ({**LDAP, **APP}, "ldap_user", "exchange.missing.ldap_user"),
        ({**APP, "tenant": ""}, "tenant", "exchange.missing.tenant"),
        ({**APP, "tenant": "a b"}, "tenant", "exchange.wrong.form"),
        ({**APP, "client_id": ""}, "client_id", "exchange.missing.client_id"),
        ({**APP, "client_secret": ""}, "client_secret", "exchange.missing.client_secret"),
        ({**APP, "cloud": "moon"}, "cloud", "exchange.wrong.cloud"),
        ({**APP, "resource": "mail"}, "resource", "exchange.wrong.form"),
    ],
)
def test_a_field_that_is_wrong_is_named(changes: dict[str, str], field: str, word: str) -> None:
    assert problems(**changes) == {field: word}


def test_autodiscover_needs_no_address() -> None:
    found = read({**GOOD, "find": "autodiscover", "url": "%%%"})
    assert found.connection is not None
    assert found.connection.url == ""


ADDRESSES = st.sampled_from(["a@x.example", "b@x.example", "c@x.example"])
SOURCES = st.lists(
    st.one_of(
        st.builds(GroupSource, address=ADDRESSES),
        st.just(RoomListsSource()),
        st.builds(ListSource, addresses=st.lists(ADDRESSES, min_size=1, unique=True).map(tuple)),
        st.builds(LdapSource, url=st.just("ldaps://dc1"), base=st.just("DC=x"), group=st.sampled_from(["", "CN=g"])),
    ),
    min_size=1,
    max_size=4,
    unique_by=type,
)
CONNECTIONS = st.builds(
    EwsConnection,
    member=st.just("member@x.example"),
    outsider=st.sampled_from(["", "other@x.example"]),
    directory=SOURCES.map(tuple),
    url=st.sampled_from(["", "https://mail.x.example/EWS/Exchange.asmx", "http://10.0.0.1:8080/ews"]),
    auth=st.sampled_from(["", "basic", "ntlm"]),
)


@given(CONNECTIONS)
def test_a_form_filled_in_from_a_connection_means_that_connection(connection: EwsConnection) -> None:
    credential = EwsCredential(username="svc", password="canary-password")
    found = read({**values_of(connection, credential), "password": "canary-password"})
    assert found.problems == {}
    assert found.connection is not None
    assert set(found.connection.directory) == set(connection.directory)
    assert msgspec.structs.replace(found.connection, directory=connection.directory) == connection
    assert found.credential == credential


@given(st.dictionaries(st.sampled_from([*FIELDS, *SECRETS]), st.text(max_size=30), max_size=20))
def test_any_form_is_either_good_or_says_what_is_wrong(given_values: dict[str, str]) -> None:
    found = read(given_values)
    assert (found.connection is None) == bool(found.problems)
    assert (found.credential is None) == bool(found.problems)


@given(st.text(min_size=20, alphabet=st.characters(min_codepoint=33, max_codepoint=126)))
def test_no_secret_is_among_the_values_that_are_shown_again(secret: str) -> None:
    filled: dict[str, Any] = {**GOOD, **LDAP, "ldap_user": "reader"}
    filled |= dict.fromkeys(SECRETS, secret)
    found = read(filled)
    assert found.credential is not None
    assert found.connection is not None
    assert secret not in str(found.values)
    assert secret not in str(values_of(found.connection, found.credential))
    assert secret not in repr(found)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("mail.acme.example", "https://mail.acme.example/EWS/Exchange.asmx"),
        ("https://mail.acme.example/", "https://mail.acme.example/EWS/Exchange.asmx"),
        ("mail.acme.example:8443", "https://mail.acme.example:8443/EWS/Exchange.asmx"),
        ("https://mail.acme.example/ews/exchange.asmx", "https://mail.acme.example/ews/exchange.asmx"),
        ("mail.acme.example@evil.example", ""),
        ("https://mail.acme.example\\@evil.example/", ""),
        ("javascript:alert(1)", ""),
        ("https://mail.acme.example/#@evil.example", ""),
        ("", ""),
    ],
)
def test_a_name_is_taken_for_the_address_of_its_server(typed: str, meant: str) -> None:
    assert server_address(typed) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("dc1", "ldaps://dc1"), ("ldap://dc1:389/", "ldap://dc1:389"), ("ldapi:///", ""), ("a b", ""), ("", "")],
)
def test_a_name_is_taken_for_the_address_of_its_directory(typed: str, meant: str) -> None:
    assert ldap_address(typed) == meant
