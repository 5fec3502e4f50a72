"""Streaming subscriptions and those who listen to them: what happened waits here until somebody asks for it.

It decides when a subscription has ended; how events are written is not its matter.
"""

import asyncio
from collections.abc import Iterable
from uuid import uuid4

from msgspec import Struct, field

from shared.contracts.values import Instant

LASTS = 30  # minutes a subscription outlives the last connection to it
MOST_KEPT = 1000  # events kept for a subscription nobody listens to


class Happening(Struct, frozen=True, kw_only=True):
    """One change of one item: created, updated, deleted or moved, at an instant of the sandbox's clock."""

    kind: str
    item_id: str
    at: Instant


class Listening(Struct, kw_only=True):
    """A streaming subscription: whose calendar, which kinds of event, and until when (seconds of the loop's clock).

    `server` holds it; a `bound` one is found there only by those who bring the cookie that subscribing gave.
    """

    id: str
    tenant_id: str
    user_id: str
    kinds: frozenset[str]
    server: str
    bound: bool
    ends: float
    waiting: list[Happening] = field(default_factory=list)
    connections: int = 0


class Listeners:
    """The streaming subscriptions of one sandbox."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[str, Listening] = {}
        self._woken: set[asyncio.Event] = set()
        self.connected: dict[str, int] = {}
        self.closed = False

    def add(self, listening: Listening) -> None:
        """Let a subscription begin."""
        self._known[listening.id] = listening

    def find(self, subscription_id: str, now: float) -> Listening | None:
        """Return a living subscription."""
        found = self._known.get(subscription_id)
        if found is not None and not found.connections and found.ends <= now:
            del self._known[subscription_id]
            return None
        return found

    def remove(self, subscription_id: str) -> bool:
        """End a subscription; say whether there was one."""
        removed = self._known.pop(subscription_id, None) is not None
        self.wake()
        return removed

    def living(self, now: float) -> list[Listening]:
        """Return the living subscriptions, in the order they were made."""
        return [found for name in list(self._known) if (found := self.find(name, now)) is not None]

    def tell(self, mailbox: tuple[str, str], happening: Happening) -> None:
        """Note a change for everybody who subscribed to a mailbox, named by the ids of its tenant and its person."""
        for listening in self._known.values():
            if (listening.tenant_id, listening.user_id) == mailbox and happening.kind in listening.kinds:
                listening.waiting = [*listening.waiting, happening][-MOST_KEPT:]
        self.wake()

    def gone(self, mailbox: tuple[str, str]) -> None:
        """End the subscriptions to a mailbox that is no more."""
        names = [each.id for each in self._known.values() if (each.tenant_id, each.user_id) == mailbox]
        if names:
            self.drop(names)

    def drop(self, names: Iterable[str] = ()) -> None:
        """Let these subscriptions vanish, or all, as when the server that kept them is gone."""
        for name in list(names) or list(self._known):
            self._known.pop(name, None)
        self.wake()

    def wake(self) -> None:
        """Let every listener look."""
        for event in self._woken:
            event.set()

    def close(self) -> None:
        """End every connection."""
        self.closed = True
        self.wake()

    async def pause(self, seconds: float) -> None:
        """Wait until something happened somewhere, or for so many seconds."""
        event = asyncio.Event()
        self._woken.add(event)
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._woken.discard(event)


def fresh_id() -> str:
    """Return the id of a new subscription."""
    return uuid4().hex
