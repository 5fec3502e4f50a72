"""Writes and reads instants as consumers see them: RFC 3339, in UTC, to the second."""

import re
from datetime import UTC, date, datetime
from functools import lru_cache

from shared.contracts.values import DAY, Instant

_FIRST_DAY = date(1970, 1, 1).toordinal()
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


@lru_cache(maxsize=65_536)  # calendars meet on the same quarters of an hour: 23,000 of them in the usual window
def moment(instant: Instant) -> str:
    """Return an instant as RFC 3339 in UTC: 2026-03-01T09:00:00Z."""
    day, second = divmod(instant, DAY)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return f"{date.fromordinal(_FIRST_DAY + day).isoformat()}T{hour:02}:{minute:02}:{second:02}Z"


def instant(text: str) -> Instant:
    """Return the instant of an RFC 3339 date-time with its offset, rounded down to the second. Raises ValueError."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("not RFC 3339")
    try:
        return int(datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp() // 1)
    except (ValueError, OverflowError):
        raise ValueError("not RFC 3339") from None
