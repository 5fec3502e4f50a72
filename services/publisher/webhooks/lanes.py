"""One mailbox's updates on their way to one endpoint, in order, and where the mailbox waits when they stop.

It sends nothing itself.
"""

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from services.publisher.webhooks.ledger import Made, Put
from services.publisher.webhooks.order import Key
from services.publisher.webhooks.retries import DELIVERED, Attempt, Endpoint, Wait
from shared.contracts.values import Instant


class Lane:
    """Positions of one key still to deliver. `waits`: the store has a row that says so."""

    def __init__(self, key: Key, positions: Sequence[int], wait: Wait | None = None) -> None:
        """Take what is to be delivered in order; `wait` is of the first, where it was tried before."""
        self.key = key
        self.left = deque(positions)
        self.wait = wait
        self.waits = wait is not None
        self.failed = False
        self.made: list[Made] = []
        self._last = 0
        self._put: int | None = None

    def passed(self) -> None:
        """Go on: the first is delivered, or must not be told any more."""
        self._last = self.left.popleft()
        self.wait = None

    def went(self, attempt: Attempt, following: Wait | None, *, now: Instant) -> None:
        """Take how an attempt at the first went, and when it is tried next if it failed (None: never by itself)."""
        number = 1 if self.wait is None else self.wait.attempts + 1
        self.made.append(Made(position=self.left[0], number=number, at=now, attempt=attempt))
        if attempt.outcome == DELIVERED:
            self.passed()
        else:
            self.failed = True
            self.wait = following or self.wait

    def put(self, endpoint: Endpoint, *, ended: bool, now: Instant) -> Put | None:
        """Return where the mailbox waits from now on, None where the store says so already or it need not wait.

        While it is under way the store holds its place too, so that the cursor may pass it.
        """
        if not self.left and not self.waits:
            return None
        position = self.left[0] if self.left else self._last + 1
        if not ended and self._put == position:
            return None
        self.waits, self._put = True, position
        return Put(key=self.key, position=position, wait=self._waiting(endpoint, now), found=bool(self.left))

    def _waiting(self, endpoint: Endpoint, now: Instant) -> Wait:
        wait = self.wait or Wait(attempts=0, first_at=now, next_at=now)
        if self.failed:
            return wait
        return replace(wait, next_at=max(now, endpoint.next_try_at or 0) if self.left else now)
