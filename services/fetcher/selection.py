"""Decides what is asked of Graph: which properties of an event, in which spans of time.

Under free/busy only, it refuses to name anything but times, status and what placing them needs.
"""

from typing import Final

from shared import clock
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import DAY, Window

MOST_DAYS: Final = 1825  # Graph: "Maximum number of days: 1825", ErrorInvalidRequest
PAGE: Final = 999

_TIMES: Final = ("start", "end", "showAs", "isAllDay", "isCancelled", "responseStatus")
_DETAILS: Final = ("id", "sensitivity", "subject", "organizer", "attendees", "location", "bodyPreview")
_CONFERENCING: Final = ("onlineMeeting",)

# UTC so that nothing need be converted; immutable ids so that an event keeps its id when it is moved.
PREFER: Final = 'outlook.timezone="UTC", IdType="ImmutableId"'


def fields(policy: Policy) -> tuple[str, ...]:
    """Return the event properties a policy allows to be asked for."""
    if policy.detail is not Detail.DETAILS:
        return _TIMES
    return _TIMES + _DETAILS + (_CONFERENCING if policy.conferencing else ())


def spans(window: Window) -> tuple[Window, ...]:
    """Cut a window into spans that Graph accepts; every inner border is a UTC midnight.

    An event belongs to the span it starts in (see `belongs`). Midnights as borders make that hold for all-day events,
    whose dates are written as if in UTC while Graph selects them by true instants up to 14 hours away.
    """
    cuts = [window.start]
    first_midnight = window.start - window.start % DAY
    border = first_midnight + MOST_DAYS * DAY
    while border < window.end:
        cuts.append(border)
        border += MOST_DAYS * DAY
    return tuple(Window(start, end) for start, end in zip(cuts, [*cuts[1:], window.end], strict=True))


def belongs(start: int, span: Window, window: Window) -> bool:
    """Say whether an event that starts then is kept from this span, so that one that straddles a border is kept once.

    What starts before the window is kept from the first span, whatever starts late from the last.
    """
    after = span.start == window.start or start >= span.start
    before = span.end == window.end or start < span.end
    return after and before


def first_page(mailbox_id: str, span: Window, policy: Policy) -> str:
    """Return the path of the first page of a span of a mailbox's calendar view."""
    return (
        f"/users/{mailbox_id}/calendarView?startDateTime={clock.moment(span.start)}&endDateTime={clock.moment(span.end)}"
        f"&$select={','.join(fields(policy))}&$top={PAGE}"
    )
