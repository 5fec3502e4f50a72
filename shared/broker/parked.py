"""Dead letters: how a delivery is parked, what is told of it, how it is replayed. Bodies are kept raw and never told.

Looking takes messages from the queue and puts them back; a copy that was looked at often is renewed, so that looking
never brings a message near any broker's delivery limit.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from shared.broker import topology, wire
from shared.broker.fates import Park
from shared.broker.interface import Parked
from shared.broker.wire import Letter, Taken
from shared.contracts.values import Instant

RENEW = 10  # looks at one copy; RabbitMQ 4's own delivery limit is 20 where no other is set
Send = Callable[[Sequence[Letter]], Awaitable[None]]


class Browser(Protocol):
    """A queue looked through by hand."""

    async def get(self) -> Taken | None:
        """Return the next message, or None at the end of the queue."""

    def settle(self, taken: Taken) -> None:
        """Remove it for good."""

    async def close(self) -> None:
        """Put back whatever was not removed, in its order."""


def letter(taken: Taken, fate: Park, *, now: Instant) -> Letter:
    """Return what is parked of a delivery. The same delivery parked twice bears the same id."""
    known = f"{taken.queue}\0{taken.message_id}\0".encode() + taken.body
    headers: dict[str, str | int] = {
        "reason": fate.reason,
        "where": fate.where,
        "queue": taken.queue,
        "error_type": fate.error_type,
        "parked_at": now,
        "attempts": taken.attempt,
        "message_id": taken.message_id,
        "message_type": taken.message_type,
        "org_id": wire.word(taken.headers.get("org_id")),
        "generation": wire.whole(taken.headers.get("generation")),
        "published_at": taken.timestamp,
    }
    return Letter(
        exchange="",
        routing_key=topology.PARKED,
        body=taken.body,
        message_id=hashlib.sha256(known).hexdigest()[:32],
        message_type="",
        timestamp=now,
        headers=headers,
    )


def told(taken: Taken) -> Parked:
    """Return what may be told of a dead letter."""
    text = {name: wire.word(taken.headers.get(name)) for name in ("queue", "reason", "where", "error_type", "org_id")}
    return Parked(
        parked_id=taken.message_id,
        parked_at=wire.whole(taken.headers.get("parked_at")),
        attempts=wire.whole(taken.headers.get("attempts")),
        message_id=wire.word(taken.headers.get("message_id")),
        message_type=wire.known_type(str(taken.headers.get("message_type"))),
        size=len(taken.body),
        **text,
    )


def replayed(taken: Taken) -> Letter:
    """Return a dead letter as the message it was, on its first attempt."""
    headers: dict[str, str | int] = {"attempt": 1}
    if org_id := wire.word(taken.headers.get("org_id")):
        headers["org_id"] = org_id
    if generation := wire.whole(taken.headers.get("generation")):
        headers["generation"] = generation
    return Letter(
        exchange="",
        routing_key=str(taken.headers.get("queue", "")),
        body=taken.body,
        message_id=str(taken.headers.get("message_id", "")),
        message_type=str(taken.headers.get("message_type", "")),
        timestamp=wire.whole(taken.headers.get("published_at")),
        headers=headers,
    )


async def listed(browser: Browser, send: Send, limit: int) -> list[Parked]:
    """Return up to `limit` dead letters, the oldest first."""
    async with closing(browser):
        seen = {}
        async for taken in every(browser):
            seen[taken.message_id] = told(taken)
            if taken.deliveries >= RENEW:
                await send((renewed(taken),))
                browser.settle(taken)
            if len(seen) >= limit:
                break
    return sorted(seen.values(), key=lambda parked: parked.parked_at)


async def shown(browser: Browser, parked_id: str) -> bytes | None:
    """Return one dead letter's body."""
    async with closing(browser):
        async for taken in every(browser):
            if taken.message_id == parked_id:
                return taken.body
    return None


async def removed(browser: Browser, parked_id: str, send: Send | None = None) -> bool:
    """Remove a dead letter, every copy of it; with `send`, put it back into its queue first."""
    found = False
    async with closing(browser):
        async for taken in every(browser):
            if taken.message_id != parked_id:
                continue
            if send is not None and not found:
                await send((replayed(taken),))
            found = True
            browser.settle(taken)
    return found


async def every(browser: Browser) -> AsyncIterator[Taken]:
    """Go through a queue once."""
    while (taken := await browser.get()) is not None:
        yield taken


@asynccontextmanager
async def closing(browser: Browser) -> AsyncIterator[None]:
    """Put everything back at the end, whatever happened."""
    try:
        yield
    finally:
        await browser.close()


def renewed(taken: Taken) -> Letter:
    """Return a copy of a dead letter that nobody has looked at yet."""
    kept = {name: value for name, value in taken.headers.items() if not name.startswith("x-")}
    return Letter(
        exchange="",
        routing_key=topology.PARKED,
        body=taken.body,
        message_id=taken.message_id,
        message_type="",
        timestamp=taken.timestamp,
        headers=kept,
    )
