"""The command line for Exchange servers: which options belong together, and what a file of addresses may look like."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from deploy.command import testing_connection
from deploy.command.disconnecting import to_take_back
from deploy.command.exchange_options import exchange_connection, exchange_credential, exchange_options, is_exchange
from deploy.command.failures import Wrong
from deploy.command.main import main
from deploy.command.secret_files import app_options
from deploy.command.witness import addresses_of, own_credentials, servers_of, tenants_of
from services.authorizer.address_lists import MOST, addresses, decoded
from services.authorizer.preflight import Step
from shared.contracts.messages import (
    EwsConnection,
    GraphConnection,
    GroupSource,
    LdapSource,
    ListSource,
    RoomListsSource,
)
from shared.ews.credential import EwsCredential
from shared.identity import GraphCredential

URL = "https://mail.acme.example/EWS/Exchange.asmx"
MEMBER = ("--member", "Anna@acme.example")
ACCOUNT = ("--account", "ACME\\svc")
GROUP = ("--from-group", "Everyone@acme.example")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("canary-secret\n", encoding="utf-8")
    return file


def given_options(*arguments: str, typed: str = "") -> tuple[bool, EwsConnection | None, EwsCredential | None, str]:
    """Return what the options make, or the sentence of what is wrong with them."""
    made: list[Any] = []

    @click.command()
    @app_options
    @exchange_options
    def command(**options: object) -> None:
        made.append(is_exchange(options))
        if made[0]:
            made.extend((exchange_connection("acme-0123abcd", options), exchange_credential(options)))

    ran = CliRunner().invoke(command, arguments, input=typed)
    if ran.exit_code:
        assert isinstance(ran.exception, SystemExit), ran.exception
        return False, None, None, ran.output
    return made[0], *(made[1:] or (None, None)), ""


def good(*arguments: str, typed: str = "") -> tuple[EwsConnection, EwsCredential]:
    with_exchange, connection, credential, said = given_options(*arguments, typed=typed)
    assert with_exchange, said
    assert connection is not None
    assert credential is not None
    return connection, credential


def test_a_server_with_an_account_and_a_group_is_a_connection(secret: Path) -> None:
    connection, credential = good("--ews", URL, *ACCOUNT, "--password-file", str(secret), *MEMBER, *GROUP)
    assert (connection.url, connection.member, connection.auth) == (URL, "anna@acme.example", "")
    assert connection.directory == (GroupSource(address="everyone@acme.example"),)
    assert connection.credential == "acme-0123abcd"
    assert credential == EwsCredential(username="ACME\\svc", password="canary-secret")


def test_without_an_address_autodiscover_is_asked(secret: Path) -> None:
    connection, _ = good("--ews", *ACCOUNT, "--password-file", str(secret), *MEMBER, *GROUP)
    assert connection.url == ""


def test_a_password_without_a_file_is_typed() -> None:
    _, credential = good("--ews", URL, *ACCOUNT, *MEMBER, *GROUP, typed="canary typed\n")
    assert credential.password == "canary typed"


def test_no_option_takes_a_password() -> None:
    names = {name for command in ("connect", "test-connection") for name in options_of(command)}
    assert not [name for name in names if "password" in name and not name.endswith("-file")]
    assert "--client-secret" not in names


def options_of(command: str) -> list[str]:
    return [name for parameter in main.commands[command].params for name in parameter.opts]


def test_all_ways_to_list_mailboxes_go_together(secret: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("ben@acme.example\n", encoding="utf-8")
    connection, credential = good(
        "--ews", URL, *ACCOUNT, "--password-file", str(secret), *MEMBER, *GROUP, "--from-list", str(listed),
        "--from-rooms", "--ldap", "ldaps://dc.acme.example", "--ldap-base", "dc=acme", "--ldap-group", "cn=g,dc=acme",
        "--ldap-user", "reader", "--ldap-password-file", str(secret),
    )  # fmt: skip
    assert connection.directory == (
        LdapSource(url="ldaps://dc.acme.example", base="dc=acme", group="cn=g,dc=acme"),
        GroupSource(address="everyone@acme.example"),
        ListSource(addresses=("ben@acme.example",)),
        RoomListsSource(),
    )
    assert (credential.ldap_user, credential.ldap_password) == ("reader", "canary-secret")


def test_an_app_signs_in_with_oauth(secret: Path) -> None:
    app = ("--tenant", "Acme.example", "--client-id", "app", "--client-secret-file", str(secret))
    connection, credential = good("--ews", URL, *app, "--resource", "https://mail.acme.example", *MEMBER, *GROUP)
    assert (connection.tenant_id, connection.resource) == ("acme.example", "https://mail.acme.example")
    assert credential == EwsCredential(app=GraphCredential(client_id="app", client_secret="canary-secret"))


def test_options_of_microsoft_365_alone_are_no_exchange() -> None:
    assert given_options("--tenant", "t", "--client-id", "c") == (False, None, None, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*MEMBER,), "--member belongs to an Exchange server"),
        (("--from-rooms", "--tenant", "t"), "--from-rooms belongs to an Exchange server"),
        (("--ews", URL, *ACCOUNT, *GROUP), "--ews needs --member"),
        (("--ews", URL, *MEMBER, *GROUP), "--ews needs --account"),
        (("--ews", URL, *ACCOUNT, *MEMBER), "say whose calendars are read"),
        (("--ews", URL, *ACCOUNT, *MEMBER, *GROUP, "--outsider", "anna@ACME.example"), "--outsider is a mailbox"),
        (("--ews", URL, *ACCOUNT, *MEMBER, *GROUP, "--client-id", "x"), "give one of them"),
        (("--ews", URL, *ACCOUNT, *MEMBER, *GROUP, "--tenant", "x"), "give one of them"),
        (("--ews", URL, *MEMBER, *GROUP, "--auth", "oauth"), "OAuth needs --tenant and --client-id"),
        (("--ews", URL, *MEMBER, *GROUP, "--auth", "ntlm", "--tenant", "t", "--client-id", "c"), "give --account"),
        (("--ews", URL, *MEMBER, *GROUP, "--tenant", "t", "--client-id", "c"), "--client-secret-file or"),
        (("--ews", URL, *MEMBER, "--tenant", "t", "--client-id", "c", "--ldap", "ldaps://d", "--ldap-base", "dc=x"),
         "--ldap needs --ldap-user"),
        (("--ews", URL, *ACCOUNT, *MEMBER, "--ldap", "ldaps://dc"), "--ldap needs --ldap-base"),
        (("--ews", URL, *ACCOUNT, *MEMBER, "--ldap", "http://dc", "--ldap-base", "x"), "--ldap is an address such"),
        (("--ews", "mail.acme.example", *ACCOUNT, *MEMBER, *GROUP), "--ews is an address such as https://"),
        (("--ews", "https://u:p@mail.acme.example/", *ACCOUNT, *MEMBER, *GROUP), "without a name or password in it"),
        (("--ews", URL, *ACCOUNT, "--member", "Anna Person", *GROUP), "--member is one mailbox's address"),
        (("--ews", URL, *ACCOUNT, *MEMBER, *GROUP, "--outsider", "omar"), "--outsider is one mailbox's address"),
        (("--ews", URL, *ACCOUNT, *MEMBER, "--from-group", "cn=g,dc=x"), "--from-group is a distribution group's"),
        (("--ews", URL, *ACCOUNT, *MEMBER, *GROUP, "--cloud", "moon"), "--cloud is one of"),
        (("--ews", URL, *ACCOUNT, *MEMBER, *GROUP, "--auth", "digest"), "Invalid value for '--auth'"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_named(arguments: tuple[str, ...], said: str) -> None:
    _, _, _, told = given_options(*arguments)
    assert said in told


def test_an_empty_or_binary_password_file_is_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "password"
    wrong = ((b"\n", "is empty"), (b"\xff\xfe\x00", "is not a text file"), (b"\nx\n", "begins with an empty line"))
    for body, said in wrong:
        file.write_bytes(body)
        *_, told = given_options("--ews", URL, *ACCOUNT, "--password-file", str(file), *MEMBER, *GROUP)
        assert said in told


def test_the_mark_that_windows_puts_before_a_text_is_no_part_of_the_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"\xef\xbb\xbfcanary\r\n")
    _, credential = good("--ews", URL, *ACCOUNT, "--password-file", str(file), *MEMBER, *GROUP)
    assert credential.password == "canary"


@pytest.mark.parametrize("name", ["BUSYLINE_CA_FILE", "BUSYLINE_REACH_NETWORKS"])
def test_the_setting_that_is_wrong_is_named(name: str, secret: Path) -> None:
    arguments = ["--ews", URL, *ACCOUNT, "--password-file", str(secret), *MEMBER, *GROUP]
    ran = CliRunner().invoke(main, ["test-connection", *arguments], env={name: "/nothing"})
    assert (ran.exit_code, name in ran.output) == (2, True), ran.output


def test_connecting_to_microsoft_365_needs_what_it_always_needed() -> None:
    ran = CliRunner().invoke(main, ["connect", "acme", "--tenant", "t"])
    assert ran.exit_code == 2
    assert "--tenant and --client-id" in ran.output
    ran = CliRunner().invoke(main, ["test-connection", "--tenant", "t"])
    assert ran.exit_code == 2
    assert "give --ews" in ran.output


# -- files of addresses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Anna@acme.example\n\nben@acme.example\nANNA@acme.example\n",
        '#TYPE Selected\n"PrimarySmtpAddress"\n"Anna@acme.example"\n"ben@acme.example"\n',
        "Name,PrimarySmtpAddress,Database\nAnna,anna@acme.example,DB1\nBen,ben@acme.example,DB2\n",
        'Name;EmailAddress\n"A; B";anna@acme.example\nBen;ben@acme.example\n',
        "mail\tcn\nanna@acme.example\tAnna\nben@acme.example\tBen\n",
        'PrimarySmtpAddress,Name\nanna@acme.example,"two\nlines"\n ben@acme.example ,Ben\n,Nobody\n',
    ],
)  # fmt: skip
def test_a_list_and_a_table_give_the_same_addresses(text: str) -> None:
    assert addresses(text) == ("anna@acme.example", "ben@acme.example")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no address"),
        ("PrimarySmtpAddress\n", "no address"),
        ("Name,Database\nAnna,DB1\n", "neither an address a line"),
        ("anna@acme.example\nsecret words\n", "the 2. entry is not an address"),
        ("a@b\n" + "".join(f"p{n}@b\n" for n in range(MOST)), "more than"),
    ],
)
def test_a_file_without_addresses_says_why_and_quotes_nothing(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        addresses(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_powershell_writes_is_read(encoding: str) -> None:
    assert decoded("a@ü.example".encode(encoding)) == "a@ü.example"


def test_a_file_that_is_no_text_says_so() -> None:
    with pytest.raises(ValueError, match="neither UTF-8 nor UTF-16"):
        decoded(b"\x80\x81")


@given(st.lists(st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.example", fullmatch=True), min_size=1), st.sampled_from(",;\t"))
def test_addresses_come_out_once_and_in_their_order(listed: list[str], delimiter: str) -> None:
    table = "\n".join((f"Name{delimiter}PrimarySmtpAddress", *(f"x{delimiter}{address}" for address in listed)))
    assert addresses(table) == tuple(dict.fromkeys(listed)) == addresses("\n".join(listed))


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading(text: str) -> None:
    with suppress(ValueError):
        assert all("@" in address for address in addresses(text))


# -- what is shown, what is witnessed -----------------------------------------------------------------------------


def test_a_step_is_shown_with_its_mark_and_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for step in (
        Step(name="sign_in", found="fine"),
        Step(name="member", ok=False, reason="impersonation_denied"),
        Step(name="outsider", ok=None, reason="outsider_missing"),
    ):
        testing_connection.show(step)
    told = capsys.readouterr().out.splitlines()
    assert [line[0] for line in told] == ["✓", "✗", " ", "!", " "]
    assert told[0] == "✓ Sign-in  fine"
    assert told[2].startswith("    impersonation_denied: The account may not impersonate")


def test_a_witness_names_the_servers_and_addresses_of_an_exchange_connection() -> None:
    known = [
        EwsConnection(
            url="https://Mail.acme.example/ews", endpoint="https://ex1.acme.example/ews", member="anna@acme.example",
            outsider="omar@acme.example", resource="https://mail.acme.example",
            directory=(LdapSource(url="ldaps://dc.acme.example:636", base="dc=acme", group="cn=g"),
                       GroupSource(address="all@acme.example"), ListSource(addresses=("ben@acme.example",)),
                       RoomListsSource()),
        ),
        GraphConnection(tenant_id="tenant-1"),
    ]  # fmt: skip
    assert servers_of(known) == {"mail.acme.example", "ex1.acme.example", "dc.acme.example"}
    assert tenants_of(known) == {"tenant-1"}
    assert addresses_of(known) == {
        "anna@acme.example", "omar@acme.example", "all@acme.example", "ben@acme.example", "dc=acme", "cn=g",
    }  # fmt: skip


def test_what_is_left_to_an_admin_is_what_the_admin_gave() -> None:
    account = EwsConnection(member="a@x", directory=(RoomListsSource(),))
    assert "impersonate" in to_take_back(account)
    assert "consent" in to_take_back(GraphConnection(tenant_id="t"))
    assert "consent" in to_take_back(replace(account, tenant_id="t"))  # by OAuth


def test_a_credential_that_another_org_is_reached_by_is_not_witnessed() -> None:
    mine, other = (
        EwsConnection(member="a@x", directory=(RoomListsSource(),), credential="shared"),
        GraphConnection(tenant_id="t", credential="shared"),
    )
    stored = {"shared", "acme-0123abcd", "default", "else"}
    assert own_credentials("acme", stored, [mine], []) == {"shared", "acme-0123abcd"}
    assert own_credentials("acme", stored, [mine], [other]) == {"acme-0123abcd"}


def test_wrong_usage_is_told_apart_from_a_failed_step() -> None:
    assert Wrong("x").exit_code == 2
