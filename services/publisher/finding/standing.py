"""Decides which starts one participant stands in the way of, and why. What is not known of it is never free."""

from collections.abc import Container, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from services.publisher.answers import FreeBusyError
from services.publisher.finding.answers import Cause, SlotsStanding
from services.publisher.finding.grid import Block, gaps, marked
from services.publisher.finding.hours import outside_hours
from services.publisher.finding.line import Line, blocks_within, hours_of
from services.publisher.finding.sought import Sought, Wish
from services.publisher.moments import moment
from shared.contracts.public import Span
from shared.contracts.values import Coverage

HoursWord = Literal["applied", "ignored", "not_known"]
CAUSES: tuple[Cause, ...] = ("busy", "hours", "window", "unknown")


class Standing(Struct, frozen=True, kw_only=True):
    """One participant over all starts: the sets of those it stands in the way of, by cause, and all in all.

    `window` and `unknown` are not knowing; where the request forgives that, they are not in `blocked`.
    """

    wish: Wish
    line: Line | None
    busy: int
    hours: int
    window: int
    unknown: int
    blocked: int
    hours_word: HoursWord

    @property
    def not_known(self) -> int:
        """Return the starts of which it is not known whether it is free."""
        return self.window | self.unknown

    def causes(self, start: int) -> tuple[Cause, ...]:
        """Return why it stands in the way of one start, forgiven or not."""
        return tuple(cause for cause in CAUSES if getattr(self, cause) >> start & 1)


def standing_of(sought: Sought, wish: Wish, line: Line | None) -> Standing:
    """Return how a participant stands to what is sought; `line` is None for a mailbox that does not exist."""
    hours, word = _hours(sought, wish, line)
    busy, window, unknown = 0, 0, sought.starts
    if line is not None and line.known:
        busy, window, unknown = _busy(sought, line), _beyond(sought, line), 0
    forgiven = sought.ignore_unknown and wish.role == "required"
    return Standing(
        wish=wish,
        line=line,
        busy=busy,
        hours=hours,
        window=window,
        unknown=unknown,
        blocked=busy | hours if forgiven else busy | hours | window | unknown,
        hours_word=word,
    )


def told(standing: Standing) -> SlotsStanding:
    """Return what the answer says of a participant. `standing.wish.group` is named by who knows the groups."""
    bare = SlotsStanding(
        mailbox=standing.wish.mailbox,
        role=standing.wish.role,
        coverage=Coverage.UNKNOWN,
        error=_error(standing),
        working_hours=standing.hours_word,
    )
    line = standing.line
    if line is None or not line.known:
        return bare
    return replace(
        bare,
        coverage=Coverage.FULL,
        time_zone=line.time_zone,
        as_of=moment(line.as_of),
        version=line.version,
        position=line.position,
    )


def _busy(sought: Sought, line: Line) -> int:
    blocks = blocks_within(line.blocks, *sought.span)
    return _marked(sought, blocks, sought.blocking)


def _beyond(sought: Sought, line: Line) -> int:
    """Return the starts whose slot, buffers included, is not all within the mailbox's window."""
    (first, past), (start, end) = sought.span, line.window
    if start <= first and past <= end:
        return 0
    outside = gaps([(start, end)], (first, past))
    return _marked(sought, [(*span, "outside") for span in outside], {"outside"})


def _marked(sought: Sought, blocks: Sequence[Block], blocking: Container[str]) -> int:
    return sought.starts & marked(sought.grid, blocks, blocking, before=sought.before, after=sought.after)


def _hours(sought: Sought, wish: Wish, line: Line | None) -> tuple[int, HoursWord]:
    hours = wish.hours
    if hours == "ignored":
        return 0, "ignored"
    if hours == "own":
        if line is None or line.hours is None:
            return 0, "not_known"
        hours = hours_of(line.hours)
    outside = outside_hours(hours, sought.grid)
    return (0, "not_known") if outside is None else (sought.starts & outside, "applied")


def _error(standing: Standing) -> FreeBusyError | None:
    line = standing.line
    if line is None:
        return FreeBusyError(code="mailbox_unknown")
    if not line.known:
        return FreeBusyError(code="availability_unknown", reason=line.reason)
    if standing.window:
        start, end = line.window
        return FreeBusyError(code="outside_window", window=Span(start=moment(start), end=moment(end)))
    return None
