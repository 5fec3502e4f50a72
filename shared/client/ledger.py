"""Decides which updates are new where they come twice, by a queue and over HTTP, and counts what the queue lacked.

HTTP tells everything after a position, in order; a queue may have lost some. So what HTTP tells of a mailbox is
applied from the first update on that the queue did not bring, also if later ones are there already: each replaces its
range, and the last one to speak of a moment wins.
"""

from collections.abc import Iterable
from heapq import heappop, heappush

from shared.client.updates import Update

MOST = 50_000  # positions remembered, of each sort


class Ledger:
    """What the queue brought since the position that HTTP has told everything up to, and what it still should."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._heap: list[int] = []
        self._awaited: set[int] = set()  # told over HTTP, not by the queue; the heap knows their order
        self._behind: set[tuple[str, str]] = set()
        self.gaps = 0

    @property
    def full(self) -> bool:
        """Say whether so much came that one should catch up, to forget it."""
        return len(self._seen) >= MOST

    def brought(self, position: int) -> None:
        """Note what the queue brought. What should have come before it is lost: a gap each."""
        if position in self._awaited:
            self._awaited.remove(position)
        else:
            self._seen.add(position)
        self._lose_before(position)

    def lacking(self, updates: Iterable[Update]) -> tuple[Update, ...]:
        """Return which updates told over HTTP, the next ones in order, are to be applied."""
        return tuple(update for update in updates if self._lacks(update))

    def caught_up(self, position: int) -> None:
        """Forget what came up to the position that HTTP has now told everything up to."""
        self._behind.clear()
        self._seen = {each for each in self._seen if each > position}

    def _lacks(self, update: Update) -> bool:
        if update.position not in self._seen:
            self._behind.add((update.org_id, update.mailbox_id))  # of a whole org, where no mailbox is named
            self._await(update.position)
        return not self._behind.isdisjoint({(update.org_id, update.mailbox_id), (update.org_id, "")})

    def _await(self, position: int) -> None:
        if position not in self._awaited:
            self._awaited.add(position)
            heappush(self._heap, position)
        if len(self._awaited) > MOST:
            self._lose_before(self._heap[0] + 1)

    def _lose_before(self, position: int) -> None:
        while self._heap and self._heap[0] < position:
            lost = heappop(self._heap)
            if lost in self._awaited:
                self._awaited.remove(lost)
                self.gaps += 1
