"""Keeps calendars expanded: a window is asked for in many pieces, and each calendar is worked out once for all of them.

Items come from the same expansion that Graph shows for the whole window, times from whole centuries: merged, they are
the same. What was used longest ago is given up beyond a number of entries.
"""

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from deploy.sandbox.calendar.values import Item
from deploy.sandbox.calendars import Book, centuries, grown
from shared.contracts.values import DAY, Instant, Window
from shared.zones import local_midnight

MOST_ITEMS = 200_000  # some 100 MB with their texts
MOST_TIMES = 4_000_000  # some 100 MB
STATUSES = ("free", "workingElsewhere", "unknown", "tentative", "busy", "oof")  # lowest to highest when merged
_SEARCHED = 5 * 365 * DAY  # how far from now an item is looked for that no view has shown

V = TypeVar("V", bound="Listed | Times")
Key = tuple[str, str]  # the ids of a tenant and a person


class Spans(Struct, kw_only=True):
    """Half-open intervals in the order of their starts; `reach` is the latest end up to each."""

    starts: Sequence[Instant]
    ends: Sequence[Instant]
    reach: Sequence[Instant]

    def within(self, window: Window, *, touching: bool = False) -> Iterator[int]:
        """Yield the places of those that overlap a window, of no length at its start too; `touching` at its end too."""
        start, starts, ends = window.start, self.starts, self.ends
        for place in range(bisect_left(self.reach, start), bisect_left(starts, window.end)):
            if ends[place] > start or starts[place] == start or (touching and ends[place] == start):
                yield place


class Times(Struct, kw_only=True):
    """When a calendar takes time and as what (the place in STATUSES); cancelled and declined events are left out."""

    covered: Window
    spans: Spans
    statuses: bytes

    def __len__(self) -> int:
        return len(self.statuses)


class Listed(Struct, kw_only=True):
    """The items of a calendar that lie in or near a window."""

    covered: Window
    items: list[Item]
    spans: Spans
    places: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def find(self, item_id: str) -> Item | None:
        """Return an item by its id, or the first instance of the series that has this id."""
        if not self.places:
            self.places = {item.item_id: place for place, item in enumerate(self.items)}
            for place, item in enumerate(self.items):
                if item.series_id is not None:
                    self.places.setdefault(item.series_id, place)
        found = self.places.get(item_id)
        return None if found is None else self.items[found]


class _Kept(Struct, Generic[V], kw_only=True):
    book: Book
    revision: int
    found: list[V]


class _Shelf(Generic[V]):
    """What was worked out, per calendar; a calendar that has changed begins anew."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[Key, _Kept[V]] = OrderedDict()

    def get(self, key: Key, book: Book) -> list[V]:
        kept = self._kept.get(key)
        if kept is None:
            return []
        if kept.book is not book or kept.revision != book.revision:
            self._size -= sum(map(len, self._kept.pop(key).found))
            return []
        self._kept.move_to_end(key)
        return kept.found

    def put(self, key: Key, book: Book, value: V) -> V:
        kept = self._kept.setdefault(key, _Kept(book=book, revision=book.revision, found=[]))
        kept.found.append(value)
        self._size += len(value)
        while self._size > self._most and len(self._kept) > 1:
            _, given_up = self._kept.popitem(last=False)
            self._size -= sum(map(len, given_up.found))
        return value


class Expansions:
    """The calendars of one sandbox as EWS has expanded them."""

    def __init__(self, most_items: int = MOST_ITEMS, most_times: int = MOST_TIMES) -> None:
        """Take how many items, and how many times without them, are kept."""
        self._listed: _Shelf[Listed] = _Shelf(most_items)
        self._times: _Shelf[Times] = _Shelf(most_times)

    def listed(self, key: Key, book: Book, window: Window) -> Listed:
        """Return the items of a calendar, at least those of a window."""
        kept = [each for each in self._listed.get(key, book) if _covers(each.covered, window)]
        if kept:
            return min(kept, key=lambda each: each.covered.end - each.covered.start)
        return self._listed.put(key, book, _listed(book, window))

    def times(self, key: Key, book: Book, window: Window) -> Times:
        """Return the times of a calendar in the centuries of a window."""
        for each in self._times.get(key, book):
            if _covers(each.covered, window):
                return each
        return self._times.put(key, book, _times(book, centuries(window)))

    def find(self, key: Key, book: Book, item_id: str, now: Instant) -> Item | None:
        """Return an item by its id, or the first instance of a series by the series' id; None where there is none."""
        for each in reversed(self._listed.get(key, book)):
            found = each.find(item_id)
            if found is not None:
                return found
        return self.listed(key, book, Window(now - _SEARCHED, now + _SEARCHED)).find(item_id)


def _covers(outer: Window, inner: Window) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _listed(book: Book, window: Window) -> Listed:
    placed = sorted(_placed(book.known(window), book.zone), key=lambda each: (each[0], each[2].item_id))
    around = grown(window)
    # what is expanded goes two days further than what is asked for, see `grown`
    covered = Window(min(window.start, around.start + 2 * DAY), max(window.end, around.end - 2 * DAY))
    starts, ends = [start for start, _, _ in placed], [end for _, end, _ in placed]
    spans = Spans(starts=starts, ends=ends, reach=list(accumulate(ends, max)))
    return Listed(covered=covered, items=[item for _, _, item in placed], spans=spans)


def _times(book: Book, window: Window) -> Times:
    ranks = {status: rank for rank, status in enumerate(STATUSES)}
    taking = (item for item in book.known(window, private=False) if not (item.cancelled or item.response == "declined"))
    found = sorted((start, end, ranks.get(item.show_as, 2)) for start, end, item in _placed(taking, book.zone))
    ends = array("q", (end for _, end, _ in found))
    starts, reach = array("q", (start for start, _, _ in found)), array("q", accumulate(ends, max))
    spans = Spans(starts=starts, ends=ends, reach=reach)
    return Times(covered=window, spans=spans, statuses=bytes(rank for _, _, rank in found))


def _placed(items: Iterable[Item], zone: ZoneInfo) -> Iterator[tuple[Instant, Instant, Item]]:
    """Yield each item with its true instants."""
    for item in items:
        start, end = placed(item, zone)
        yield start, end, item


def placed(item: Item, zone: ZoneInfo) -> tuple[Instant, Instant]:
    """Return when an item is in UTC seconds: an all-day one from midnight to midnight on the mailbox's own clock."""
    if not item.all_day:
        return item.start, item.end
    # Exchange rounds outward to whole dates
    return local_midnight(item.start - item.start % DAY, zone), local_midnight(item.end + -item.end % DAY, zone)
