"""What a form was sent with."""

from typing import Any

import aiohttp
import pytest
from aiohttp import web

from services.authorizer.console import home
from services.authorizer.console.forms import MOST_FIELDS, Form, form
from services.authorizer.desk import Desk
from tests.unit.authorizer.console.visiting import Page, visited


async def sent(desk: Desk, monkeypatch: pytest.MonkeyPatch, fields: Any) -> tuple[Page, Form | None]:
    found: list[Form] = []

    async def take(request: web.Request) -> web.Response:
        found.append(await form(request))
        return web.Response()

    monkeypatch.setattr(home, "ROUTES", (web.post("/setup/take", take),))
    async with visited(desk) as console:
        await console.enter()
        if isinstance(fields, aiohttp.FormData):
            page = await console.ask("POST", "/setup/take", data=fields, headers={"X-CSRF-Token": console.csrf})
        else:
            page = await console.post("/setup/take", fields)
    return page, found[0] if found else None


async def test_fields_come_without_space_around_them_but_a_password_as_typed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found = await sent(desk, monkeypatch, [("name", " a "), ("box", "1"), ("box", "2"), ("password", " p ")])
    assert found is not None
    assert (found.get("name"), found["name"], found.exactly("password")) == ("a", "a", " p ")
    assert (found.every("box"), found.ticked("box"), found.ticked("none")) == (("1", "2"), True, False)
    assert (found.get("none"), found.get("none", "else"), "none" in found, "box" in found) == ("", "else", False, True)


async def test_a_file_comes_as_its_bytes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    data = aiohttp.FormData()
    data.add_field("list", b"a@b.example\n\xff", filename="list.csv", content_type="text/csv")
    _, found = await sent(desk, monkeypatch, data)
    assert found is not None
    assert found.files == {"list": b"a@b.example\n\xff"}


@pytest.mark.parametrize("value", ["a\x00b", "\x1b[31m", "\x7f"])
async def test_control_characters_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    page, found = await sent(desk, monkeypatch, {"name": value})
    assert (page.status, found) == (400, None)


async def test_lines_are_text(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = await sent(desk, monkeypatch, {"name": "a\r\n\tb"})
    assert found is not None
    assert found.get("name") == "a\r\n\tb"


async def test_more_fields_than_any_form_has_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    page, _ = await sent(desk, monkeypatch, [(f"f{number}", "") for number in range(MOST_FIELDS)])
    assert page.status == 400
