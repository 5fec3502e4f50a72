"""Decides in which pieces a window is asked for: as long as the server allows, halved where one holds too much.

It refuses to halve what is as short as a server accepts.
"""

from itertools import pairwise
from typing import Final

from shared.contracts.values import DAY, Window

LONG_DAYS: Final = 62  # "The allowed limit = 62 days": what Exchange Online and newer servers allow
SHORT_DAYS: Final = 42  # what is documented for GetUserAvailability; every server allows it
VIEW_DAYS: Final = 700  # of a calendar view: the range is at most two years (ErrorCalendarViewRangeTooBig)
SHORTEST_VIEW: Final = 60  # seconds; a thousand items in a minute are no calendar


def spans(window: Window, days: int) -> tuple[Window, ...]:
    """Cut a window into spans of at most so many days (two or more), none shorter than a day if the window is not.

    The last two share what is left: GetUserAvailability refuses less than 24 hours (ErrorInvalidTimeInterval).
    """
    longest, length = days * DAY, window.end - window.start
    count = max(1, -(-length // longest))
    borders = [window.start + place * longest for place in range(count)] + [window.end]
    if count > 1 and borders[-1] - borders[-2] < DAY:
        borders[-2] = (borders[-3] + borders[-1]) // 2
    return tuple(Window(start, end) for start, end in pairwise(borders))


def halves(span: Window, shortest: int) -> tuple[Window, Window] | None:
    """Cut a span in two of at least `shortest` seconds each, at a UTC midnight where one lies near; None where not."""
    length = span.end - span.start
    if length < 2 * shortest:
        return None
    middle = span.start + length // 2
    midnight = middle - middle % DAY
    if midnight - span.start >= max(shortest, length // 4):
        middle = midnight
    return Window(span.start, middle), Window(middle, span.end)


def allowed_days(days: int, told: str) -> int | None:
    """Return how many days to ask for after a server refused `days` and `told` its limit ("" for none).

    None where it refuses what every server allows.
    """
    limit = int(told) if told.isdecimal() else 0
    if 1 <= limit < days:
        return limit
    return SHORT_DAYS if days > SHORT_DAYS else None
