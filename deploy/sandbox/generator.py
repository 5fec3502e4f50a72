"""Generates a mailbox's events from a seed: mixed statuses, all-day, private, cancelled and recurring-looking ones.

The same plan gives the same items, and an item's times do not depend on whether its private fields were asked for.
"""

import struct
from operator import attrgetter
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from deploy.sandbox.calendar.values import Item, Person
from shared.contracts.values import DAY, Instant

BACK, AHEAD = 42, 201
SPAN = BACK + AHEAD
SERIES_LENGTH = 10
_QUARTER = 900
_WEEK = 7
_MONDAY = 4  # 1970-01-01 was a Thursday: (day + 3) % 7 is 0 on Mondays

_MINUTES = (15, 30, 30, 30, 30, 60, 60, 60, 60, 45, 50, 25, 90, 120, 180, 480)
_STATUSES = (
    ("busy",) * 40 + ("tentative",) * 8 + ("free",) * 6 + ("oof",) * 4 + ("workingElsewhere",) * 5 + ("unknown",)
)
_DAY_STATUSES = ("free",) * 6 + ("oof",) * 4 + ("busy",) * 3 + ("workingElsewhere",) * 2 + ("tentative",)
_SENSITIVITIES = ("normal",) * 25 + ("private",) * 4 + ("personal", "confidential", "confidential")
_RESPONSES = ("organizer",) * 6 + ("accepted",) * 6 + ("tentativelyAccepted", "notResponded", "none", "declined")
_SUBJECTS = ("Planning", "Review", "Interview", "Customer call", "One to one", "Travel", "Training", "Dentist")
_CATEGORIES = ((), (), (), ("Blue category",), ("Red category", "Project 0007"))
_START = attrgetter("start", "item_id")
_NOTES = "Agenda for item {0}: figures, decisions, next steps. Dial-in code {0}."


class Plan(Struct, frozen=True, kw_only=True):
    """What a mailbox's events follow from: `today` is a UTC midnight, `offset` its zone's seconds ahead of UTC."""

    seed: int
    tenant: int
    number: int
    events: int
    today: Instant
    offset: int = 0
    domain: str = "sandbox.example"
    colleagues: int = 25


def items(plan: Plan, *, private: bool = True) -> list[Item]:
    """Return a mailbox's items in the order of their starts; without `private` the texts and people stay empty."""
    chance = Random(f"events/{plan.seed}/{plan.tenant}/{plan.number}")  # noqa: S311 -- plausible events, not secrets
    raw = chance.randbytes(8 * plan.events)
    rolls = struct.unpack(f"<{plan.events}Q", raw)
    recurring = plan.events * 2 // 5 // SERIES_LENGTH * SERIES_LENGTH
    own = f"{plan.tenant:03d}{plan.number:07d}"
    made = [_occurrence(plan, own, place, rolls[place - place % SERIES_LENGTH]) for place in range(recurring)]
    made += [_single(plan, own, place, rolls[place]) for place in range(recurring, plan.events)]
    made.sort(key=_START)
    return [_with_private(plan, item) for item in made] if private else made


def _single(plan: Plan, own: str, place: int, roll: int) -> Item:
    """Return one event; the bits of `roll` decide, from the lowest: day, status, length, start and the rest."""
    day = _workday(plan.today // DAY - BACK + roll % SPAN)
    if (roll >> 8) % 16 == 0:
        return _all_day(own, place, day=day, roll=roll)
    start = day * DAY + (28 + (roll >> 12) % 44) * _QUARTER - plan.offset  # from 07:00 to 17:45 there
    # one in 128 lasts no time at all: Outlook allows it
    length = _MINUTES[(roll >> 20) & 15] * 60 if (roll >> 24) & 127 else 0
    response = _RESPONSES[(roll >> 44) & 15]
    return Item(
        item_id=f"{own}{place:06d}",
        start=start,
        end=start + length,
        show_as=_STATUSES[(roll >> 32) & 63],
        sensitivity=_SENSITIVITIES[(roll >> 38) & 31],
        cancelled=(roll >> 48) % 40 == 0,
        response=response,
        is_organizer=response == "organizer",
    )


def _all_day(own: str, place: int, *, day: int, roll: int) -> Item:
    days = 1 + (roll >> 20) % 5 if (roll >> 24) % 4 == 0 else 1
    return Item(
        item_id=f"{own}{place:06d}",
        all_day=True,
        start=day * DAY,
        end=(day + days) * DAY,
        show_as=_DAY_STATUSES[(roll >> 32) & 15],
        sensitivity=_SENSITIVITIES[(roll >> 38) & 31],
        cancelled=(roll >> 48) % 40 == 0,
        response="organizer",
    )


def _occurrence(plan: Plan, own: str, place: int, roll: int) -> Item:
    """Return one occurrence of a weekly series; the fourth of each is an exception, an hour later."""
    within = place % SERIES_LENGTH
    first = _workday(plan.today // DAY - BACK + roll % (SPAN - SERIES_LENGTH * _WEEK))
    moved = within == 3
    start = (first + within * _WEEK) * DAY + (28 + (roll >> 12) % 40) * _QUARTER - plan.offset + 3600 * moved
    response = _RESPONSES[(roll >> 44) & 15]
    return Item(
        item_id=f"{own}{place:06d}",
        series_id=f"{own}{place // SERIES_LENGTH:05d}S",
        type="exception" if moved else "occurrence",
        start=start,
        end=start + _MINUTES[(roll >> 20) & 15] * 60,
        show_as=_STATUSES[(roll >> 32) & 63],
        sensitivity=_SENSITIVITIES[(roll >> 38) & 31],
        response=response,
        is_organizer=response == "organizer",
    )


def _workday(day: int) -> int:
    """Move most weekend days to the Monday after; every eleventh day stays."""
    weekday = (day + 3) % _WEEK
    return day + _WEEK - weekday if weekday > _MONDAY and day % 11 else day


def _with_private(plan: Plan, item: Item) -> Item:
    """Return an item with what must never leave: texts and people, the same for the same item."""
    roll = Random(f"private/{plan.seed}/{item.series_id or item.item_id}").getrandbits(64)  # noqa: S311 -- plausible
    number = roll % 10_000
    people = tuple(_colleague(plan, roll >> shift) for shift in range(8, 8 + roll % 5 * 8, 8))
    me = Person(f"Person {plan.number:04d}", f"person.{plan.number:04d}@{plan.domain}")
    return replace(
        item,
        subject=f"{_SUBJECTS[(roll >> 8) & 7]} {number:04d}",
        body=_NOTES.format(f"{number:04d}"),
        location=f"Room {1 + (roll >> 16) % 9:04d}" if roll & 1 else "",
        categories=_CATEGORIES[(roll >> 24) % len(_CATEGORIES)],
        organizer=me if item.is_organizer else _colleague(plan, roll >> 32),
        attendees=people,
        join_url=f"https://meet.sandbox.example/join/{roll:016x}" if roll & 2 and people else "",
    )


def _colleague(plan: Plan, roll: int) -> Person:
    number = 1 + roll % max(1, plan.colleagues)
    return Person(f"Person {number:04d}", f"person.{number:04d}@{plan.domain}")
