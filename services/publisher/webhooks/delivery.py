"""Delivers one lane to one endpoint, update by update, until it is through, one fails, or the endpoint is to be spared.

Right before each request it asks anew what may be told; a body is never kept from one attempt to the next.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct, field

from services.publisher.accounting import Tally
from services.publisher.envelope import Told, event
from services.publisher.webhooks.lanes import Lane
from services.publisher.webhooks.lease import LEASE
from services.publisher.webhooks.retries import (
    DELIVERED,
    FORGOTTEN,
    Attempt,
    Endpoint,
    endpoint_after,
    given_up,
    wait_after,
)
from services.publisher.webhooks.sending import Sender
from services.publisher.webhooks.signing import Keys, opened, signed
from services.publisher.webhooks.view import Served, overtaken, tellable
from shared import clock
from shared.config import Secret
from shared.contracts.values import Instant
from shared.store import Store

OPERATION: Final = "webhook"  # what a delivery is counted as, beside what its consumer asks
NO_ANSWER: Final = 0  # in the place of an HTTP status


class Post(Struct, frozen=True, kw_only=True):
    """What deliveries are made with. `requests`: how many one endpoint gets at a time; each is counted in `tally`."""

    store: Store
    keys: Keys
    sender: Sender
    tally: Tally = field(default_factory=Tally)
    requests: int = 4
    now: Callable[[], float] = clock.exact
    luck: Callable[[], float] = random.random


class Sealed(Protocol):
    """A webhook with its sealed secrets."""

    @property
    def webhook_id(self) -> str: ...  # noqa: D102
    @property
    def secret(self) -> bytes: ...  # noqa: D102
    @property
    def previous(self) -> bytes | None: ...  # noqa: D102
    @property
    def previous_until(self) -> Instant | None: ...  # noqa: D102


class Course:
    """How it goes with one webhook while one replica serves it; nothing is sent that could outlive the lease."""

    def __init__(self, post: Post, lease: str, stop: asyncio.Event, over: Callable[[], bool] = lambda: False) -> None:
        """Begin with a lease just taken, until `stop` is set or the turn is `over`."""
        self.post = post
        self.lease = lease
        self.stop = stop
        self.over = over
        self.leased_at = post.now()
        self.endpoint = Endpoint()
        self.hurry = False
        self.disabled: str | None = None
        self.slots = asyncio.Semaphore(post.requests)

    @property
    def now(self) -> Instant:
        """Return the present instant."""
        return int(self.post.now())

    def may_send(self) -> bool:
        """Say whether another request may be made now."""
        outlived = self.post.now() + self.post.sender.timeout > self.leased_at + LEASE
        ending = self.stop.is_set() or self.over()
        return not (outlived or ending or self.disabled or self.endpoint.paused(self.now))

    def learn(self, lane: Lane, attempt: Attempt) -> None:
        """Take how an attempt went, for its mailbox and for the endpoint."""
        now, luck, before = self.now, self.post.luck(), self.endpoint
        self.endpoint = endpoint_after(before, attempt, now=now, luck=luck)
        if attempt.outcome == DELIVERED:
            self.hurry = self.hurry or before.ill
            lane.went(attempt, None, now=now)
            return
        following = wait_after(lane.wait, attempt, now=now, luck=luck)
        self.disabled = self.disabled or given_up(self.endpoint, attempt, following, now=now)
        lane.went(attempt, following, now=now)


async def deliver(lane: Lane, hook: Served, course: Course) -> None:
    """Deliver a lane as far as it goes. Raises Retry where the database cannot be reached, and VaultError."""
    while lane.left and not lane.failed:
        async with course.slots:
            if not course.may_send():
                return
            told = await tellable(course.post.store, hook.webhook_id, course.lease, lane.left[0])
            if told is None:
                if await overtaken(course.post.store, lane.left[0]):
                    course.disabled = course.disabled or FORGOTTEN
                    return
                lane.passed()
                continue
            attempt = await _sent(hook, told, course)
            course.learn(lane, attempt)
            status = attempt.status or NO_ANSWER
            course.post.tally.count(hook.consumer, told.org_id, OPERATION, status=status, now=course.now)


async def _sent(hook: Served, told: Told, course: Course) -> Attempt:
    body = event(told)
    signing = signing_secrets(course.post.keys, hook, now=course.now)
    headers = signed(body, f"evt_{told.position:019}", signing, now=course.now)
    return await course.post.sender.send(hook.url, body, headers)


def signing_secrets(keys: Keys, hook: Sealed, *, now: Instant) -> tuple[Secret, ...]:
    """Return the secrets to sign with: the present one, and the one before while it holds. Raises VaultError."""
    vault = keys.vault()
    present = opened(vault, hook.secret, hook.webhook_id)
    if hook.previous is None or now >= (hook.previous_until or 0):
        return (present,)
    return present, opened(vault, hook.previous, hook.webhook_id)
