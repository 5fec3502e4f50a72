"""The entrance and the way out: every link and what becomes of it."""

import re
from pathlib import Path
from typing import Any

import pytest

from services.authorizer.console import sessions
from services.authorizer.desk import Desk
from shared import clock
from tests.unit.authorizer.console.visiting import ACTOR, BACK, KEY, ORG, PUBLIC, Console, visited

OURS = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}


async def test_a_platforms_link_leads_to_the_page_that_matters(stranger: Console) -> None:
    assert (await stranger.enter()).location == "/setup"
    page = await stranger.followed("/setup")
    assert "Connect your organisation" in page.text
    assert ORG in page.text
    assert ACTOR in page.text


async def test_the_cookie_is_ours_alone_and_no_script_reads_it(stranger: Console) -> None:
    kept = (await stranger.enter()).headers["Set-Cookie"]
    assert kept.startswith("__Host-busyline=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in kept.split(";")}
    assert "Domain" not in kept
    assert "Max-Age" not in kept


async def test_a_link_works_once(stranger: Console) -> None:
    path = stranger.link()
    assert (await stranger.get(path)).status == 303
    async with stranger.another() as second:
        page = await second.get(path)
        assert page.status == 400
        assert "This link was used already" in page.text
        assert second.session_id == ""


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "expired": ({"now": clock.now() - 700}, 400, "This link has expired"),
    "role": ({"role": "member"}, 403, "This page is for IT administrators"),
    "return_to": ({"return_to": "https://evil.example/"}, 400, "leads back to an unknown address"),
    "signature": ({"key": "a key that this setup page does not know"}, 400, "This link cannot be trusted"),
    "malformed": ({"public_url": "https://other.example"}, 400, "This link cannot be read"),
}


@pytest.mark.parametrize("word", REFUSED)
async def test_every_refusal_has_a_page_of_its_own_and_nobody_is_signed_in(stranger: Console, word: str) -> None:
    changed, status, title = REFUSED[word]
    page = await stranger.enter(**changed)
    assert page.status == status
    assert title in page.text
    assert "What to do" in page.text
    assert stranger.session_id == ""
    assert "evil.example" not in page.text


async def test_no_link_at_all_is_refused_as_well(stranger: Console) -> None:
    assert (await stranger.get("/setup/enter")).status == 400


async def test_a_refused_link_does_not_sign_out_who_is_in(console: Console) -> None:
    assert (await console.enter(role="member")).status == 403
    assert (await console.get("/setup/connect")).status == 200


async def test_looking_ahead_uses_no_link_up(stranger: Console) -> None:
    path = stranger.link()
    assert (await stranger.ask("HEAD", path)).status == 405
    assert (await stranger.get(path, headers={"Sec-Purpose": "prefetch"})).status == 503
    assert (await stranger.get(path)).status == 303


async def test_an_id_that_somebody_else_chose_is_never_taken_over(stranger: Console) -> None:
    planted = "A" * 43
    stranger.client.session.cookie_jar.update_cookies({"__Host-busyline": planted}, stranger.client.make_url("/"))
    await stranger.enter()
    assert stranger.session_id != planted
    assert (await stranger.get("/setup/connect")).status == 200


async def test_coming_again_as_the_same_person_begins_a_new_session_and_ends_the_old_one(console: Console) -> None:
    former = console.session_id
    assert (await console.enter()).status == 303
    assert console.session_id not in {"", former}
    found = await sessions.visit(console.store, console.place.vault, former, now=clock.now())
    assert found == "none"


async def test_a_link_for_another_org_asks_before_it_signs_in(console: Console) -> None:
    path = console.link("globex", actor="mallory")
    page = await console.get(path)
    assert page.status == 200
    assert "You are signed in already" in page.text
    assert "globex" in page.text
    assert "Organisation <strong>acme" not in page.text
    assert ">acme<" in (await console.get("/setup/connect")).text
    token = path.partition("link=")[2]
    assert (await console.post("/setup/enter", {"link": token}, headers=OURS)).location == "/setup"
    assert ">globex<" in (await console.get("/setup/connect")).text


async def test_another_site_cannot_answer_that_question(console: Console) -> None:
    token = console.link("globex").partition("link=")[2]
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert (await console.post("/setup/enter", {"link": token}, headers=headers)).status == 403
    assert ">acme<" in (await console.get("/setup/connect")).text


async def test_signing_out_leads_back_to_the_platform_and_ends_the_session(stranger: Console) -> None:
    await stranger.enter(return_to=BACK)
    former = stranger.session_id
    page = await stranger.post("/setup/sign-out")
    assert (page.status, page.location) == (303, BACK)
    assert stranger.session_id == ""
    found = await sessions.visit(stranger.store, stranger.place.vault, former, now=clock.now())
    assert found == "none"


async def test_signing_out_without_a_way_back_says_so(console: Console) -> None:
    page = await console.post("/setup/sign-out")
    assert page.location == "/setup/signed-out?reason=out"
    assert "You are signed out" in (await console.get(page.location)).text


async def test_two_browsers_have_a_session_each(console: Console) -> None:
    async with console.another() as second:
        await second.enter("globex")
        assert ">globex<" in (await second.get("/setup/connect")).text
        assert ">acme<" in (await console.get("/setup/connect")).text
        await second.post("/setup/sign-out")
        assert (await console.get("/setup/connect")).status == 200


async def test_what_a_link_says_is_shown_as_text(stranger: Console) -> None:
    await stranger.enter(actor='<img src=x onerror="alert(1)">')
    page = await stranger.get("/setup/connect")
    assert "<img src=x" not in page.text
    assert "&lt;img src=x" in page.text


async def test_the_documents_example_makes_a_link_that_opens_the_page(desk: Desk) -> None:
    page = Path(__file__).parents[4] / "docs" / "setup.md"
    example = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(example, names)
    async with visited(desk, link_keys=("a newer key that is long enough too!", KEY)) as stranger:
        link = names["setup_link"]("acme", "user-7", KEY).removeprefix(PUBLIC)
        assert (await stranger.get(link)).location == "/setup"
        assert "Signed in as user-7" in (await stranger.get("/setup/connect")).text
        assert (await stranger.post("/setup/sign-out")).location == BACK
