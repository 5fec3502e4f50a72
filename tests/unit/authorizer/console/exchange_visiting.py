"""Connecting an Exchange server on the setup page, as tests do it again and again: a form sent, a test waited for."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping

from tests.unit.authorizer.console.visiting import Browser, Page

CANARY = "canary-Password-1"
FORM = {
    "find": "address",
    "url": "mail.acme.example",
    "auth": "",
    "account": "svc@acme.example",
    "password": CANARY,
    "member": "anna@acme.example",
    "outsider": "omar@acme.example",
    "with_group": "yes",
    "groups": "calendars@acme.example",
}
HERE = "/setup/connect/exchange"
DEADLINE = 10.0


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await found():
            await asyncio.sleep(0.02)


async def begun(browser: Browser, form: Mapping[str, str] = FORM) -> Page:
    """Send the form; return the way on."""
    return await browser.post(f"{HERE}/test", form)


async def ended(browser: Browser, path: str) -> Page:
    """Look at a test until it has ended, as a browser without script does."""
    pages: list[Page] = []

    async def over() -> bool:
        pages.append(await browser.get(path))
        return 'http-equiv="refresh"' not in pages[-1].text

    await until(over)
    return pages[-1]


async def tried(browser: Browser, form: Mapping[str, str] = FORM) -> Page:
    way = await begun(browser, form)
    assert way.status == 303
    assert way.location.startswith(f"{HERE}/test?id=")
    return await ended(browser, way.location)


def id_of(page: Page) -> str:
    found = re.search(r'name="test" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]
