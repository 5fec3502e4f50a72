"""A browser for the whole run, and for each test an admin in a profile of its own; without Chromium tests are skipped.

With CI=true they fail instead. Screenshots are written to the folder that BUSYLINE_SCREENSHOTS names.
"""

import io
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.admin import Admin
from tests.browser.world import World, world

PLACES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NewAdmin = Callable[..., Awaitable[Admin]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every test of this folder in one loop, the browser's."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(600))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium on this machine."""
    found = next((path for name in PLACES if (path := shutil.which(name))), None)
    if found is None:
        text = "no Chromium here: install Debian's package `chromium`"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
    return found


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are written."""
    folder = os.environ.get("BUSYLINE_SCREENSHOTS", "")
    path = Path(folder) if folder else tmp_path_factory.mktemp("screenshots")
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One browser for the whole run."""
    expect.set_options(timeout=60_000)
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def place(tmp_path: Path) -> AsyncIterator[World]:
    """A world of the test's own, no org connected in it."""
    log = io.StringIO()
    async with world(tmp_path, log=log) as running:
        yield running
    wrong = [line for line in log.getvalue().splitlines() if '"level": "error"' in line]
    assert not wrong, "\n".join(wrong)


@pytest_asyncio.fixture(loop_scope="session")
async def admins(browser: Browser, place: World, screenshots: Path) -> AsyncIterator[NewAdmin]:
    """Makes admins, each with a browser profile of its own; none of them may have met an error of the page's script."""
    async with AsyncExitStack() as profiles:
        made: list[Admin] = []

        async def new(*, script: bool = True, width: int = 1280, zone: str = "Europe/Berlin") -> Admin:
            profile = await browser.new_context(
                ignore_https_errors=True,  # the sandbox's certificate is signed by a CA of its own
                java_script_enabled=script,
                viewport={"width": width, "height": 900},
                timezone_id=zone,
                reduced_motion="reduce",
            )
            profiles.push_async_callback(profile.close)
            profile.set_default_timeout(60_000)
            made.append(Admin(await profile.new_page(), place, screenshots))
            return made[-1]

        yield new
        complaints = [complaint for one in made for complaint in one.complaints]
        assert not complaints, "\n".join(complaints)


@pytest_asyncio.fixture(loop_scope="session")
async def admin(admins: NewAdmin) -> Admin:
    """One admin at a wide screen, scripting on."""
    return await admins()
