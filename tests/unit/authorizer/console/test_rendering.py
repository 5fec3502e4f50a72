"""Pages and texts: everything is escaped, notices are shown once, ways on stay inside, every text is there."""

import re
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer.console import home, rendering, tabs, texts
from services.authorizer.console.rendering import away, moment
from services.authorizer.console.texts import CATALOGUE, merged, text
from services.authorizer.desk import Desk
from tests.unit.authorizer.console.visiting import visited

CONSOLE = Path(rendering.__file__).parent
SOURCES = [*CONSOLE.glob("*.py"), *CONSOLE.glob("templates/*.html")]


async def test_a_notice_is_shown_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def do(request: web.Request) -> web.Response:
        return away(request, "/setup/connect", notice="page.copied")

    monkeypatch.setattr(home, "ROUTES", (*home.ROUTES, web.post("/setup/do", do)))
    async with visited(desk) as console:
        await console.enter()
        page = await console.post("/setup/do")
        shown = await console.get(page.location)
        assert '<div class="notice good" role="status"><p>Copied</p></div>' in shown.text
        assert 'role="status"' not in (await console.get(page.location)).text


async def test_a_notice_that_is_no_text_of_ours_is_not_shown(desk: Desk) -> None:
    async with visited(desk) as console:
        await console.enter()
        jar, where = console.client.session.cookie_jar, console.client.make_url("/")
        jar.update_cookies({"__Host-busyline-notice": "<b>call 555 to verify</b>"}, where)
        assert "555" not in (await console.get("/setup/connect")).text


@pytest.mark.parametrize(
    "path", ["", "/", "/other", "//evil.example", "/setupx", "https://evil.example/setup/", "/setup/\\evil", "setup"]
)
async def test_the_way_on_is_a_page_of_ours(desk: Desk, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    async def do(request: web.Request) -> web.Response:
        with pytest.raises(ValueError, match="the way on"):
            away(request, path)
        return web.Response(text="refused")

    monkeypatch.setattr(home, "ROUTES", (web.get("/setup/do", do),))
    async with visited(desk) as console:
        await console.enter()
        assert (await console.get("/setup/do")).text == "refused"


@given(st.integers(0, 4_000_000_000))
def test_an_instant_is_written_for_programs_and_for_people(instant: int) -> None:
    written = moment(instant)
    (stamp,) = re.findall(r'datetime="([^"]*)"', written)
    assert int(datetime.fromisoformat(stamp).timestamp()) == instant
    assert str(datetime.fromtimestamp(instant, UTC).year) in written
    assert written.count("UTC") == 2


def test_an_instant_that_is_not_there_is_written_as_such() -> None:
    assert moment(None) == "-"
    assert moment(None, "<never>") == "&lt;never&gt;"


def test_every_text_that_a_page_names_is_there() -> None:
    named = set()
    for source in SOURCES:
        content = source.read_text(encoding="utf-8")
        named |= set(re.findall(r"""\bt\(\s*["']([a-z0-9_.]+)["']\s*[,)]""", content))
        named |= set(re.findall(r"""\btext\(\s*"([a-z0-9_.]+)"\s*[,)]""", content))
        named |= set(re.findall(r"""notice="([a-z0-9_.]+)\"""", content))
    assert len(named) > 30
    assert not {key for key in named if key not in CATALOGUE}


def test_no_text_names_a_value_by_its_place() -> None:
    for key, sentence in CATALOGUE.items():
        names = [name for _, name, _, _ in Formatter().parse(sentence) if name is not None]
        assert all(name.isidentifier() for name in names), key


def test_one_of_a_thing_has_a_text_of_its_own() -> None:
    assert text("error.429.wait", count=1) == "Try again in one second."
    assert text("error.429.wait", count=2) == "Try again in 2 seconds."


def test_a_text_that_is_not_there_is_a_bug() -> None:
    with pytest.raises(KeyError):
        text("no.such.text")


def test_two_parts_may_not_have_the_same_text() -> None:
    with pytest.raises(ValueError, match="a\\.b"):
        merged({"a.b": "x"}, {"a.b": "x"})
    assert merged({"a": "x"}, {"b": "y"}) == {"a": "x", "b": "y"}


def test_every_tab_and_every_state_has_a_text() -> None:
    for state, found in tabs._BY_STATE.items():
        assert f"state.{state}" in texts.CATALOGUE
        assert all(f"tab.{tab.name}" in texts.CATALOGUE for tab in found)


def test_no_template_turns_escaping_off() -> None:
    for source in CONSOLE.glob("templates/*.html"):
        content = source.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape\s+false|Markup", content), source.name
