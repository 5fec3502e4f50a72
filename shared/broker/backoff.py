"""How long to wait before reaching for a broker again, and which refusals make waiting pointless."""

import random
from ssl import SSLCertVerificationError

from amqp.exceptions import AccessRefused, AMQPError, NotAllowed

LONGEST = 10.0  # seconds

Trouble = (OSError, AMQPError, EOFError)


def pause(failures: int) -> float:
    """Return seconds to wait after so many failures in a row, spread so that services do not return in step."""
    most = min(LONGEST, 0.2 * 2.0 ** min(failures, 10))
    return most * random.uniform(0.5, 1.0)  # noqa: S311 -- spreads load, guards nothing


def refused(error: BaseException) -> bool:
    """Say whether one side turned the other away: a wrong password, no such vhost, no right to it, a wrong name."""
    return isinstance(error, AccessRefused | NotAllowed | SSLCertVerificationError)
