"""Turns the working hours beside free and busy times into stretches of work.

Pure. They are an extra and never worth an error: where one stretch makes no sense, none is known.
"""

from typing import Final

from shared.contracts.values import WorkPeriod
from shared.ews.elements import Element, child, text
from shared.work_week import stretch

_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# The schema lists the last three among the words for days, whether or not a server ever says them here.
_DAYS: Final[dict[str, tuple[int, ...]]] = {
    **{name: (number,) for number, name in enumerate(_NAMES)},
    "Day": tuple(range(7)),
    "Weekday": tuple(range(5)),
    "WeekendDay": (5, 6),
}


def stretches(hours: Element) -> tuple[WorkPeriod, ...]:
    """Return the stretches of a t:WorkingHours, as they come; () where there are none, or one makes no sense."""
    array = child(hours, "WorkingPeriodArray")
    if array is None:
        return ()
    try:
        return tuple(each for period in array for each in _stretches(period))
    except (KeyError, ValueError):
        return ()


def _stretches(period: Element) -> list[WorkPeriod]:
    """Return one period on each of its days. Raises KeyError and ValueError."""
    start, end = (int(text(child(period, name))) for name in ("StartTimeInMinutes", "EndTimeInMinutes"))
    days = text(child(period, "DayOfWeek")).split()
    return [stretch(number, start, end) for day in days for number in _DAYS[day]]
