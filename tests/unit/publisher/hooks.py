"""Webhooks for tests: a clock that is set, an endpoint that answers as told, a consumer that keeps what it is told."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from services.publisher.consumers import add, named
from services.publisher.news import ORG_REMOVED
from services.publisher.webhooks import registry
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.lease import claim, workable
from services.publisher.webhooks.registry import Fresh, Webhook
from services.publisher.webhooks.retries import Attempt, outcome_of
from services.publisher.webhooks.signing import Keys, fresh, sealed
from services.publisher.webhooks.worker import Worker
from shared.store import Store
from shared.vault import load_vault
from tests.unit.publisher.readings import MONDAY, Copy, told_of

URL = "https://consumer.example/busyline"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = MONDAY) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


class Taker:
    """What a consumer does with deliveries: checks them, notes their order, and keeps a copy of every mailbox."""

    def __init__(self) -> None:
        self.secret = ""
        self.positions: list[int] = []
        self.by_mailbox: dict[tuple[str, str], list[int]] = {}
        self.copies: dict[tuple[str, str], Copy] = {}
        self.ids: Counter[str] = Counter()
        self.bodies: list[bytes] = []

    def take(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Take one delivery; a repetition changes nothing."""
        if self.secret:
            self.verified(body, headers)
        event = json.loads(body)
        self.bodies.append(body)
        self.ids[headers["webhook-id"]] += 1
        if "sequence" not in event:
            return
        position = int(event["sequence"])
        assert headers["webhook-id"] == f"evt_{event['sequence']}"
        self.positions.append(position)
        key = (event["orgid"], "" if event["type"] == ORG_REMOVED else event["subject"])
        last = max(self.by_mailbox.get(key, [0]))
        self.by_mailbox.setdefault(key, []).append(position)
        if position <= last:
            return
        if event["type"] == ORG_REMOVED:
            self.copies = {each: copy for each, copy in self.copies.items() if each[0] != event["orgid"]}
        else:
            self.copies.setdefault(key, Copy()).apply(told_of(msgspec.json.encode(event["data"])))

    def verified(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Check a signature as the specification says, whatever the clock shows."""
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.digest(key, said, hashlib.sha256)).decode()
        assert expected in headers["webhook-signature"].split(" ")

    @property
    def duplicates(self) -> int:
        """So many deliveries were repetitions."""
        return len(self.positions) - len(set(self.positions))

    def in_order(self) -> bool:
        """Say whether, repetitions aside, every mailbox's updates came with rising positions."""
        return all(list(dict.fromkeys(came)) == sorted(set(came)) for came in self.by_mailbox.values())


Answers = Callable[[bytes, Mapping[str, str]], Attempt | Awaitable[Attempt]]


class FakeSender:
    """Passes for a Sender: hands deliveries to a taker, unless the script of answers says otherwise."""

    networks = ()
    timeout = 20.0

    def __init__(self, taker: Taker, answers: Answers | None = None) -> None:
        self.taker = taker
        self.answers = answers
        self.requests = 0

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        assert url
        self.requests += 1
        attempt = good()
        if self.answers is not None:
            answer = self.answers(body, headers)
            attempt = answer if isinstance(answer, Attempt) else await answer
        if attempt.outcome == "delivered":
            self.taker.take(body, headers)
        return attempt


def good() -> Attempt:
    """Return a delivery taken."""
    return Attempt(outcome="delivered", status=204)


def status(code: int, retry_after: int | None = None) -> Attempt:
    """Return an attempt answered with a status."""
    return Attempt(outcome=outcome_of(code), status=code, retry_after=retry_after)


def post_with(store: Store, folder: Path, sender: object, clock: Callable[[], float]) -> Post:
    """Return what deliveries are made with, its keys in a file of the test's own."""
    load_vault(folder / "webhook-keys", create=True)
    return Post(store=store, keys=Keys(folder / "webhook-keys"), sender=sender, now=clock, luck=lambda: 0.5)


async def consumer(store: Store, name: str = "booking", orgs: tuple[str, ...] = ("acme",)) -> str:
    """Add a consumer and return its token."""
    return await add(store, name, orgs, now=MONDAY - 60)


async def make(
    post: Post, *, name: str = "booking", url: str = URL, orgs: tuple[str, ...] = ("*",), after: int = 0
) -> tuple[Webhook, str]:
    """Make a webhook and return it with its secret."""
    webhook_id, secret = registry.new_id(), fresh()
    blob = sealed(post.keys.vault(), secret, webhook_id)
    made = Fresh(webhook_id=webhook_id, consumer=name, url=url, orgs=orgs, secret=blob, position=after)
    owner = await named(post.store, name)
    await registry.make(post.store, made, owner_since=owner.created_at if owner else 0, now=MONDAY)
    return await standing(post.store, webhook_id), secret.reveal()


async def standing(store: Store, webhook_id: str) -> Webhook:
    """Return a webhook as it stands."""
    (found,) = await registry.of(store, webhook_id=webhook_id)
    return found


async def serve(post: Post, *, rounds: int = 1000) -> None:
    """Serve whatever needs it at the present moment, one after the other, until nothing does."""
    for number in range(rounds):
        found = await workable(post.store, now=int(post.now()), limit=10)
        for webhook_id in found:
            lease = f"lease-{number}-{webhook_id}"
            if await claim(post.store, webhook_id, lease, now=int(post.now())):
                await Worker(post, webhook_id, lease, asyncio.Event()).serve()
        if not found:
            return
    raise AssertionError("there is always something to do")
