"""The commands that prepare an Exchange organisation: no name that an admin typed becomes a command of its own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer.console.exchange_guide import (
    Names,
    has_placeholders,
    listing,
    names,
    quoted,
    stages,
    undoing,
)

QUOTES = "'\u2018\u2019\u201a\u201b"
ODD = st.text(alphabet=[*QUOTES, '"', "`", "$", "(", ")", ";", "|", "\n", "\r", "\u2028", "\x85", "a", " ", "-"])
TEXTS = st.one_of(st.text(), ODD)


def literal(text: str) -> tuple[str, str]:
    """Read a PowerShell text in single quotes as PowerShell does; return what it says, and what follows it."""
    assert text[0] in QUOTES
    said, place = "", 1
    while True:
        letter = text[place]
        if letter not in QUOTES:
            said, place = said + letter, place + 1
        elif text[place + 1 : place + 2] and text[place + 1] in QUOTES:
            said, place = said + letter, place + 2
        else:
            return said, text[place + 1 :]


def without_literals(command: str) -> str:
    """Return a command with a mark where each of its texts in single quotes is; those in double ones are ours."""
    left = ""
    while (found := re.search(f'[{QUOTES}]|"[^"]*"', command)) is not None:
        left += command[: found.start()]
        if found[0].startswith('"'):
            left, command = left + found[0], command[found.end() :]
        else:
            left, command = left + "@", literal(command[found.start() :])[1]
    return left + command


@given(TEXTS)
def test_what_is_quoted_is_read_back_as_it_was_but_for_what_cannot_be_seen(text: str) -> None:
    said, rest = literal(quoted(text))
    assert rest == ""
    assert said == "".join(letter for letter in text if letter.isprintable()).strip()[:256]


@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
def test_no_name_becomes_a_command(account: str, domain: str, group: str, product: str, egress: str) -> None:
    told = {"account": account, "domain": domain, "group": group}
    odd = names({}, told, product=product, egress=(f"a{egress}",))
    plain = names({}, {}, product="Busyline", egress=("192.0.2.1",))
    for mine, usual in zip(stages(odd), stages(plain), strict=True):
        assert without_literals(mine.commands) == without_literals(usual.commands)
        assert mine.commands.count("\n") == usual.commands.count("\n")
    assert without_literals(undoing(odd)) == without_literals(undoing(plain))


@pytest.mark.parametrize(
    ("account", "alias", "domain"),
    [("ACME\\svc", "svc", "DOMAIN"), ("svc@acme.example", "svc", "acme.example"), ("", "svc-busyline", "DOMAIN")],
)
def test_the_account_is_named_as_it_was_written_down(account: str, alias: str, domain: str) -> None:
    found = names({"account": account}, {}, product="Busyline", egress=())
    assert (found.account, found.domain) == (alias, domain)


def test_what_is_told_for_the_commands_comes_first() -> None:
    values = {"account": "svc@acme.example", "groups": "all@acme.example", "member": "anna@acme.example"}
    found = names(values, {"account": "reader", "group": "some"}, product="P", egress=(" 192.0.2.1 ", ""))
    assert found == Names(
        product="P", account="reader", domain="acme.example", group="some", member="anna@acme.example",
        egress=("192.0.2.1",),
    )  # fmt: skip


def test_the_commands_limit_the_account_to_the_group() -> None:
    commands = {stage.name: stage.commands for stage in stages(Names(domain="acme.example", egress=("192.0.2.1",)))}
    assert "-Role ApplicationImpersonation" in commands["impersonation"]
    assert "-CustomRecipientWriteScope 'Busyline scope'" in commands["impersonation"]
    assert "-User 'svc-busyline@acme.example'" in commands["impersonation"]
    assert "-RemoteAddress '192.0.2.1'" in commands["firewall"]
    assert "PrimarySmtpAddress" in listing()


def test_without_addresses_of_its_own_nothing_is_opened_in_the_firewall() -> None:
    assert stages(Names())[-1].commands == ""


def test_it_is_known_whether_something_is_still_to_be_replaced() -> None:
    assert has_placeholders(Names())
    assert not has_placeholders(Names(domain="acme.example", member="anna@acme.example"))
