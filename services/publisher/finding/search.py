"""Decides which starts are slots, and in which order; it refuses to count anybody as free of whom that is not known."""

from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from services.publisher.finding.answers import GroupFree, Slot, SlotsAnswer, SlotsAsked, SlotsStanding
from services.publisher.finding.counting import at_least, by_count, counted, members
from services.publisher.finding.explanation import Barrier, explanation, free_of
from services.publisher.finding.sought import Sought
from services.publisher.finding.standing import Standing, told
from services.publisher.moments import moment


class Table(Struct, frozen=True, kw_only=True):
    """Everybody by role, groups in the order asked."""

    required: tuple[Standing, ...]
    optional: tuple[Standing, ...]
    groups: tuple[tuple[Standing, ...], ...]


def answered(asked: SlotsAsked, sought: Sought, everybody: Sequence[Standing]) -> SlotsAnswer:
    """Return the answer, from everybody's standing in the order of `sought.wishes`."""
    table = _table(sought, everybody)
    barriers = _barriers(sought, table)
    blocked = 0
    for barrier in barriers:
        blocked |= barrier.blocks
    free = sought.starts & ~blocked
    participants = tuple(_told(sought, each) for each in everybody)
    best = islice(_ranked(asked, table, free), asked.limit)
    return SlotsAnswer(
        complete=all(each.error is None for each in participants),
        found=free.bit_count(),
        slots=tuple(_slot(sought, table, start) for start in best),
        participants=participants,
        explanation=explanation(sought, everybody, barriers) if asked.explain or not free else None,
    )


def _table(sought: Sought, everybody: Sequence[Standing]) -> Table:
    return Table(
        required=tuple(each for each in everybody if each.wish.role == "required"),
        optional=tuple(each for each in everybody if each.wish.role == "optional"),
        groups=tuple(
            tuple(each for each in everybody if each.wish.group == number) for number in range(len(sought.groups))
        ),
    )


def _barriers(sought: Sought, table: Table) -> tuple[Barrier, ...]:
    """Return what can make a start no slot: each required participant, each group."""
    people = (Barrier(blocks=each.blocked, who=(each,)) for each in table.required)
    groups = (
        Barrier(blocks=sought.starts & ~_enough(sought, group, need.need), who=group, group=need.name)
        for need, group in zip(sought.groups, table.groups, strict=True)
    )
    return (*people, *groups)


def _enough(sought: Sought, group: Sequence[Standing], need: int) -> int:
    return at_least(counted(sought.starts & ~each.blocked for each in group), need, among=sought.starts)


def _ranked(asked: SlotsAsked, table: Table, free: int) -> Iterator[int]:
    """Yield slots in the order asked for: by the number of optional participants not free first, if so; by begin."""
    if asked.rank == "earliest":
        yield from members(free)
        return
    for equal in by_count(counted(each.blocked for each in table.optional), among=free):
        yield from members(equal)


def _slot(sought: Sought, table: Table, start: int) -> Slot:
    begin = sought.grid.start(start)
    return Slot(
        start=moment(begin),
        end=moment(begin + sought.grid.length),
        free=free_of(table.optional, start),
        groups=tuple(
            GroupFree(group=need.name, free=free_of(group, start))
            for need, group in zip(sought.groups, table.groups, strict=True)
        ),
        unverified=tuple(each.wish.mailbox for each in table.required if each.not_known >> start & 1),
    )


def _told(sought: Sought, standing: Standing) -> SlotsStanding:
    group = standing.wish.group
    return replace(told(standing), group=sought.groups[group].name) if group >= 0 else told(standing)
