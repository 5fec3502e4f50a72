"""The type of an error decides a message's fate; `reason` is a fixed word, safe to log and count.

Anything else that a handler raises is a bug: the message is tried again and then parked with the exception's type.
"""


class Fate(Exception):  # noqa: N818 -- it is what becomes of a message, not what went wrong
    """An error whose type says what becomes of the message in hand."""

    def __init__(self, reason: str, where: str = "") -> None:
        """Take the reason (a fixed word) and where it arose (a field path, a status code; never a value)."""
        super().__init__(reason)
        self.reason = reason
        self.where = where


class Retry(Fate):
    """Try again after `after` seconds. `counted` tries end in parking; a pause the server ordered does not count."""

    def __init__(self, reason: str, *, after: float = 5.0, counted: bool = True, where: str = "") -> None:
        """Take the reason and the pause in seconds."""
        super().__init__(reason, where)
        self.after = after
        self.counted = counted


class Reject(Fate):
    """The message can never succeed: park it with its reason, replayable."""


class Halt(Fate):
    """The process cannot go on (a broken key, a missing table): put the message back and stop."""
