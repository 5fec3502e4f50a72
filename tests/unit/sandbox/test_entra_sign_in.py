"""Signing people in: the page of accounts, what a code is worth and to whom, and every refusal with its number."""

import base64
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import msgspec
import pytest

from deploy.sandbox import entra, worlds
from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.personas import EVERYBODY, GLOBAL, Persona, personas
from deploy.sandbox.sign_ins import Misstep, Spoiling, Step
from tests.unit.sandbox.asking import BASE, NOW, SECRET, Caller, caller, decoded
from tests.unit.sandbox.test_control import order

REDIRECT = "https://app.example/back"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {
    "client_id": worlds.CLIENT_ID,
    "redirect_uri": REDIRECT,
    "response_type": "code",
    "scope": "openid profile",
    "state": "12345",
    "nonce": "n-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "client_info": "1",
}


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=1, events=0, tenants=2, interactive=True)


def person(asking: Caller, title: str = "Global Administrator", *, tenant: int = 0) -> Persona:
    found = list(asking.state.tenants.values())[tenant]
    return next(one for one in personas(found) if one.title == title)


async def visit(asking: Caller, path: str, query: dict[str, Any], **form: str) -> Answer:
    ask = Ask(
        method="POST" if form else "GET",
        path=path,
        query=urlencode(query),
        body=urlencode(form).encode(),
        base=BASE,
    )
    return await entra.answer(asking.state, ask)


async def authorize(asking: Caller, tenant: str = "organizations", *, form: Any = None, **query: str) -> Answer:
    return await visit(asking, f"/{tenant}/oauth2/v2.0/authorize", ASKED | query, **(form or {}))


def led_to(answer: Answer) -> dict[str, str]:
    assert answer.status == 302, answer.body
    parts = urlsplit(answer.headers["Location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == REDIRECT
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


async def code_of(asking: Caller, persona: Persona, **query: str) -> str:
    return led_to(await authorize(asking, form={"persona": persona.oid}, **query))["code"]


async def redeem(asking: Caller, code: str, tenant: str = "organizations", **changes: str) -> tuple[int, Any]:
    form = {
        "client_id": worlds.CLIENT_ID,
        "client_secret": SECRET,
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
    } | changes
    answer = await asking.entra(f"/{tenant}/oauth2/v2.0/token", form=urlencode(form))
    return answer.status, decoded(answer)


async def test_the_page_lists_the_accounts_of_every_tenant_those_of_the_one_named_first(asking: Caller) -> None:
    page = await authorize(asking, "sandbox-2.example")
    assert page.content_type.startswith("text/html")
    text = page.body.decode()
    assert text.index("Ordinary user of sandbox-2.example") < text.index("Global Administrator of sandbox.example")
    assert text.count('name="persona"') == 10


async def test_whom_a_hint_names_comes_first(asking: Caller) -> None:
    text = (await authorize(asking, login_hint="ordinary.user@sandbox-2.example")).body.decode()
    assert text.index("ordinary.user@sandbox-2.example") < text.index("global.administrator@sandbox.example")


async def test_a_code_is_worth_an_id_token_of_who_signed_in(asking: Caller) -> None:
    persona = person(asking, tenant=1)
    said = led_to(await authorize(asking, form={"persona": persona.oid}))
    assert said["state"] == "12345"
    info = msgspec.json.decode(base64.urlsafe_b64decode(said["client_info"] + "=="))
    assert info == {"uid": persona.oid, "utid": persona.tenant_id}
    status, answer = await redeem(asking, said["code"])
    assert status == 200
    keys = decoded(await asking.entra("/organizations/discovery/v2.0/keys"))["keys"]
    unlooked = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud")}
    claims = jwt.decode(answer["id_token"], jwt.PyJWK(keys[0]).key, algorithms=["RS256"], options=unlooked)  # type: ignore[arg-type]  # a TypedDict's keys
    assert claims["iss"] == f"{BASE}/{persona.tenant_id}/v2.0"
    assert (claims["aud"], claims["tid"], claims["oid"]) == (worlds.CLIENT_ID, persona.tenant_id, persona.oid)
    assert (claims["nonce"], claims["name"], claims["preferred_username"]) == ("n-1", persona.title, persona.upn)
    assert claims["wids"] == [GLOBAL, EVERYBODY]
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 3600)


async def test_an_access_token_of_a_person_reads_nothing(asking: Caller) -> None:
    asking.token = (await redeem(asking, await code_of(asking, person(asking))))[1]["access_token"]
    assert await asking.refused("/users") == (401, "InvalidAuthenticationToken")


async def test_an_ordinary_user_has_nobodys_role(asking: Caller) -> None:
    answer = (await redeem(asking, await code_of(asking, person(asking, "Ordinary user"))))[1]
    assert jwt.decode(answer["id_token"], options={"verify_signature": False})["wids"] == [EVERYBODY]


async def test_a_code_is_taken_once_and_for_a_minute(asking: Caller) -> None:
    code = await code_of(asking, person(asking))
    assert (await redeem(asking, code))[0] == 200
    assert (await redeem(asking, code))[1]["error_codes"] == [54005]
    late = await code_of(asking, person(asking))
    asking.now += 60
    status, said = await redeem(asking, late)
    assert (status, said["error"], said["error_codes"]) == (400, "invalid_grant", [70008])


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"code": "guessed"}, 9002313),
        ({"code_verifier": "w" * 43}, 501481),
        ({"redirect_uri": f"{REDIRECT}/elsewhere"}, 500112),
        ({"tenant": "sandbox-2.example"}, 700005),
        ({"client_secret": "wrong"}, 7000215),
        ({"client_id": "97e0a5b7-d745-40b6-94fe-5f77d35c6e05"}, 700016),
    ],
)
async def test_a_code_is_worth_nothing_to_another(asking: Caller, changes: dict[str, str], number: int) -> None:
    code = await code_of(asking, person(asking))
    assert (await redeem(asking, changes.pop("code", code), **changes))[1]["error_codes"] == [number]


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({"client_id": "unknown"}, 700016),
        ({"redirect_uri": "elsewhere"}, 50011),
        ({"response_type": "token"}, 700051),
        ({"response_mode": "form_post"}, 700051),
        ({"scope": ""}, 900144),
        ({"code_challenge_method": "plain"}, 501491),
    ],
)
async def test_a_wrong_request_redirects_nobody(asking: Caller, query: dict[str, str], number: int) -> None:
    answer = await authorize(asking, **query)
    assert (answer.status, decoded(answer)["error_codes"]) == (400, [number])


async def test_without_a_page_nobody_is_signed_in(asking: Caller) -> None:
    said = led_to(await authorize(asking, prompt="none"))
    assert said["error"] == "login_required"
    assert said["error_description"].startswith("AADSTS50058: ")


async def test_cancelling_leads_back_with_access_denied(asking: Caller) -> None:
    said = led_to(await authorize(asking, form={"cancel": "true"}))
    assert (said["error"], said["error_subcode"], said["state"]) == ("access_denied", "cancel", "12345")


async def test_an_unknown_person_is_asked_again(asking: Caller) -> None:
    assert (await authorize(asking, form={"persona": "nobody"})).status == 200


async def test_errors_come_as_ordered_and_as_often(asking: Caller) -> None:
    asking.state.sign_ins.order(Misstep(step=Step.SIGN_IN, error="interaction_required", code=50076, times=2))
    for _ in range(2):
        said = led_to(await authorize(asking))
        assert (said["error"], said["error_description"][:12]) == ("interaction_required", "AADSTS50076:")
    code = await code_of(asking, person(asking))
    asking.state.sign_ins.order(Misstep(step=Step.TOKEN, error="invalid_grant", code=53003, times=None))
    assert (await redeem(asking, code))[1]["error_codes"] == [53003]
    asking.state.sign_ins.clear()
    assert (await redeem(asking, code))[0] == 200


async def test_id_tokens_are_spoilt_as_ordered(asking: Caller) -> None:
    keys = decoded(await asking.entra("/common/discovery/v2.0/keys"))["keys"]
    asking.state.sign_ins.spoiling = Spoiling(claims={"nonce": "x"}, without=("wids",), foreign_key=True)
    token = (await redeem(asking, await code_of(asking, person(asking))))[1]["id_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["nonce"], "wids" in claims) == ("x", False)
    assert jwt.get_unverified_header(token)["kid"] == keys[0]["kid"]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, jwt.PyJWK(keys[0]).key, algorithms=["RS256"], audience=worlds.CLIENT_ID)


# consent on a page

CONSENT = {"client_id": worlds.CLIENT_ID, "redirect_uri": REDIRECT, "state": "6", "scope": f"{BASE}/.default"}


async def consent(asking: Caller, form: Any = None, *, path: str = "/organizations/v2.0/adminconsent") -> Answer:
    return await visit(asking, path, CONSENT, **(form or {}))


async def test_consent_is_asked_on_a_page_that_lists_what_is_asked_for(asking: Caller) -> None:
    asking.changes.revoke()
    await code_of(asking, person(asking, tenant=1))
    page = await consent(asking)
    assert page.status == 200
    assert "<li>Calendars.Read</li>" in page.body.decode()
    chosen = f'value="{person(asking, tenant=1).oid}" checked'
    assert chosen in page.body.decode()  # whoever signed in last
    assert (worlds.CLIENT_ID, asking.tenant.tenant_id) not in asking.state.grants


async def test_an_admin_accepts_for_their_own_tenant(asking: Caller) -> None:
    second = person(asking, "Privileged Role Administrator", tenant=1)
    asking.changes.revoke(tenant=second.tenant_id)
    said = led_to(await consent(asking, {"persona": second.oid, "answer": "accept"}))
    assert (said["admin_consent"], said["tenant"], said["state"]) == ("True", second.tenant_id, "6")
    assert (worlds.CLIENT_ID, second.tenant_id) in asking.state.grants


@pytest.mark.parametrize("title", ["Application Administrator", "Cloud Application Administrator", "Ordinary user"])
async def test_who_may_not_consent_is_told_so_and_can_only_go_back(asking: Caller, title: str) -> None:
    asking.changes.revoke()
    page = await consent(asking, {"persona": person(asking, title).oid, "answer": "accept"})
    assert page.status == 403
    assert "Need admin approval" in page.body.decode()
    assert (worlds.CLIENT_ID, asking.tenant.tenant_id) not in asking.state.grants


async def test_cancelling_a_consent_is_a_refusal_that_says_admin_consent_all_the_same(asking: Caller) -> None:
    said = led_to(await consent(asking, {"answer": "cancel"}))
    assert (said["admin_consent"], said["error"]) == ("True", "consent_required")
    assert said["error_description"].startswith("AADSTS65004: ")


async def test_errors_of_the_consent_come_as_ordered(asking: Caller) -> None:
    asking.state.sign_ins.order(Misstep(step=Step.CONSENT, error="server_error", message="Later."))
    assert led_to(await consent(asking))["error_description"].startswith("Later.")
    assert (await consent(asking)).status == 200


# control


async def test_control_lists_people_and_orders_what_goes_wrong(asking: Caller) -> None:
    status, said = order(asking, "GET", "sign-ins/personas")
    assert (status, len(said["personas"])) == (200, 10)
    assert order(asking, "POST", "sign-ins/missteps", {"step": "sign_in", "error": "access_denied"})[0] == 200
    assert led_to(await authorize(asking))["error"] == "access_denied"
    assert order(asking, "POST", "sign-ins/id-tokens", {"claims": {"nonce": "x"}})[0] == 200
    assert asking.state.sign_ins.spoiling.claims == {"nonce": "x"}
    assert order(asking, "DELETE", "sign-ins/missteps")[0] == 200
    assert asking.state.sign_ins.spoiling == Spoiling()
    assert order(asking, "PATCH", "sign-ins", {"interactive": False})[0] == 200
    assert (await consent(asking)).status == 302
    assert order(asking, "POST", "sign-ins/missteps", {"step": "nowhere", "error": "x"})[0] == 400
