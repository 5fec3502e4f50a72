"""`busyline setup-link`: what it prints, and what it refuses."""

import pytest
from click.testing import CliRunner, Result

from deploy.command.main import main
from services.authorizer.console.links import LinkRefused, checked
from shared import clock

URL = "https://setup.example"
KEY = "a key of this test that is long enough"
SET = {
    "BUSYLINE_AUTHORIZER_SETUP_URL": URL,
    "BUSYLINE_AUTHORIZER_SETUP_LINK_KEYS": f"{KEY}, the one before it was long enough too",
    "BUSYLINE_AUTHORIZER_SETUP_RETURN_TO": "https://platform.example/admin/",
}


def link(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["setup-link", *arguments], env={**SET, **environment})


def test_the_link_opens_the_setup_page_for_that_org_and_actor() -> None:
    back = "https://platform.example/admin/calendars"
    printed = link("acme", "--actor", "user-7", "--return-to", back, "--minutes", "2")
    assert printed.exit_code == 0
    start, _, token = printed.output.strip().partition("?link=")
    assert start == f"{URL}/setup/enter"
    found = checked(token, keys=(KEY,), public_url=URL, return_to=(back,), now=clock.now())
    assert (found.org_id, found.actor, found.return_to) == ("acme", "user-7", back)
    assert found.expires_at - found.issued_at == 120


def test_a_link_of_another_role_can_be_made_to_see_its_refusal() -> None:
    token = link("acme", "--actor", "user-7", "--role", "member").output.strip().partition("?link=")[2]
    with pytest.raises(LinkRefused) as caught:
        checked(token, keys=(KEY,), public_url=URL, return_to=(), now=clock.now())
    assert caught.value.reason == "role"


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (("acme",), {}, "--actor"),
        (("a/b", "--actor", "x"), {}, "letters, digits"),
        (("acme", "--actor", "a\nb"), {}, "printable"),
        (("acme", "--actor", "x", "--minutes", "11"), {}, "10"),
        (("acme", "--actor", "x", "--return-to", "https://evil.example"), {}, "--return-to is not at an address"),
        (("acme", "--actor", "x"), {"BUSYLINE_AUTHORIZER_SETUP_URL": ""}, "there is no setup page"),
        (("acme", "--actor", "x"), {"BUSYLINE_AUTHORIZER_SETUP_LINK_KEYS": "canary"}, "shorter than 32 bytes"),
    ],
)
def test_each_mistake_is_said_in_a_sentence(
    arguments: tuple[str, ...], environment: dict[str, str], sentence: str
) -> None:
    printed = link(*arguments, **environment)
    assert printed.exit_code == 2
    assert sentence in printed.output
    assert "canary" not in printed.output
