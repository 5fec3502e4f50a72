"""Asks a sandbox's EWS without a network: an envelope around an operation, a sign-in, the answer checked and read."""

from base64 import b64encode
from pathlib import Path
from typing import Any

from lxml import etree

from deploy.sandbox import SandboxOptions, worlds
from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.changes import Changes
from deploy.sandbox.ews import answering
from deploy.sandbox.ews.call import M_NS, T_NS
from deploy.sandbox.state import State
from tests.ews_schema import problems
from tests.unit.sandbox.asking import BASE, NOW, SECRET

PASSWORD = "a password of the test"
UPN = "svc-busyline@sandbox.example"
PERSON = "person.0001@sandbox.example"
NAMES = {
    "m": M_NS,
    "t": T_NS,
    "e": "http://schemas.microsoft.com/exchange/services/2006/errors",
    "s": "http://schemas.xmlsoap.org/soap/envelope/",
}


def basic(name: str = UPN, password: str = PASSWORD) -> str:
    """Return the value of an Authorization header."""
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


def envelope(body: str, *, impersonated: str | None = None, kind: str = "PrimarySmtpAddress") -> bytes:
    """Return a request around an operation's element."""
    sid = "" if impersonated is None else (
        f"<t:ExchangeImpersonation><t:ConnectingSID><t:{kind}>{impersonated}</t:{kind}>"
        "</t:ConnectingSID></t:ExchangeImpersonation>"
    )  # fmt: skip
    return (
        f'<s:Envelope xmlns:s="{NAMES["s"]}" xmlns:m="{M_NS}" xmlns:t="{T_NS}"><s:Header>'
        f'<t:RequestServerVersion Version="Exchange2016"/>{sid}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
    ).encode()


class EwsCaller:
    """A client of one world; every answer it gets is compared with Microsoft's schema."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.changes = Changes(state)
        self.orders = self.changes.ews
        self.tenant = next(iter(state.tenants.values()))
        self.channel: dict[str, Any] = {}
        state.ews_seen = self._check

    def _check(self, body: bytes) -> None:
        assert problems(body) == []

    async def ask(self, body: str, *, impersonated: str | None = None, kind: str = "", **headers: str) -> Answer:
        """Return the answer of HTTP; `impersonated` names a person as `kind` says."""
        sent = {"authorization": basic(), "host": "127.0.0.1:8443", "content-type": "text/xml; charset=utf-8"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        raw = envelope(body, impersonated=impersonated, kind=kind or "PrimarySmtpAddress")
        asked = Ask(method="POST", path="/EWS/Exchange.asmx", headers=sent, body=raw, base=BASE)
        return await answering.answer(self.state, asked, self.channel)

    async def get(self, body: str, **how: Any) -> etree._Element:
        """Return the response's element of an answer that is no fault."""
        answer = await self.ask(body, **how)
        assert answer.status == 200, answer.body
        found = etree.fromstring(answer.body).find("s:Body/*", NAMES)
        assert found is not None
        return found

    async def fault(self, body: str, **how: Any) -> tuple[int, str]:
        """Return the status and the code of a SOAP fault."""
        answer = await self.ask(body, **how)
        found = etree.fromstring(answer.body).findtext("s:Body/s:Fault/detail/e:ResponseCode", namespaces=NAMES)
        assert found is not None, answer.body
        return answer.status, found


def ews_caller(folder: Path, **options: Any) -> EwsCaller:
    """Return a caller of a fresh world."""
    said: dict[str, Any] = {"now": NOW, "client_secret": SECRET, "ews_password": PASSWORD, "mailboxes": 10} | options
    return EwsCaller(worlds.build(SandboxOptions(folder=folder, **said), clock=lambda: NOW))


def texts(element: etree._Element, path: str) -> list[str]:
    """Return the texts of the elements at a path."""
    return [found.text or "" for found in element.iterfind(path, NAMES)]
