"""Decides which updates a subscriber has taken already, by their positions; it remembers nothing else of them."""

from collections.abc import Iterable, Iterator

from shared.client.updates import Update
from shared.contracts.public import OrgRemoved


class Taken:
    """The position of the last update taken of each mailbox, and of the word that an org left."""

    def __init__(self) -> None:
        self._mailboxes: dict[str, dict[str, int]] = {}
        self._left: dict[str, int] = {}

    def is_new(self, update: Update) -> bool:
        """Say whether an update is no repetition."""
        last = self._mailboxes.get(update.org_id, {}).get(update.mailbox_id, 0)
        return update.position > max(last, self._left.get(update.org_id, 0))

    def new(self, updates: Iterable[Update]) -> Iterator[Update]:
        """Yield those that are no repetition, of what is taken by then."""
        return (update for update in updates if self.is_new(update))

    def note(self, update: Update) -> None:
        """Remember that an update was taken."""
        if isinstance(update.data, OrgRemoved):
            self._mailboxes.pop(update.org_id, None)
            self._left[update.org_id] = update.position
        else:
            self._mailboxes.setdefault(update.org_id, {})[update.mailbox_id] = update.position
