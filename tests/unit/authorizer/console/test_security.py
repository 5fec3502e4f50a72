"""Attacks on the setup page: each route of the application is tried, whichever there are."""

from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

from tests.unit.authorizer.console.attacking import (
    ELSEWHERE,
    Route,
    changing,
    connected,
    crawled,
    put_mailbox,
    reading,
    routes,
    stored,
)
from tests.unit.authorizer.console.visiting import ORG, Browser, Console, Page

EVIL = "https://evil.example"
SEEN = ("sessions",)  # when somebody was seen last is written down
SCRIPT = "<script>alert(1)</script>"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Server": "busyline",
}


@pytest.fixture
async def console(stranger: Console) -> Console:
    """An admin of acme, which is connected, beside an org beta."""
    await connected(stranger.store)
    await stranger.enter()
    return stranger


def app_of(console: Console) -> Any:
    server: Any = console.client.server
    return server.app


async def tried(browser: Browser, route: Route, **rest: Any) -> Page:
    """Ask a route; of a stream only the beginning is read."""
    async with browser.client.request(route.method, route.path, allow_redirects=False, **rest) as answer:
        stream = answer.content_type == "text/event-stream"
        return Page(answer.status, "" if stream else await answer.text(), answer.headers.copy())


# -- who may enter --------------------------------------------------------------------------------------------------


async def test_every_route_but_the_open_ones_needs_somebody_signed_in(stranger: Console) -> None:
    await connected(stranger.store)
    before = await stored(stranger.store)
    for route in routes(app_of(stranger)):
        if route.is_open:
            continue
        page = await tried(stranger, route)
        if route.is_api:
            assert (page.status, page.headers["Content-Type"]) == (401, "application/problem+json"), route
        elif route.method in ("GET", "HEAD"):
            assert (page.status, page.location) == (303, "/setup/signed-out"), route
        else:
            assert page.status in (303, 403), route
    assert await stored(stranger.store) == before


async def test_what_is_open_to_everybody_is_known(stranger: Console) -> None:
    found = {(one.method, one.path) for one in routes(app_of(stranger)) if one.is_open and one.method != "HEAD"}
    assert found == {
        ("GET", "/"),
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/setup/enter"),
        ("POST", "/setup/enter"),
        ("GET", "/setup/signed-out"),
        ("GET", "/setup/api/openapi.json"),
        ("GET", f"/setup/static/{ELSEWHERE}"),
    }


async def test_a_session_that_an_attacker_planted_is_not_the_one_that_begins(stranger: Console) -> None:
    planted = "A" * 43
    stranger.client.session.cookie_jar.update_cookies({"__Host-busyline": planted})
    await stranger.enter()
    assert stranger.session_id not in ("", planted)
    async with stranger.another() as attacker:
        attacker.client.session.cookie_jar.update_cookies({"__Host-busyline": planted})
        assert (await attacker.get("/setup/audit")).location.startswith("/setup/signed-out")


async def test_a_session_that_was_there_before_ends_when_another_begins(stranger: Console) -> None:
    await stranger.enter()
    former = stranger.session_id
    await stranger.enter()
    assert stranger.session_id != former
    async with stranger.another() as attacker:
        attacker.client.session.cookie_jar.update_cookies({"__Host-busyline": former})
        assert (await attacker.get("/setup/audit")).location.startswith("/setup/signed-out")


async def test_nobody_is_signed_in_for_another_org_by_a_link_alone(console: Console) -> None:
    """Login CSRF: an attacker's link, followed unawares, must not put an admin's work into the attacker's org."""
    mine = console.session_id
    page = await console.enter("attackers", actor="mallory@evil.example")
    assert page.status == 200
    assert "attackers" in page.text
    assert console.session_id == mine
    assert ORG in (await console.followed("/setup")).text


async def test_another_site_cannot_make_a_browser_change_orgs(console: Console) -> None:
    token = console.link("attackers").partition("link=")[2]
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": EVIL}, {"Sec-Fetch-Site": "same-site"}, {}):
        body = aiohttp.FormData({"link": token})
        page = await console.ask("POST", "/setup/enter", data=body, headers=headers)
        assert page.status == 403, headers
    assert (await console.get("/setup/audit")).status == 200


@pytest.mark.parametrize(
    "back",
    [
        EVIL,
        "//evil.example/admin/",
        "https://platform.example.evil.example/admin/",
        "https://platform.example@evil.example/admin/",
        "https://platform.example/admin/../../evil",
        "https://platform.example/admin/%2e%2e/evil",
        "https://platform.example/administrator",
        "https://platform.example:444/admin/",
        "http://platform.example/admin/",
        "https://platform.example\\@evil.example/admin/",
        "javascript:alert(1)//https://platform.example/admin/",
        "https://platform.example/admin/\r\nLocation: https://evil.example",
    ],
)
async def test_a_link_with_a_foreign_way_back_opens_nothing(stranger: Console, back: str) -> None:
    page = await stranger.enter(return_to=back)
    assert (page.status, stranger.session_id, page.location) == (400, "", "")
    assert back not in page.text


async def test_signing_out_leads_to_the_platform_and_nowhere_else(stranger: Console) -> None:
    await stranger.enter(return_to="https://platform.example/admin/calendars?tab=1")
    page = await stranger.post("/setup/sign-out?return_to=https://evil.example", {"return_to": EVIL, "next": EVIL})
    assert page.location == "https://platform.example/admin/calendars?tab=1"


async def test_a_link_that_a_browser_followed_opens_the_api_no_more(stranger: Console) -> None:
    """A link lies in a browser's history and in logs on the way; it must be worth nothing there."""
    path = stranger.link()
    bearer = {"Authorization": f"Bearer {path.partition('link=')[2]}"}
    assert (await stranger.get("/setup/api/v1/status", headers=bearer)).status == 200
    await stranger.get(path)
    async with stranger.another() as attacker:
        assert (await attacker.get("/setup/api/v1/status", headers=bearer)).status == 401


# -- changes --------------------------------------------------------------------------------------------------------


async def test_every_change_is_refused_without_the_sessions_token(console: Console) -> None:
    async with console.another() as other:
        await other.enter()
        theirs = other.csrf
    before = await stored(console.store, but=SEEN)
    tried_out = changing(app_of(console))
    assert len(tried_out) > 3
    for route in tried_out:
        for token in ("", "x", "0" * 64, theirs, console.session_id):
            body = aiohttp.FormData({"csrf": token, "org_id": ORG})
            page = await tried(console, route, data=body)
            assert page.status == 403, (route, token)
        assert (await tried(console, route)).status == 403, route
        assert (await tried(console, route, json={"csrf": console.csrf})).status == 403, route
    assert await stored(console.store, but=SEEN) == before


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": EVIL}, {"Origin": "null"}],
)
async def test_every_change_is_refused_that_another_site_sends(console: Console, headers: dict[str, str]) -> None:
    before = await stored(console.store, but=SEEN)
    for route in changing(app_of(console)):
        body = aiohttp.FormData({"csrf": console.csrf, "org_id": ORG})
        assert (await tried(console, route, data=body, headers=headers)).status == 403, route
    assert await stored(console.store, but=SEEN) == before


async def test_no_page_that_is_only_looked_at_changes_anything(console: Console) -> None:
    before = await stored(console.store, but=SEEN)
    for placed in (ELSEWHERE, "m-1"):
        for route in routes(app_of(console), placed=placed):
            if route.method == "GET" and route.path != "/setup/enter":
                assert (await tried(console, route)).status < 500, route
    await crawled(console, "/setup")
    assert await stored(console.store, but=SEEN) == before


async def test_a_method_that_a_route_does_not_know_changes_nothing(console: Console) -> None:
    before = await stored(console.store, but=SEEN)
    for path in {route.path for route in routes(app_of(console)) if not route.is_open}:
        for method in ("DELETE", "PATCH", "TRACE"):
            assert (await tried(console, Route(method, path))).status in (403, 404, 405), (method, path)
    assert await stored(console.store, but=SEEN) == before


# -- other organisations --------------------------------------------------------------------------------------------


async def test_another_orgs_ids_are_unknown_in_every_route(console: Console) -> None:
    before = await stored(console.store, but=SEEN)
    placed = [route for route in routes(app_of(console)) if ELSEWHERE in route.path and not route.is_open]
    assert placed
    for route in placed:
        headers = {"X-CSRF-Token": console.csrf}
        page = await tried(console, route, headers=headers, data=aiohttp.FormData({"csrf": console.csrf}))
        assert page.status in (404, 415), route
        absent = Route(route.method, route.path.replace(ELSEWHERE, "m-of-nobody"))
        same = await tried(console, absent, headers=headers, data=aiohttp.FormData({"csrf": console.csrf}))
        assert same.status == page.status
        assert same.text.replace("m-of-nobody", ELSEWHERE) == page.text
    assert await stored(console.store, but=SEEN) == before


async def test_nothing_of_another_org_is_on_any_page(console: Console) -> None:
    found = await crawled(console, "/setup", *_plain(console))
    assert len(found) > 5
    for path, page in found.items():
        assert "beta" not in page.text, path
        assert ELSEWHERE not in page.text, path


async def test_an_org_named_in_the_address_or_the_form_is_not_looked_at(console: Console) -> None:
    for name in ("org", "org_id", "tenant"):
        page = await console.get(f"/setup/mailboxes?{name}=beta")
        assert ELSEWHERE not in page.text


def _plain(console: Console) -> list[str]:
    return [route.path for route in reading(app_of(console)) if ELSEWHERE not in route.path and not route.is_open]


# -- what is shown --------------------------------------------------------------------------------------------------


async def test_every_answer_bears_the_headers(console: Console) -> None:
    asked = [*routes(app_of(console)), Route("GET", "/setup/nothing"), Route("GET", "/nothing"), Route("PUT", "/setup")]
    for route in asked:
        page = await tried(console, route)
        policy = page.headers["Content-Security-Policy"]
        assert {name: page.headers.get(name) for name in HEADERS} == HEADERS, route
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'"), route
        assert "unsafe" not in policy, route
        assert "frame-ancestors 'none'" in policy, route
        assert "base-uri 'none'" in policy, route
        kept = route.path.startswith("/setup/static/") and page.status == 200
        assert page.headers["Cache-Control"] == ("no-cache" if kept else "no-store"), route
        assert "max-age" in page.headers["Strict-Transport-Security"], route
        assert "Access-Control-Allow-Origin" not in page.headers, route


async def test_the_cookie_is_for_this_host_over_https_and_for_no_script(stranger: Console) -> None:
    said = (await stranger.enter()).headers["Set-Cookie"]
    assert said.startswith("__Host-busyline=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(said.split("; "))
    assert "Domain" not in said


async def test_no_page_has_a_script_or_a_style_of_its_own(console: Console) -> None:
    for path, page in (await crawled(console, "/setup", *_plain(console))).items():
        if "text/html" in page.headers.get("Content-Type", ""):
            assert "<style" not in page.text, path
            assert " style=" not in page.text, path
            assert " onclick=" not in page.text, path
            assert page.text.count("<script") == page.text.count('<script src="/setup/static/'), path


async def test_text_of_strangers_is_shown_as_text(stranger: Console) -> None:
    """Mailbox names, the actor, and what servers said: none of it is ever markup."""
    await connected(stranger.store)
    quoted = '"><img src=x onerror=alert(1)>'
    await put_mailbox(stranger.store, "m-x", address=f"{quoted}@acme.example", bucket="denied", reason=SCRIPT)
    await put_mailbox(stranger.store, "m-y", address=f"{SCRIPT}@acme.example", waiting=quoted)
    await put_mailbox(stranger.store, "m-z", address="{{ 7*7 }}@acme.example", kind=SCRIPT)
    await stranger.enter(actor=f"{SCRIPT}{quoted}")
    begins = ["/setup", *_plain(stranger), "/setup/mailboxes/m-x", "/setup/mailboxes/m-y", "/setup/mailboxes/m-z"]
    begins += [f"/setup/mailboxes?text={SCRIPT}", f"/setup/audit?page={quoted}", f"/setup/signed-out?reason={SCRIPT}"]
    found = await crawled(stranger, *begins)
    assert any("&lt;script&gt;" in page.text for page in found.values())
    for path, page in found.items():
        if "html" in page.headers.get("Content-Type", ""):
            assert SCRIPT not in page.text, path
            assert "<img src=x" not in page.text, path
            assert "49@acme.example" not in page.text, path


async def test_what_went_wrong_inside_is_shown_to_nobody(console: Console) -> None:
    async with console.store.write() as writing:
        await writing.execute(text("DROP TABLE orgs"))
    failed = 0
    for route in reading(app_of(console)):
        page = await tried(console, route)
        failed += page.status >= 500
        for told in ("Traceback", "sqlalchemy", "sqlite", "no such table", ".py"):
            assert told not in page.text, route
    assert failed > 5


async def test_the_links_token_is_on_no_page(console: Console) -> None:
    token = console.link().partition("link=")[2]
    refused = await console.get(f"/setup/enter?link={token}x")
    assert token not in refused.text
    for path, page in (await crawled(console, "/setup", *_plain(console))).items():
        assert "eyJ" not in page.text, path


async def test_a_host_named_by_the_browser_is_in_no_answer(console: Console) -> None:
    for route in reading(app_of(console)):
        page = await tried(console, route, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
        assert "evil.example" not in page.text, route
        assert "evil.example" not in page.location, route
