"""What can go wrong for an application that follows availability, one class for each thing it can do about it."""

from shared.contracts.public import Span


class ClientError(Exception):
    """Any error of this library. `reason` is a fixed word, safe to log and count."""

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason = reason


class Refused(ClientError):  # noqa: N818 -- it says what is the matter
    """The other side will not have us, and asking again would fare the same: a wrong token, an org out of scope."""


class PositionGone(ClientError):  # noqa: N818 -- it says what is the matter
    """Nobody can go on from this position: take a snapshot. `position_forgotten` or `position_unknown`."""


class Unreadable(ClientError):  # noqa: N818 -- it says what is the matter
    """What came is no update, or one of which a part that must be known is not."""


class NotVerified(ClientError):  # noqa: N818 -- it says what is the matter
    """A webhook's request was not signed with any of the secrets, or long ago: answer 401 and believe none of it."""


class Unknown(ClientError):  # noqa: N818 -- it says what is the matter
    """It is not known when somebody is busy, which is never the same as free.

    `reason` is `mailbox_unknown`, `outside_window` (then `window` is what is known), or why coverage is unknown.
    """

    def __init__(self, reason: str, window: Span | None = None) -> None:
        """Take the reason, and the window where the time asked for reaches beyond it."""
        super().__init__(reason)
        self.window = window


class Away(ClientError):  # noqa: N818 -- it says what is the matter
    """The other side cannot be reached at present: worth trying again, after `after` seconds where it said so."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        """Take the reason and the least pause in seconds."""
        super().__init__(reason)
        self.after = after
