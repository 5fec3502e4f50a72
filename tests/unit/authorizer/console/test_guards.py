"""What stands before every page: the session, where a change comes from, what a failure looks like."""

import io
from typing import Any

import pytest
from aiohttp import web

from services.authorizer.console import home, sessions
from services.authorizer.console.links import signed
from services.authorizer.console.place import visit_of
from services.authorizer.desk import Desk
from shared import clock
from shared.errors import Retry
from tests.unit.authorizer.console.visiting import KEY, PUBLIC, Console, visited


async def test_without_a_session_every_page_shows_the_way_in(stranger: Console) -> None:
    for path in ("/setup", "/setup/connect", "/setup/audit"):
        page = await stranger.get(path)
        assert (page.status, page.location) == (303, "/setup/signed-out")
    page = await stranger.get("/setup/signed-out")
    assert "opens from your platform" in page.text


async def test_an_idle_session_is_told_so_and_its_cookie_taken_away(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = clock.now() + sessions.IDLE
    monkeypatch.setattr(clock, "now", lambda: later)
    page = await console.get("/setup/audit")
    assert page.location == "/setup/signed-out?reason=idle"
    assert console.session_id == ""
    assert "after 30 minutes" in (await console.get(page.location)).text


async def test_a_live_page_left_open_keeps_no_session(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + sessions.IDLE - 1)
    assert (await console.get("/setup/audit", headers={"Accept": "text/event-stream"})).status == 200
    monkeypatch.setattr(clock, "now", lambda: now + sessions.IDLE)
    assert (await console.get("/setup/audit")).status == 303


async def test_a_form_without_its_sessions_token_changes_nothing(console: Console) -> None:
    for token in ("", "0" * 64, sessions.csrf_token(console.place.vault, "another session")):
        assert (await console.post("/setup/sign-out", csrf=token)).status == 403
    assert (await console.get("/setup/audit")).status == 200


async def test_the_token_counts_in_a_header_as_well(console: Console) -> None:
    page = await console.ask("POST", "/setup/sign-out", headers={"X-CSRF-Token": console.csrf})
    assert page.status == 303


async def test_a_token_in_the_address_does_not_count(console: Console) -> None:
    assert (await console.ask("POST", f"/setup/sign-out?csrf={console.csrf}")).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "elsewhere", ""])
async def test_a_form_of_another_site_is_refused_even_with_the_token(console: Console, site: str) -> None:
    assert (await console.post("/setup/sign-out", headers={"Sec-Fetch-Site": site})).status == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://setup.example", PUBLIC + ":8443"])
async def test_a_form_of_another_origin_is_refused_even_with_the_token(console: Console, origin: str) -> None:
    assert (await console.post("/setup/sign-out", headers={"Origin": origin})).status == 403


async def test_a_form_of_ours_as_browsers_send_it_is_taken(console: Console) -> None:
    ours = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
    assert (await console.post("/setup/sign-out", headers=ours)).status == 303


async def test_the_host_header_says_nothing(console: Console) -> None:
    spoofed = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
    assert (await console.post("/setup/sign-out", headers=spoofed)).status == 403
    page = await console.get("/setup/connect", headers={"Host": "evil.example", "X-Forwarded-Proto": "http"})
    assert "evil.example" not in page.text


async def failing(kind: Exception, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Any:
    async def fail(_: web.Request) -> web.Response:
        raise kind

    monkeypatch.setattr(home, "ROUTES", (web.get("/setup/failing", fail),))
    async with visited(desk) as console:
        await console.enter()
        return await console.get("/setup/failing")


async def test_what_went_wrong_inside_is_not_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = await failing(RuntimeError("canary: private text"), desk, monkeypatch)
    assert page.status == 500
    assert "Something went wrong here" in page.text
    assert "canary" not in page.text + str(page.headers) + capsys.readouterr().out


async def test_each_refusal_has_a_page_of_its_own(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        400: web.HTTPBadRequest(),
        403: web.HTTPForbidden(),
        404: web.HTTPNotFound(),
        413: web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2),
        429: web.HTTPTooManyRequests(headers={"Retry-After": "30"}),
        503: Retry("purge_under_way", after=5.0),
    }
    titles = set()
    for status, kind in kinds.items():
        page = await failing(kind, desk, monkeypatch)
        assert page.status == status
        titles.add(page.text.split("<h1>")[1].split("</h1>")[0])
        if status == 429:
            assert page.headers["Retry-After"] == "30"
            assert "Try again in 30 seconds" in page.text
    assert len(titles) == len(kinds)


async def test_a_store_that_is_away_makes_a_page_that_needs_none(console: Console) -> None:
    async with console.store.write() as writing:
        await writing.exec_driver_sql("ALTER TABLE orgs RENAME TO away")
    page = await console.get("/setup/connect")
    assert page.status == 500
    assert "Something went wrong here" in page.text


async def test_a_method_that_a_page_does_not_take_is_told_which_it_does(console: Console) -> None:
    page = await console.ask("DELETE", "/setup/audit")
    assert page.status == 405
    assert "GET" in page.headers["Allow"]


async def test_a_body_larger_than_any_form_is_refused(console: Console) -> None:
    body, kind = io.BytesIO(b"x=" + b"x" * (5 * 2**20)), {"Content-Type": "application/x-www-form-urlencoded"}
    page = await console.ask("POST", "/setup/sign-out", data=body, headers=kind)
    assert page.status == 413


async def test_a_program_may_show_its_link_to_the_api_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def who(request: web.Request) -> web.Response:
        visit = visit_of(request)
        return web.Response(text=f"{visit.org_id} {visit.actor} {visit.csrf!r}")

    monkeypatch.setattr(home, "ROUTES", (web.get("/setup/api/v1/who", who), web.get("/setup/who", who)))
    async with visited(desk) as stranger:
        bearer = {"Authorization": "Bearer " + signed("acme", "bot", key=KEY, public_url=PUBLIC, now=clock.now())}
        assert (await stranger.get("/setup/api/v1/who", headers=bearer)).text == "acme bot ''"
        assert (await stranger.get("/setup/api/v1/who", headers=bearer)).status == 200
        assert (await stranger.get("/setup/who", headers=bearer)).status == 303
        assert (await stranger.get("/setup/api/v1/who", headers={"Authorization": "Bearer x"})).status == 401
        assert (await stranger.get("/setup/api/v1/who")).status == 401


async def test_a_bad_bearer_is_not_helped_by_a_good_session(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def here(_: web.Request) -> web.Response:
        return web.Response()

    monkeypatch.setattr(home, "ROUTES", (web.get("/setup/api/v1/here", here),))
    async with visited(desk) as console:
        await console.enter()
        assert (await console.get("/setup/api/v1/here")).status == 200
        assert (await console.get("/setup/api/v1/here", headers={"Authorization": "Basic x"})).status == 401


async def test_liveness_needs_no_session(stranger: Console) -> None:
    assert (await stranger.get("/livez")).status == 200
    assert (await stranger.get("/readyz")).status == 200
