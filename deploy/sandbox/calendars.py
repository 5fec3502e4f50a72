"""The calendar behind a mailbox: generated items or a file's instances, with what control changed laid over them.

Whatever the source, every item's id is opaque, and its private fields carry canaries where the sandbox plants them.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import replace

from deploy.sandbox import generator
from deploy.sandbox.calendar.values import Item, Person, Problem
from shared.contracts.values import DAY, EARLIEST, LATEST, Window
from shared.zones import local_midnight

Source = Callable[[Window, bool], list[Item]]
Expand = Callable[[Window], tuple[list[Item], tuple[Problem, ...]]]
CANARY = "canary-"
YEAR, CENTURY = 365 * DAY, 36_525 * DAY
ORIGIN = -631_152_000  # 1950-01-01
CANARY_FIELDS = (
    "subject", "body", "location", "category", "attendee-name", "attendee-address", "organizer-name",
    "organizer-address", "join",
)  # fmt: skip


class Book(Struct, kw_only=True):
    """One mailbox's calendar. `revision` rises with every change, so that what was serialised before is not used.

    `touched` holds the revisions at which each item was changed or removed first and last.
    """

    source: Source
    zone: ZoneInfo
    canaries: bool = False
    put: dict[str, Item] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    touched: dict[str, tuple[int, int]] = field(default_factory=dict)
    revision: int = 0

    def items(self, window: Window, *, private: bool = True) -> list[Item]:
        """Return the items that touch a window, by their start; without `private`, texts and people may be empty."""
        found = self.unmarked(window, private=private)
        return [with_canaries(item) for item in found] if self.canaries and private else found

    def unmarked(self, window: Window, *, private: bool = True) -> list[Item]:
        """Return the same items without canaries."""
        # what lies a day inside touches whatever the zone is; only the rest is looked at closely
        first, last = window.start + DAY, window.end - DAY
        found = [
            item
            for item in self.source(window, private)
            if (item.start >= first and item.end <= last) or self._touches(item, window)
        ]
        if self.put or self.gone:
            hidden = self.gone | self.put.keys()
            found = [item for item in found if item.item_id not in hidden]
            found += [item for item in self.put.values() if self._touches(item, window)]
            found.sort(key=lambda item: (item.start, item.item_id))
        return found

    def known(self, window: Window, *, private: bool = True) -> list[Item]:
        """Return whatever is at hand once a window was looked at, items outside it too; in no order."""
        found = self.source(window, private)
        if self.put or self.gone:
            hidden = self.gone | self.put.keys()
            found = [*(item for item in found if item.item_id not in hidden), *self.put.values()]
        return [with_canaries(item) for item in found] if self.canaries and private else found

    def change(self, item: Item) -> None:
        """Add an item or replace the one of the same id."""
        self.gone.discard(item.item_id)
        self.put[item.item_id] = item
        self._touch(item.item_id)

    def remove(self, item_id: str) -> None:
        """Take an item away."""
        self.put.pop(item_id, None)
        self.gone.add(item_id)
        self._touch(item_id)

    def _touch(self, item_id: str) -> None:
        self.revision += 1
        first, _ = self.touched.get(item_id, (self.revision, 0))
        self.touched[item_id] = (first, self.revision)

    def _touches(self, item: Item, window: Window) -> bool:
        """Select by true instants: an all-day item lasts from midnight to midnight on the mailbox's own clock."""
        start, end = item.start, item.end
        if item.all_day:
            start, end = local_midnight(start, self.zone), local_midnight(end, self.zone)
        # an event without length counts at its start
        return start < window.end and (end > window.start or start == end == window.start)


def generated(plan: generator.Plan) -> Source:
    """Return a source that makes a plan's items anew each time: memory stays small however many mailboxes there are."""
    return lambda _window, private: generator.items(plan, private=private)


def from_file(expand: Expand, report: Callable[[Problem], None]) -> Source:
    """Return a source that expands a read calendar; what cannot be expanded is reported."""

    def read(window: Window, _private: bool) -> list[Item]:  # noqa: FBT001 -- one signature for every source
        found, problems = _expanded(expand, grown(window))
        for problem in problems:
            report(problem)
        return found

    return read


def grown(window: Window) -> Window:
    """Return what is expanded for a window: for a long one its whole century, counted from 1950.

    Neighbouring windows follow a long one, and an instance must be the same in all of them: where one begins that was
    joined from many depends on where expanding begins.
    """
    if window.end - window.start <= YEAR:
        return Window(window.start - 2 * DAY, window.end + 2 * DAY)
    return centuries(window)


def centuries(window: Window) -> Window:
    """Return the whole centuries, counted from 1950, that a window lies in."""
    first, last = (window.start - ORIGIN) // CENTURY, -((ORIGIN - window.end) // CENTURY)
    return Window(max(EARLIEST, ORIGIN + first * CENTURY), min(LATEST, ORIGIN + last * CENTURY))


@lru_cache(maxsize=64)
def _expanded(expand: Expand, window: Window) -> tuple[list[Item], tuple[Problem, ...]]:
    found, problems = expand(window)
    return sorted((opaque(item) for item in found), key=lambda item: (item.start, item.item_id)), problems


def opaque(item: Item) -> Item:
    """Return an item whose ids say nothing: a file's UIDs may hold addresses and titles."""
    series = None if item.series_id is None else _token(item.series_id)
    return replace(item, item_id=_token(item.item_id), series_id=series)


def _token(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def canary(about: str, item_id: str) -> str:
    """Return the string planted in one private field of one item."""
    return f"{CANARY}{about}-{_token(item_id)[:12]}"


def canaries_of(item: Item) -> list[str]:
    """Return every string planted in an item."""
    return [canary(about, item.item_id) for about in CANARY_FIELDS]


def with_canaries(item: Item) -> Item:
    """Return an item every private field of which carries its canary."""

    def said(about: str) -> str:
        return canary(about, item.item_id)

    organizer = Person(said("organizer-name"), f"{said('organizer-address')}@canary.example")
    return replace(
        item,
        subject=f"{item.subject} {said('subject')}".strip(),
        body=f"{said('body')} {item.body}".strip(),
        location=f"{item.location} {said('location')}".strip(),
        categories=(*item.categories, said("category")),
        organizer=organizer,
        attendees=(*item.attendees, Person(said("attendee-name"), f"{said('attendee-address')}@canary.example")),
        join_url=f"https://meet.canary.example/{said('join')}",
    )
