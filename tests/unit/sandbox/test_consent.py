"""Admin consent: what each endpoint says to a yes and to a no, and who is not redirected at all."""

from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from deploy.sandbox import worlds
from tests.unit.sandbox.asking import BASE, Caller, caller

SCOPE = f"{BASE}/.default"
REDIRECT = "https://app.example/back"


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=1, events=0)


async def consented(asking: Caller, path: str, **query: str) -> tuple[str, dict[str, str]]:
    given = {"client_id": worlds.CLIENT_ID, "redirect_uri": REDIRECT, "state": "12345"} | query
    answer = await asking.entra(path, query=urlencode(given))
    assert answer.status == 302, answer.body
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.scheme}://{parts.netloc}{parts.path}", {k: v[0] for k, v in parse_qs(parts.query).items()}


async def test_consent_redirects_with_the_tenant_and_grants(asking: Caller) -> None:
    asking.changes.revoke()
    target, said = await consented(asking, "/organizations/v2.0/adminconsent", scope=SCOPE)
    expected = {"admin_consent": "True", "tenant": asking.tenant.tenant_id, "scope": SCOPE, "state": "12345"}
    assert (target, said) == (REDIRECT, expected)
    assert (worlds.CLIENT_ID, asking.tenant.tenant_id) in asking.state.grants


async def test_a_refused_consent_says_so_in_each_endpoints_words(asking: Caller) -> None:
    asking.changes.revoke()
    asking.changes.refuse_consent()
    second = (await consented(asking, "/sandbox.example/v2.0/adminconsent", scope=SCOPE))[1]
    assert (second["admin_consent"], second["error"]) == ("True", "consent_required")
    first = (await consented(asking, "/common/adminconsent"))[1]
    assert first["error"] == "permission_denied"
    assert "admin_consent" not in first
    assert (worlds.CLIENT_ID, asking.tenant.tenant_id) not in asking.state.grants


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/sandbox.example/v2.0/adminconsent", {"redirect_uri": "elsewhere"}),
        ("/sandbox.example/v2.0/adminconsent", {}),
        ("/common/v2.0/adminconsent", {"scope": SCOPE}),
        ("/sandbox.example/adminconsent", {"client_id": "none"}),
    ],
)
async def test_a_wrong_consent_request_redirects_nobody(asking: Caller, path: str, query: dict[str, str]) -> None:
    given = {"client_id": worlds.CLIENT_ID, "redirect_uri": REDIRECT} | query
    assert (await asking.entra(path, query=urlencode(given))).status == 400


async def test_only_registered_addresses_are_redirected_to(tmp_path: Path) -> None:
    asking = caller(tmp_path, mailboxes=1, redirect_uris=(REDIRECT,))
    assert (await consented(asking, "/sandbox.example/adminconsent"))[0] == REDIRECT
    query = urlencode({"client_id": worlds.CLIENT_ID, "redirect_uri": f"{REDIRECT}/elsewhere"})
    assert (await asking.entra("/sandbox.example/adminconsent", query=query)).status == 400
