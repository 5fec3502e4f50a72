"""Decides which working hours a mailbox's stretches of work amount to: sorted, joined, by the clock of a known zone.

Pure. What is odd is refused as a whole: half a week would be taken for all of it, and hours without a zone for UTC's.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from shared.contracts.values import WorkingHours, WorkPeriod
from shared.zones import iana_name

MIDNIGHT: Final = 1440  # minutes after which a day ends
MOST: Final = 64  # stretches that a message carries; a week has seven days
LONGEST: Final = 128  # characters of a zone's name


def stretch(day: int, start: int, end: int) -> WorkPeriod:
    """Return one stretch of work on a day (0 is Monday), [start, end) in minutes. Raises ValueError for what is none.

    An end at 0 after a later start is the day's own midnight: no stretch ends before it starts.
    """
    if end == 0 < start:
        end = MIDNIGHT
    if not (0 <= day <= 6 and 0 <= start < end <= MIDNIGHT):
        raise ValueError("a stretch of work has another form")
    return WorkPeriod(day, start, end)


def working_hours(time_zone: str, stretches: Iterable[WorkPeriod]) -> WorkingHours | None:
    """Return the hours that stretches amount to by the clock of a zone (a Windows or an IANA name).

    None where there is no stretch, or the zone is not known: then it is not known when somebody works.
    """
    if len(time_zone) > LONGEST or iana_name(time_zone) is None:
        return None
    days = groupby(sorted(stretches, key=_order), key=lambda each: each.day)
    periods = tuple(period for _, on_day in days for period in _joined(on_day))
    return WorkingHours(time_zone=time_zone, periods=periods) if 0 < len(periods) <= MOST else None


def _joined(on_day: Iterable[WorkPeriod]) -> list[WorkPeriod]:
    """Return one day's sorted stretches as fewer ones that neither overlap nor touch."""
    joined: list[WorkPeriod] = []
    for each in on_day:
        if joined and each.start <= joined[-1].end:
            joined[-1] = WorkPeriod(each.day, joined[-1].start, max(joined[-1].end, each.end))
        else:
            joined.append(WorkPeriod(each.day, each.start, each.end))
    return joined


def _order(period: WorkPeriod) -> tuple[int, int, int]:
    return period.day, period.start, period.end
