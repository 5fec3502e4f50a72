"""An admin's way to the sandbox's Microsoft and back, by hand: what a browser would press at each page."""

from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from deploy.sandbox import Sandbox, entra
from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.personas import Persona, personas
from tests.unit.authorizer.console.visiting import PUBLIC, Browser, Page

CONNECT = "/setup/connect/microsoft"
GLOBAL = "Global Administrator"


class Journey:
    """One browser at the setup page and at Microsoft's pages."""

    def __init__(self, browser: Browser, sandbox: Sandbox) -> None:
        self.browser = browser
        self.sandbox = sandbox

    def persona(self, title: str = GLOBAL, *, tenant: int = 0) -> Persona:
        found = self.sandbox.state.tenants[self.sandbox.tenant_ids[tenant]]
        return next(one for one in personas(found) if one.title == title)

    async def begin(self, **fields: Any) -> str:
        """Press the button and return the address of Microsoft's sign-in."""
        page = await self.browser.post(CONNECT, {"cloud": "sandbox", **fields})
        assert page.status == 303, page.text
        return page.location

    async def press(self, address: str, **form: str) -> str:
        """Send the form of a page of Microsoft's and return the path at the setup page that it leads to."""
        return back(await self.at_microsoft(address, **form))

    async def at_microsoft(self, address: str, **form: str) -> Answer:
        parts = urlsplit(address)
        asked = Ask(
            method="POST" if form else "GET",
            path=parts.path,
            query=parts.query,
            body=urlencode(form).encode(),
            base=self.sandbox.url,
        )
        return await entra.answer(self.sandbox.state, asked)

    async def sign_in(self, title: str = GLOBAL, *, tenant: int = 0) -> Page:
        """Go from the button to what the setup page says of who signed in."""
        address = await self.begin()
        return await self.browser.get(await self.press(address, persona=self.persona(title, tenant=tenant).oid))

    async def to_consent(self, title: str = GLOBAL, *, tenant: int = 0) -> str:
        """Go from the button to the address of Microsoft's consent page."""
        page = await self.sign_in(title, tenant=tenant)
        assert page.status == 303, page.text
        return page.location

    async def consent(self, address: str, title: str = GLOBAL, *, tenant: int = 0) -> Page:
        """Accept, and return what the setup page says."""
        persona = self.persona(title, tenant=tenant)
        return await self.browser.get(await self.press(address, persona=persona.oid, answer="accept"))

    async def connect(self, *, tenant: int = 0) -> Page:
        """Go all the way."""
        return await self.consent(await self.to_consent(tenant=tenant), tenant=tenant)


def back(answer: Answer) -> str:
    """Return the path at the setup page that Microsoft leads to."""
    assert answer.status == 302, answer.body
    location = answer.headers["Location"]
    assert location.startswith(f"{PUBLIC}/setup/microsoft/")
    return location.removeprefix(PUBLIC)


def query_of(address: str) -> dict[str, str]:
    """Return an address's query."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query, keep_blank_values=True).items()}


def with_query(address: str, **changes: str | None) -> str:
    """Return an address with parameters put in place of others, or left out."""
    parts = urlsplit(address)
    given = {name: value for name, value in parse_qsl(parts.query) if name not in changes}
    given |= {name: value for name, value in changes.items() if value is not None}
    return parts._replace(query=urlencode(given)).geturl()
