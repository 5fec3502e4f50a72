"""The one place that reads the clock; everything that decides takes `now` as an argument."""

import time
from datetime import UTC, datetime

from shared.contracts.values import Instant


def now() -> Instant:
    """Return the present instant in whole UTC seconds."""
    return int(time.time())  # noqa: TID251 -- the one place


def exact() -> float:
    """Return the present instant in UTC seconds with its fraction, for pauses and durations shorter than a second."""
    return time.time()  # noqa: TID251 -- the one place


def moment(instant: Instant) -> str:
    """Write an instant as RFC 3339 in UTC: 2026-03-01T09:00:00Z."""
    return datetime.fromtimestamp(instant, UTC).replace(tzinfo=None).isoformat() + "Z"
