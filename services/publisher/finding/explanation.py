"""Decides what is said of why there is no slot: who blocks what, and which times miss by the least."""

from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec import Struct

from services.publisher.finding.answers import Explanation, GroupBlocks, Miss, Missing, ParticipantBlocks
from services.publisher.finding.counting import by_count, counted, members
from services.publisher.finding.sought import Sought
from services.publisher.finding.standing import Standing
from services.publisher.moments import moment

_MOST_MISSES = 5


class Barrier(Struct, frozen=True, kw_only=True):
    """What must be free for a slot, and the starts at which it is not: one required participant, or a group by name."""

    blocks: int
    who: tuple[Standing, ...]
    group: str | None = None


def explanation(sought: Sought, everybody: Sequence[Standing], barriers: Sequence[Barrier]) -> Explanation:
    """Return who blocks what, everybody in the order asked, and the nearest misses."""
    alone = _alone(barriers)
    return Explanation(
        starts=sought.starts.bit_count(),
        participants=tuple(_participant(sought, each, alone=alone) for each in everybody),
        groups=tuple(
            GroupBlocks(group=each.group, blocks=each.blocks.bit_count(), alone=(each.blocks & alone).bit_count())
            for each in barriers
            if each.group is not None
        ),
        misses=tuple(islice(_misses(sought, barriers), _MOST_MISSES)),
    )


def free_of(people: Sequence[Standing], start: int) -> tuple[str, ...]:
    """Return those who are free at a start, as they were named in the request."""
    return tuple(each.wish.mailbox for each in people if not each.blocked >> start & 1)


def _alone(barriers: Sequence[Barrier]) -> int:
    """Return the starts at which exactly one thing is in the way."""
    once = twice = 0
    for each in barriers:
        once, twice = once | each.blocks, twice | once & each.blocks
    return once & ~twice


def _participant(sought: Sought, standing: Standing, *, alone: int) -> ParticipantBlocks:
    wish = standing.wish
    return ParticipantBlocks(
        mailbox=wish.mailbox,
        role=wish.role,
        group=sought.groups[wish.group].name if wish.group >= 0 else None,
        blocks=standing.blocked.bit_count(),
        alone=(standing.blocked & alone).bit_count() if wish.role == "required" else None,
        busy=standing.busy.bit_count(),
        hours=standing.hours.bit_count(),
        window=standing.window.bit_count(),
        unknown=standing.unknown.bit_count(),
    )


def _misses(sought: Sought, barriers: Sequence[Barrier]) -> Iterator[Miss]:
    """Yield what is no slot, that with the least in its way first, then by begin."""
    digits = counted(each.blocks for each in barriers)
    blocked = 0
    for each in barriers:
        blocked |= each.blocks
    for equal in by_count(digits, among=blocked):
        for start in members(equal):
            begin = sought.grid.start(start)
            missing = tuple(_missing(each, start) for each in barriers if each.blocks >> start & 1)
            yield Miss(start=moment(begin), end=moment(begin + sought.grid.length), missing=missing)


def _missing(barrier: Barrier, start: int) -> Missing:
    if barrier.group is not None:
        return Missing(group=barrier.group, free=free_of(barrier.who, start))
    (standing,) = barrier.who
    return Missing(mailbox=standing.wish.mailbox, causes=standing.causes(start))
