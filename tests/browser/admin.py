"""An admin at a browser: what they do on every page, and how a page is looked at."""

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.async_api import ConsoleMessage, Page, Request, expect

from tests.browser.world import World

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = {"wide": 1280, "phone": 360}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_AXE = Path(str(axe_playwright_python.__file__)).parent / "axe.min.js"


class Admin:
    """One admin with one page; `complaints` are what the browser and axe complained about, and requests to others."""

    def __init__(self, page: Page, place: World, screenshots: Path) -> None:
        self.page = page
        self.place = place
        self.screenshots = screenshots
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        ours = message.location.get("url", "").startswith(self.place.url)
        if message.type == "error" and ours and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        allowed = (self.place.url, self.place.sandbox.url, "data:", "https://platform.example")
        if not request.url.startswith(allowed):
            self.complaints.append(f"asked {request.url}")

    @property
    def path(self) -> str:
        """The path that the browser is at."""
        return urlsplit(self.page.url).path

    async def enters(self, org_id: str = "acme", **claims: Any) -> None:
        """Follow a platform's link."""
        await self.page.goto(self.place.link(org_id, **claims))

    async def opens(self, path: str) -> int:
        """Open a page below /setup and return its status."""
        answer = None
        while answer is None:  # the page that was open loaded itself anew at that moment: what it shows had changed
            answer = await self.page.goto(f"{self.place.url}{path}")
        return answer.status

    async def presses(self, name: str) -> None:
        """Press a button by its name."""
        await self.page.get_by_role("button", name=name).click()

    async def follows(self, name: str) -> None:
        """Follow a link by its name."""
        await self.page.get_by_role("link", name=name).first.click()

    async def reads(self, text: str, *, within: float = 60) -> None:
        """Wait until the page says something."""
        await expect(self.page.locator("body")).to_contain_text(text, timeout=within * 1000)

    async def arrives(self, path: str, *, within: float = 60) -> None:
        """Wait until the browser is at a path."""
        await self.page.wait_for_url(lambda url: urlsplit(url).path == path, timeout=within * 1000)

    async def looks(self, name: str) -> None:
        """Take a picture of the page in both themes, wide and on a phone, and note what axe finds in each."""
        found: dict[str, list[str]] = {}
        size = self.page.viewport_size
        for theme in THEMES:
            await self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            for wide, width in WIDTHS.items():
                await self.page.set_viewport_size({"width": width, "height": 900})
                shown = f"{name}-{theme}-{wide}"
                await self.page.screenshot(path=self.screenshots / f"{shown}.png", full_page=True)
                overflow = await self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
                if overflow:
                    found[shown] = ["the page is wider than the screen"]
                if violations := await self._violations():
                    found.setdefault(shown, []).extend(violations)
        if size is not None:
            await self.page.set_viewport_size(size)
        await self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        self.complaints += [f"{shown}: {one}" for shown, flaws in found.items() for one in flaws]

    async def _violations(self) -> list[str]:
        if not await self.page.evaluate("typeof axe !== 'undefined'"):
            await self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        asked = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
        said = await self.page.evaluate("options => axe.run(document, options)", asked)
        return [
            f"{one['id']}: {one['help']}: {'; '.join(node['html'][:160] for node in one['nodes'][:3])}"
            for one in said["violations"]
        ]
