"""Which of the letters written to a channel its broker has confirmed, by their tags; pure, and knows no connection."""

from typing import Final

_NOTHING: Final = 0


class Confirms:
    """Tags are given out in rising order from 1, and settled one by one or up to one, in any order."""

    def __init__(self) -> None:
        """Begin with a new channel."""
        self.given = _NOTHING  # the last tag given out
        self.upto = _NOTHING  # up to this one all are settled
        self._beyond: set[int] = set()  # settled ones after it

    @property
    def outstanding(self) -> int:
        """How many are not settled."""
        return self.given - self.upto - len(self._beyond)

    def give(self, number: int) -> int:
        """Give out so many tags, and return the last one."""
        self.given += number
        return self.given

    def settle(self, tag: int, *, multiple: bool) -> None:
        """Settle one, or every one up to it."""
        if not multiple:
            self._beyond.add(tag)
        elif tag > self.upto:
            self.upto = tag
            self._beyond = {each for each in self._beyond if each > tag}
        while self.upto + 1 in self._beyond:
            self.upto += 1
            self._beyond.remove(self.upto)
