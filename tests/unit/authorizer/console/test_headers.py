"""The headers of every response, and the files that browsers load."""

import re

import pytest

from services.authorizer.console.assets import load, names
from services.authorizer.desk import Desk
from tests.unit.authorizer.console.visiting import Console, visited


@pytest.mark.parametrize("path", ["/setup/audit", "/setup/nothing", "/setup", "/setup/enter?link=x", "/livez"])
async def test_every_response_bears_them(console: Console, path: str) -> None:
    headers = (await console.get(path)).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';")
    assert "frame-ancestors 'none'; base-uri 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Server"] == "busyline"


async def test_forms_may_lead_to_microsoft_and_to_the_platform_and_nowhere_else(console: Console) -> None:
    policy = (await console.get("/setup/audit")).headers["Content-Security-Policy"]
    (targets,) = re.findall(r"form-action ([^;]*)", policy)
    assert targets.split()[0] == "'self'"
    assert "https://login.microsoftonline.com" in targets.split()
    assert "https://platform.example" in targets.split()
    assert all(target.startswith("https://") for target in targets.split()[1:])


async def test_plain_http_on_this_machine_promises_no_https(desk: Desk) -> None:
    async with visited(desk, public_url="http://127.0.0.1:8090") as stranger:
        page = await stranger.enter()
        assert "Strict-Transport-Security" not in page.headers
        assert "busyline=" in page.headers["Set-Cookie"]
        assert "Secure" not in page.headers["Set-Cookie"]
        assert (await stranger.get("/setup/connect")).status == 200


async def test_a_file_is_kept_for_good_under_the_address_that_names_its_content(stranger: Console) -> None:
    address = load()["setup.css"].address
    good = await stranger.get(address)
    assert (good.status, good.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    assert good.headers["Content-Type"] == "text/css; charset=utf-8"
    stale = await stranger.get("/setup/static/setup.css?v=000000000000")
    assert (stale.status, stale.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize("name", ["nothing.css", "..%2fweb.py", "%2e%2e/web.py", "setup.css%00", "__init__.py"])
async def test_nothing_but_those_files_is_served(stranger: Console, name: str) -> None:
    page = await stranger.get(f"/setup/static/{name}")
    assert page.status in {303, 404}
    assert "import" not in page.text


async def test_a_page_loads_its_own_files_alone_and_has_no_script_or_style_inside(console: Console) -> None:
    page = await console.get("/setup/connect")
    for address in re.findall(r'(?:src|href)="([^"]*)"', page.text):
        assert address.startswith(("/setup", "#"))
    assert not re.search(r"<script(?![^>]* src=)|<style|\bstyle=|\bon[a-z]+=", page.text)


def test_the_pages_own_sheet_comes_first() -> None:
    assert names(load(), "css")[0] == "setup.css"
    assert names(load(), "js")[0] == "setup.js"
