"""Generates a mailbox's events from a seed: mixed statuses, all-day, private, cancelled and recurring-looking ones.

The same plan gives the same items, and an item's times do not depend on whether its private fields were asked for.
"""

import struct
import zlib
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
_MORNING = 28  # quarters of an hour after midnight: 07:00
_WEEK = 7
_SATURDAY = 5
_LOOKS_KEPT = 4096

_MINUTES = (15, 25, 30, 30, 30, 30, 30, 45, 50, 60, 60, 60, 60, 90, 120, 180, 480)
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


class _Look(Struct, frozen=True, kw_only=True):
    """How one event looks but for its day: drawn once for all mailboxes, which makes generating quick."""

    begins: int  # seconds after midnight there
    lasts: int  # seconds
    days: int
    all_day: bool
    show_as: str
    sensitivity: str
    cancelled: bool
    response: str


def _looks() -> tuple[_Look, ...]:
    chance = Random("looks")  # noqa: S311 -- plausible events, not secrets
    return tuple(_look(chance) for _ in range(_LOOKS_KEPT))


def _look(chance: Random) -> _Look:
    all_day = chance.random() < 1 / 16
    return _Look(
        begins=(_MORNING + chance.randrange(44)) * _QUARTER,  # until 17:45
        lasts=chance.choice(_MINUTES) * 60 if chance.random() > 1 / 128 else 0,  # Outlook allows no length at all
        days=chance.choice((1, 1, 1, 2, 5)),
        all_day=all_day,
        show_as=chance.choice(_DAY_STATUSES if all_day else _STATUSES),
        sensitivity=chance.choice(_SENSITIVITIES),
        cancelled=chance.random() < 1 / 40,
        response="organizer" if all_day else chance.choice(_RESPONSES),
    )


_LOOKS = _looks()


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
    rolls = list(struct.iter_unpack("<HH", chance.randbytes(4 * plan.events)))
    own = f"{plan.tenant:03d}{plan.number:07d}"
    recurring = plan.events * 2 // 5 // SERIES_LENGTH * SERIES_LENGTH
    made = [_occurrence(plan, own, place, rolls[place - place % SERIES_LENGTH]) for place in range(recurring)]
    made += [_single(plan, own, place, rolls[place]) for place in range(recurring, plan.events)]
    made.sort(key=_START)
    return [_with_private(plan, item) for item in made] if private else made


def _single(plan: Plan, own: str, place: int, roll: tuple[int, ...]) -> Item:
    """Return one event on a day of the span; most weekend days move to the Monday after, every eleventh stays."""
    day = plan.today // DAY - BACK + roll[0] % SPAN
    weekday = (day + 3) % _WEEK  # 1970-01-01 was a Thursday
    if weekday >= _SATURDAY and day % 11:
        day += _WEEK - weekday
    look = _LOOKS[roll[1] % _LOOKS_KEPT]
    start = day * DAY if look.all_day else day * DAY + look.begins - plan.offset
    return Item(
        item_id=f"{own}{place:06d}",
        all_day=look.all_day,
        start=start,
        end=start + (look.days * DAY if look.all_day else look.lasts),
        show_as=look.show_as,
        sensitivity=look.sensitivity,
        cancelled=look.cancelled,
        response=look.response,
        is_organizer=look.response == "organizer",
    )


def _occurrence(plan: Plan, own: str, place: int, roll: tuple[int, ...]) -> Item:
    """Return one occurrence of a weekly series on workdays; the fourth of each is an exception, an hour later."""
    within = place % SERIES_LENGTH
    monday = plan.today // DAY - BACK + roll[0] % (SPAN - SERIES_LENGTH * _WEEK)
    monday -= (monday + 3) % _WEEK
    look = _LOOKS[roll[1] % _LOOKS_KEPT]
    moved = within == 3
    start = (monday + roll[0] % 5 + within * _WEEK) * DAY + look.begins - plan.offset + 3600 * moved
    return Item(
        item_id=f"{own}{place:06d}",
        series_id=f"{own}{place // SERIES_LENGTH:05d}S",
        type="exception" if moved else "occurrence",
        start=start,
        end=start + look.lasts,
        show_as=look.show_as,
        sensitivity=look.sensitivity,
        response=look.response,
        is_organizer=look.response == "organizer",
    )


def _with_private(plan: Plan, item: Item) -> Item:
    """Return an item with what must never leave: texts and people, the same for the same item or series."""
    roll = zlib.crc32(f"{plan.seed}/{item.series_id or item.item_id}".encode())
    roll |= zlib.crc32(b"more", roll) << 32
    number = roll % 10_000
    people = tuple(_colleague(plan, roll >> shift) for shift in range(8, 8 + roll % 5 * 8, 8))
    return replace(
        item,
        subject=f"{_SUBJECTS[(roll >> 8) & 7]} {number:04d}",
        body=_NOTES.format(f"{number:04d}"),
        location=f"Room {1 + (roll >> 16) % 9:04d}" if roll & 1 else "",
        categories=_CATEGORIES[(roll >> 24) % len(_CATEGORIES)],
        organizer=_colleague(plan, plan.number - 1 if item.is_organizer else roll >> 32),
        attendees=people,
        join_url=f"https://meet.sandbox.example/join/{roll:016x}" if roll & 2 and people else "",
    )


def _colleague(plan: Plan, roll: int) -> Person:
    number = 1 + roll % max(1, plan.colleagues)
    return Person(f"Person {number:04d}", f"person.{number:04d}@{plan.domain}")
