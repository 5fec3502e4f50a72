"""Decides what a request to find time means, strictly; what contradicts itself is refused by the field's name."""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from msgspec import Struct

from services.publisher.asking import invalid, moment_of
from services.publisher.finding.answers import (
    MOST_DAYS,
    MOST_PARTICIPANTS,
    ROOMS,
    Hours,
    Role,
    SlotsAsked,
    SlotsGroup,
    SlotsParticipant,
)
from services.publisher.finding.grid import Grid, Stretch, gaps, grid_of, joined, touched
from services.publisher.published import kept_name
from shared.contracts.public import Weekday, WeeklyHours
from shared.contracts.values import DAY, Instant, WorkingHours, WorkPeriod
from shared.zones import iana_name, resolve

_DAYS: tuple[Weekday, ...] = get_args(Weekday)
_MOST_STRETCHES = 64
TWICE = "This mailbox is named twice in one list."
_EARLIEST, _LATEST = 0, 250_000_000_000  # a zone's clock and a buffer never leave the years there are


class Wish(Struct, frozen=True):
    """One participant: as asked, the name as it is kept, in which role, in which group (-1: none), and its hours."""

    mailbox: str
    name: str
    role: Role
    group: int
    hours: Literal["own", "ignored"] | WorkingHours


class Need(Struct, frozen=True):
    """A group: at least `need` of its members must be free."""

    name: str
    need: int


class Sought(Struct, frozen=True, kw_only=True):
    """What is looked for. `starts` are those of the grid that lie in the periods; buffers are seconds.

    `span` is the time that matters: all slots there may be, with their buffers.
    """

    grid: Grid
    starts: int
    before: int
    after: int
    span: Stretch
    blocking: frozenset[str]
    ignore_unknown: bool
    wishes: tuple[Wish, ...]
    groups: tuple[Need, ...]

    def place(self, wish: Wish) -> str:
        """Return the name of the list in the request that a wish comes from."""
        if wish.group < 0:
            return wish.role
        return ROOMS if self.groups[wish.group].name == ROOMS else f"groups[{wish.group}].members"


def sought_of(asked: SlotsAsked) -> Sought:
    """Return what is looked for. Raises Problem 422 naming the field at fault."""
    periods = joined(_periods(asked))
    if periods[-1][1] - periods[0][0] > MOST_DAYS * DAY:
        raise invalid("periods", f"From the first to the last there may be at most {MOST_DAYS} days.")
    span = periods[0][0], periods[-1][1]
    zone = _zone("time_zone", asked.time_zone)
    grid = grid_of(span, step=asked.step_minutes * 60, length=asked.duration_minutes * 60, zone=zone)
    before, after = asked.buffer_before_minutes * 60, asked.buffer_after_minutes * 60
    return Sought(
        grid=grid,
        starts=grid.full & ~touched(grid, gaps(periods, span)),
        before=before,
        after=after,
        span=(grid.span[0] - before, grid.span[1] + after),
        blocking=frozenset({*asked.blocking, "unknown"}),
        ignore_unknown=asked.ignore_unknown,
        wishes=_wishes(asked),
        groups=tuple(Need(group.name, group.need) for group in _groups(asked)),
    )


def _periods(asked: SlotsAsked) -> Iterator[tuple[Instant, Instant]]:
    for number, period in enumerate(asked.periods):
        start, end = (
            moment_of(f"periods[{number}].{name}", text) for name, text in (("from", period.start), ("to", period.end))
        )
        if end <= start:
            raise invalid(f"periods[{number}].to", "It must lie after `from`.")
        if start < _EARLIEST or end > _LATEST:
            raise invalid(f"periods[{number}]", "It must lie after 1970 and long before the year 9999.")
        yield start, end


def _wishes(asked: SlotsAsked) -> tuple[Wish, ...]:
    """Return everybody in the order of the answer: required, optional, then group by group, rooms at last."""
    found = [*_list("required", asked.required, asked), *_list("optional", asked.optional, asked)]
    for number, group in enumerate(_groups(asked)):
        place = ROOMS if group.name == ROOMS else f"groups[{number}].members"
        found += _list(place, group.members, asked, group=number)
    if not 1 <= len(found) <= MOST_PARTICIPANTS:
        raise invalid("required", f"From 1 to {MOST_PARTICIPANTS} participants may be asked about, all in all.")
    return tuple(found)


def _groups(asked: SlotsAsked) -> tuple[SlotsGroup, ...]:
    """Return the groups, the rooms as the last of them."""
    names: set[str] = {ROOMS}
    for number, group in enumerate(asked.groups):
        if group.name in names:
            raise invalid(f"groups[{number}].name", "Another group has it, or it is `rooms`.")
        if group.need > len(group.members):
            raise invalid(f"groups[{number}].need", "There are fewer members.")
        names.add(group.name)
    rooms = tuple(SlotsParticipant(mailbox=room, working_hours="ignored") for room in asked.rooms)
    return (*asked.groups, SlotsGroup(name=ROOMS, need=1, members=rooms)) if rooms else asked.groups


def _list(place: str, listed: Sequence[SlotsParticipant], asked: SlotsAsked, *, group: int = -1) -> Iterator[Wish]:
    role: Role = "member" if group >= 0 else "required" if place == "required" else "optional"
    seen: set[str] = set()
    for number, each in enumerate(listed):
        name = kept_name(each.mailbox)
        if name in seen:
            raise invalid(f"{place}[{number}]", TWICE)
        seen.add(name)
        hours = asked.working_hours if each.working_hours is None else each.working_hours
        field = "working_hours" if each.working_hours is None else f"{place}[{number}].working_hours"
        yield Wish(each.mailbox, name, role, group, _hours(field, hours))


def _hours(field: str, hours: Hours) -> Literal["own", "ignored"] | WorkingHours:
    """Return hours as the pipeline keeps them. Stretches that end the day after are to be given as two."""
    if not isinstance(hours, WeeklyHours):
        return hours
    zone = iana_name(hours.time_zone)
    if zone is None:
        raise invalid(f"{field}.time_zone", "This time zone is not known.")
    return WorkingHours(time_zone=zone, periods=_stretches(field, hours))


def _stretches(field: str, hours: WeeklyHours) -> tuple[WorkPeriod, ...]:
    found: set[tuple[int, int, int]] = set()
    for number, each in enumerate(hours.periods):
        start, end = _minutes(each.start), _minutes(each.end)
        if end <= start:
            raise invalid(f"{field}.periods[{number}].end", "It must come after `start`, on the same day.")
        found.update((_DAYS.index(day), start, end) for day in each.days)
    if len(found) > _MOST_STRETCHES:
        raise invalid(f"{field}.periods", f"At most {_MOST_STRETCHES} stretches a week.")
    return tuple(WorkPeriod(*each) for each in sorted(found))


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _zone(field: str, name: str) -> ZoneInfo:
    zone = resolve(name)
    if zone is None:
        raise invalid(field, "This time zone is not known.")
    return zone
