"""What becomes of a message whose handling failed: pure, from the error and the number of tries so far."""

from msgspec import Struct

from shared.broker.interface import Unroutable
from shared.errors import Halt, Reject, Retry


class Limits(Struct, frozen=True, kw_only=True):
    """Where patience ends. Seconds, and counts of tries."""

    attempts: int = 8  # counted tries of one message
    deliveries: int = 30  # times one copy may come back because a process ended with it in hand
    first_pause: float = 5.0  # after a bug; doubled each time, so that eight tries bridge ten minutes
    longest_pause: float = 300.0
    deadline: float = 20.0  # for what is in hand when a service stops


class Again(Struct, frozen=True, kw_only=True):
    """Try again after so many seconds, as the given attempt."""

    after: float
    attempt: int
    reason: str
    where: str = ""
    error_type: str = ""


class Park(Struct, frozen=True, kw_only=True):
    """Put it among the dead letters."""

    reason: str
    where: str = ""
    error_type: str = ""


class Back(Struct, frozen=True, kw_only=True):
    """Put it back into its queue untouched, and stop."""

    halt: Halt


def fate_of(error: Exception, *, attempt: int, limits: Limits) -> Again | Park | Back:
    """Decide by the error's type; what is no Fate is a bug and counts as a try."""
    match error:
        case Halt():
            return Back(halt=error)
        case Reject():
            return Park(reason=error.reason, where=error.where, error_type=_cause(error))
        case Retry():
            after = max(0.0, error.after)
            next_attempt = attempt + 1 if error.counted else attempt
            again = Again(after=after, attempt=next_attempt, reason=error.reason, where=error.where)
        case Unroutable():
            again = _bug(error, "unroutable", attempt, limits)
        case _:
            again = _bug(error, "bug", attempt, limits)
    if again.attempt > limits.attempts:
        return Park(reason=again.reason, where=again.where, error_type=again.error_type)
    return again


def _bug(error: Exception, reason: str, attempt: int, limits: Limits) -> Again:
    pause = min(limits.longest_pause, limits.first_pause * 2 ** min(attempt - 1, 30))
    return Again(after=pause, attempt=attempt + 1, reason=reason, error_type=type(error).__name__)


def _cause(error: Reject) -> str:
    return type(error.__cause__).__name__ if error.__cause__ else ""
