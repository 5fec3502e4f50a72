"""A listener for notifications without a network, and the subscriptions made with it."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from deploy.sandbox.posting import Letter, Reply
from shared.clock import moment
from tests.unit.sandbox.asking import NOW, Caller, decoded
from tests.waiting import until

ONE = "person.0001@sandbox.example"
TWO = "person.0002@sandbox.example"
URL = "http://127.0.0.1:9000/notes"
DAY = 86_400


class Listener:
    """Answers letters: handshakes well, and notifications with the statuses set, 202 once these are used up."""

    def __init__(self, asking: Caller) -> None:
        self.asking = asking
        asking.state.post = self.post
        self.letters: list[Letter] = []
        self.validated: list[str] = []
        self.statuses: list[int] = []
        self.deliveries: list[tuple[str, list[dict[str, Any]]]] = []

    async def post(self, letter: Letter) -> Reply:
        self.letters.append(letter)
        query = parse_qs(urlsplit(letter.url).query)
        if "validationToken" in query:
            self.validated.append(letter.url.partition("?")[0])
            return Reply(status=200, content_type="text/plain", body=query["validationToken"][0].encode())
        status = self.statuses.pop(0) if self.statuses else 202
        if 200 <= status < 300:
            self.deliveries.append((letter.url, msgspec.json.decode(letter.body)["value"]))
        return Reply(status=status)

    @property
    def notes(self) -> list[dict[str, Any]]:
        """Every notification that was accepted."""
        return [note for _, notes in self.deliveries for note in notes]

    @property
    def counts(self) -> Any:
        return self.asking.changes.notifications.counts

    async def settled(self) -> None:
        """Wait until nothing is on its way."""
        await until(lambda: self.counts.waiting == 0)

    async def close(self) -> None:
        await self.asking.state.notifier.stop()


def wish(mailbox: str = ONE, **more: Any) -> dict[str, Any]:
    """Return what an app asks for; a value of None is left out."""
    said = {
        "changeType": "created,updated,deleted",
        "notificationUrl": URL,
        "resource": f"users/{mailbox}/events",
        "expirationDateTime": moment(NOW + 3 * DAY),
        "clientState": "a state",
    } | more
    return {name: value for name, value in said.items() if value is not None}


async def create(asking: Caller, *, prefer: str = "", **more: Any) -> tuple[int, Any]:
    """Ask for a subscription; return the status and the answer."""
    headers = {"prefer": prefer} if prefer else {}
    answer = await asking.ask("POST", "/subscriptions", body=msgspec.json.encode(wish(**more)), **headers)
    return answer.status, decoded(answer)


async def subscribed(asking: Caller, *, prefer: str = "", **more: Any) -> str:
    """Make a subscription and return its id."""
    status, said = await create(asking, prefer=prefer, **more)
    assert status == 201, said
    return str(said["id"])


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    """Return the status and the code of a refusal."""
    return answer[0], answer[1]["error"]["code"]
