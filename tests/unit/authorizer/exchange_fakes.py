"""An Exchange server as the authorizer sees it, by hand: what it offers, and an answer or an error to each request."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from services.authorizer.exchange_doors import Exchange, Question
from services.authorizer.preflight import EVERYTHING
from shared.clouds import Cloud, cloud
from shared.contracts.messages import EwsConnection, LdapSource, ListSource, Scheme, Source
from shared.ews.availability import Answered
from shared.ews.calendar_view import View
from shared.ews.changes import Changes
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings
from shared.ews.envelopes import Envelope
from shared.ews.errors import EwsError
from shared.ews.people import Members, Named
from shared.ews.probing import Reached
from shared.ews.version import ServerVersion
from shared.identity import GraphCredential

T = TypeVar("T")

MEMBER, OUTSIDER = "anna@acme.example", "omar@acme.example"
URL = "https://mail.acme.example/EWS/Exchange.asmx"
PASSWORD = EwsCredential(username="svc@acme.example", password="canary-password")
APP = EwsCredential(app=GraphCredential(client_id="app", client_secret="canary-secret"))
LISTED = ListSource(addresses=(MEMBER, "ben@acme.example"))
DENIED = EwsError("ErrorImpersonateUserDenied", status=500, charged="mailbox")


def offered(*schemes: str, status: int = 401) -> Reached:
    """Return what a look at a server finds."""
    return Reached(schemes=schemes, status=status, steps=("tcp", "tls", "http"))


def ews(**given: Any) -> EwsConnection:
    """Return a connection that is good unless something else is given."""
    directory: tuple[Source, ...] = (LISTED,)
    good: dict[str, Any] = {"member": MEMBER, "outsider": OUTSIDER, "url": URL, "directory": directory}
    return EwsConnection(**{**good, **given})


def question(
    connection: EwsConnection | None = None,
    credential: EwsCredential = PASSWORD,
    *,
    needs: frozenset[str] = EVERYTHING,
    where: Cloud | None = None,
) -> Question:
    return Question(connection=connection or ews(), credential=credential, cloud=where or cloud("global"), needs=needs)


def healthy() -> dict[str, Any]:
    """Return what a good server answers, by operation, or by operation and mailbox."""
    return {
        "ConvertId": ServerVersion(major=15, minor=2, build=1748, revision=10, name="Exchange 2019"),
        "ResolveNames": (Named(address=MEMBER, name="Anna Person", kind="Mailbox"),),
        f"GetFolder {MEMBER}": None,
        f"GetFolder {OUTSIDER}": DENIED,
        f"FindItem {MEMBER}": View(events=(), complete=True),
        f"SyncFolderItems {MEMBER}": Changes(state="s", count=0, complete=True),
        f"GetUserConfiguration {MEMBER}": "W. Europe Standard Time",
        "GetUserAvailability": (Answered(), Answered()),
        "ExpandDL": Members(people=(Named(address=MEMBER, name="Anna"),), groups=(), complete=True),
        "GetRoomLists": (Named(address="rooms@acme.example", name="Rooms"),),
    }


class FakeServer:
    """Answers as it is told. `asked` lists what was asked, `opened` every door with its scheme, `posted` what else."""

    def __init__(self, answers: Mapping[str, Any] | None = None, *, offers: Mapping[str, Any] | None = None) -> None:
        self.answers = {**healthy(), **(answers or {})}
        self.offers: dict[str, Any] = dict(offers or {})
        self.posts: dict[str, Any] = {}
        self.hints: tuple[str, ...] = ()
        self.ldap: Any = "an entry"
        self.asked: list[str] = []
        self.opened: list[tuple[str, str]] = []
        self.reached: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.probed: list[LdapSource] = []
        self.closed = 0

    def exchange(self) -> Exchange:
        return Exchange(
            surroundings=Surroundings(), door=self._door, reach=self._reach, probe=self._probe, hints=self._hints
        )

    def _door(self, _: Question, endpoint: str, scheme: Scheme) -> "FakeDoor":
        self.opened.append((endpoint, scheme))
        return FakeDoor(self, endpoint)

    async def _reach(self, url: str, _: Surroundings) -> Reached:
        self.reached.append(url)
        offer = self.offers.get(url, offered("ntlm", "basic") if not self.offers else EwsError("name_unknown"))
        if isinstance(offer, Exception):
            raise offer
        return cast("Reached", offer)

    async def _probe(self, source: LdapSource, _: EwsCredential, __: Surroundings) -> object:
        self.probed.append(source)
        if isinstance(self.ldap, Exception):
            raise self.ldap
        return cast("object", self.ldap)

    async def _hints(self, _: str, __: Surroundings) -> tuple[str, ...]:
        return self.hints


class FakeDoor:
    """One door of a server."""

    def __init__(self, server: FakeServer, endpoint: str) -> None:
        self._server = server
        self._endpoint = endpoint

    async def ask(self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T]) -> T:
        asked = f"{envelope.operation} {envelope.mailbox}".strip()
        self._server.asked.append(asked)
        answer = self._server.answers.get(asked, self._server.answers.get(envelope.operation, EwsError("fault")))
        if isinstance(answer, Exception):
            raise answer
        return cast("T", decode([answer]) if isinstance(answer, bytes) else answer)

    async def post(self, body: bytes, decode: Callable[[Iterable[bytes]], T], *, headers: Mapping[str, str]) -> T:
        self._server.bodies.append(body)
        self._server.headers.append(headers)
        answer = self._server.posts.get(self._endpoint, EwsError("not_found", status=404))
        if isinstance(answer, Exception):
            raise answer
        return decode([answer])

    def close(self) -> None:
        self._server.closed += 1
