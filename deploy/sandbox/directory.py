"""Generates a tenant's people, rooms and groups from a seed; every sort of object that an enumeration must survive.

Guests, unlicensed and on-premises users and denied mailboxes come on top of the readable ones; addresses give the ids.
"""

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from random import Random
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from shared.contracts.values import Kind

SPACE = UUID("5b1a9d1e-5a3d-4f1c-9a52-0a5d5b0c0de5")
DOMAIN = "sandbox.example"
ZONES = (
    "Europe/Berlin", "America/New_York", "UTC", "Asia/Calcutta", "Europe/London",
    "America/Los_Angeles", "Asia/Tokyo", "Australia/Sydney", "America/Sao_Paulo", "Europe/Kyiv",
)  # fmt: skip
GROUP_ALL = "00000000-0000-4000-8000-0000000000a1"  # nests GROUP_HALF and holds every other readable person
GROUP_HALF = "00000000-0000-4000-8000-0000000000a2"  # the people with odd numbers
GROUP_EMPTY = "00000000-0000-4000-8000-0000000000a3"


class Unknown(LookupError):  # noqa: N818 -- the name is unknown, nothing failed
    """Nothing has this name; the argument says what sort of thing was looked for."""


class Reach(StrEnum):
    """What happens when a mailbox is asked for."""

    OPEN = "open"
    DENIED = "denied"
    MISSING = "missing"
    ON_PREMISES = "on_premises"


Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Hours(Struct, frozen=True, kw_only=True):
    """When somebody works: on each of these days from `start` to `end`, in minutes of the day.

    `time_zone` is an IANA name; empty, it is the mailbox's.
    """

    days: tuple[Day, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday")
    start: Annotated[int, Meta(ge=0, le=1439)] = 480
    end: Annotated[int, Meta(ge=0, le=1439)] = 1020  # 0 is midnight: neither door can say 24:00
    time_zone: str = ""


WEEKS: tuple[Hours | None, ...] = (
    *(Hours(),) * 6,
    Hours(start=540, end=1050),
    Hours(days=("tuesday", "wednesday", "thursday"), end=750),
    Hours(days=("sunday", "monday", "tuesday", "wednesday", "thursday"), start=390, end=0),
    Hours(time_zone="America/New_York"),
    None,  # never set
)


class Person(Struct, frozen=True, kw_only=True):
    """A directory object of type user: a person, a shared mailbox, a room, equipment or a guest."""

    user_id: str
    upn: str
    mail: str | None
    name: str
    number: int
    kind: Kind = Kind.USER
    reach: Reach = Reach.OPEN
    enabled: bool = True
    guest: bool = False
    licensed: bool = True
    time_zone: str = "UTC"
    working_hours: Hours | None = Hours()

    @property
    def address(self) -> str:
        """Return the address control calls name it by, in lower case."""
        return (self.mail or self.upn).lower()


class Group(Struct, frozen=True, kw_only=True):
    """A group; `members` are ids of people, `groups` ids of groups nested in it."""

    group_id: str
    name: str
    members: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Tenant(Struct, kw_only=True, dict=True):
    """One organisation: its people by id, in the order a listing gives them."""

    tenant_id: str
    number: int
    domain: str
    people: dict[str, Person] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> dict[str, Person]:
        """Find people by id, by user principal name and by address, all in lower case."""
        found: dict[str, Person] = {}
        for person in self.people.values():
            found |= {person.user_id: person, person.upn.lower(): person, person.address: person}
        return found

    def person(self, name: str) -> Person | None:
        """Return the person an id, a user principal name or an address stands for."""
        return self.people.get(name) or self.by_name.get(name.lower())

    def put(self, person: Person) -> None:
        """Add a person or replace the one of the same id."""
        self.people[person.user_id] = person
        self.__dict__.pop("by_name", None)

    def drop(self, user_id: str) -> None:
        """Remove a person."""
        self.people.pop(user_id, None)
        self.__dict__.pop("by_name", None)

    def members(self, group_id: str) -> list[Person]:
        """Return the people in a group and in the groups nested in it, each once."""
        wanted = dict.fromkeys(user for group in self.nested(group_id) for user in group.members)
        return [self.people[user] for user in wanted if user in self.people]

    def address_of(self, group: Group) -> str:
        """Return a group's address, which follows from its name: "All calendars" is all.calendars@domain."""
        return f"{'.'.join(group.name.lower().split())}@{self.domain}"

    def group(self, address: str) -> Group | None:
        """Return the group with an address."""
        wanted = address.lower()
        return next((group for group in self.groups.values() if self.address_of(group) == wanted), None)

    def nested(self, group_id: str) -> list[Group]:
        """Return a group and the groups nested in it at any depth, each once."""
        seen: dict[str, Group] = {}
        waiting = [group_id]
        while waiting:
            group = self.groups.get(waiting.pop())
            if group is not None and group.group_id not in seen:
                seen[group.group_id] = group
                waiting.extend(group.groups)
        return list(seen.values())


def user_id_of(address: str) -> str:
    """Return the stable id of the user with an address."""
    return str(uuid5(SPACE, address.lower()))


def tenant(number: int) -> Tenant:
    """Return an empty tenant: 1 is sandbox.example, 2 is sandbox-2.example; ids are the same for ever."""
    domain = DOMAIN if number == 1 else f"sandbox-{number}.example"
    return Tenant(tenant_id=str(uuid5(SPACE, f"tenant/{domain}")), number=number, domain=domain)


def fill(made: Tenant, mailboxes: int, *, seed: int, others: bool = True) -> None:
    """Fill a tenant with `mailboxes` readable mailboxes and, from ten on, one of every other sort for each share."""
    chance = Random(f"directory/{seed}/{made.number}")  # noqa: S311 -- plausible people, not secrets
    weeks = Random(f"hours/{seed}/{made.number}")  # noqa: S311 -- the same
    for person in _people(made.domain, mailboxes, others=others):
        zone = ZONES[0] if person.number == 1 else chance.choice(ZONES)
        week = WEEKS[0] if person.number == 1 else weeks.choice(WEEKS)
        made.people[person.user_id] = replace(person, time_zone=zone, working_hours=week)
    made.groups = {group.group_id: group for group in _groups(made)}


def _share(mailboxes: int, of: int) -> int:
    return max(1, mailboxes // of) if mailboxes >= 10 else 0


def _people(domain: str, mailboxes: int, *, others: bool) -> Iterator[Person]:
    rooms, equipment, shared = _share(mailboxes, 20), _share(mailboxes, 50), _share(mailboxes, 40)
    counts = {Kind.ROOM: rooms, Kind.EQUIPMENT: equipment, Kind.SHARED: shared}
    persons = mailboxes - sum(counts.values())
    for number in range(1, persons + 1):
        yield _person(f"Person {number:04d}", f"person.{number:04d}@{domain}", number)
    number = persons
    for kind, count in counts.items():  # disabled and unlicensed, and yet with a mailbox
        for place in range(1, count + 1):
            number += 1
            name = f"{kind.value.capitalize()} {place:04d}"
            # the directory keeps an address as it was typed
            mail = f"{kind.value.capitalize()}.{place:04d}@{domain}"
            yield _person(name, mail.lower(), number, mail=mail, kind=kind, enabled=False, licensed=False)
    if others:
        yield from _others(domain, mailboxes, number)


def _others(domain: str, mailboxes: int, number: int) -> Iterator[Person]:
    for place in range(1, _share(mailboxes, 20) + 1):
        mail = f"guest.{place:04d}@visitor.example"
        upn = f"{mail.replace('@', '_')}#EXT#@{domain}"
        yield _person(
            f"Guest {place:04d}", upn, number + place, mail=mail, guest=True, licensed=False, reach=Reach.MISSING
        )
    sorts = (("unlicensed", 25, Reach.MISSING), ("premises", 50, Reach.ON_PREMISES), ("denied", 100, Reach.DENIED))
    for word, of, reach in sorts:
        for place in range(1, _share(mailboxes, of) + 1):
            upn = f"{word}.{place:04d}@{domain}"
            mail_or_none = None if reach is Reach.MISSING else upn
            name = f"{word.capitalize()} {place:04d}"
            yield _person(name, upn, 0, mail=mail_or_none, reach=reach, licensed=reach is Reach.DENIED)


def _person(name: str, upn: str, number: int, **changes: Any) -> Person:
    made = Person(user_id=user_id_of(upn), upn=upn, mail=upn, name=name, number=number)
    return replace(made, **changes)


def _groups(made: Tenant) -> Iterator[Group]:
    readable = [person for person in made.people.values() if person.reach is Reach.OPEN]
    odd = tuple(person.user_id for person in readable if person.number % 2)
    even = tuple(person.user_id for person in readable if not person.number % 2)
    yield Group(group_id=GROUP_ALL, name="All calendars", members=even, groups=(GROUP_HALF, GROUP_EMPTY))
    yield Group(group_id=GROUP_HALF, name="Odd numbers", members=odd)
    yield Group(group_id=GROUP_EMPTY, name="Nobody")
