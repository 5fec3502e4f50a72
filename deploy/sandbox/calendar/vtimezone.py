"""Decides what offset a file's own VTIMEZONE gives at a wall time: its observances laid out as a list of changes.

Used only for names the tz database does not know. Refuses a VTIMEZONE with no usable observance.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import islice

from msgspec import Struct

from deploy.sandbox.calendar.lines import Properties, first, properties
from deploy.sandbox.calendar.moments import naive, values
from deploy.sandbox.calendar.recurrence import walls
from deploy.sandbox.calendar.rules import read_rule
from deploy.sandbox.calendar.text import Component
from deploy.sandbox.calendar.values import Rule

OFFSET = re.compile(r"^([+-]?)(\d{2}):?(\d{2})(?::?(\d{2}))?$")
LAST = datetime(2140, 1, 1)  # noqa: DTZ001 -- a wall time
MOST_CHANGES = 2_000  # five centuries, four times a year


class Change(Struct, frozen=True, order=True):
    """From `instant` (naive, as if in UTC) the zone is `after` ahead of UTC; until then it was `before`."""

    instant: datetime
    before: timedelta
    after: timedelta
    standard: bool


class RuleZone(tzinfo):
    """A zone made of a VTIMEZONE; wall times behave as PEP 495 says, and as the tz database's do."""

    def __init__(self, name: str, changes: list[Change], earliest: timedelta) -> None:
        """Take the changes in order, and the offset before the first of them."""
        self._name = name
        self._changes = changes
        self._earliest = earliest
        self._walls = [change.instant + max(change.before, change.after) for change in changes]
        self._second_walls = [change.instant + min(change.before, change.after) for change in changes]
        self._instants = [change.instant for change in changes]

    def utcoffset(self, moment: datetime | None, /) -> timedelta:
        """Return how far ahead of UTC a wall time is: the first of two, or as before the gap, for fold 0."""
        if moment is None:
            return self._earliest
        if moment.tzinfo is None and not moment.fold:  # by far the most frequent question
            return self._after(bisect_right(self._walls, moment))
        known = self._second_walls if moment.fold else self._walls
        return self._after(bisect_right(known, moment.replace(tzinfo=None, fold=0)))

    def fromutc(self, moment: datetime, /) -> datetime:
        """Return the wall time shown at an instant given as if in UTC."""
        plain = moment.replace(tzinfo=None)
        return (plain + self._after(bisect_right(self._instants, plain))).replace(tzinfo=self)

    def dst(self, moment: datetime | None, /) -> None:
        """Return None: a VTIMEZONE does not say how much of its offset is daylight saving."""
        del moment

    def tzname(self, moment: datetime | None, /) -> str:
        """Return the TZID."""
        del moment
        return self._name

    def _after(self, passed: int) -> timedelta:
        return self._changes[passed - 1].after if passed else self._earliest


def rule_zone(component: Component) -> RuleZone | None:
    """Return the zone a VTIMEZONE describes, or None where nothing of it can be used."""
    name = first(properties(component), "TZID")
    observances = [part for part in component.inside if part.name in {"STANDARD", "DAYLIGHT"}]
    changes = sorted(change for part in observances for change in _changes(part))
    if not changes:
        return None
    standard = next((change.after for change in changes if change.standard), changes[0].before)
    return RuleZone(name.value if name else "", changes, standard)


def _changes(observance: Component) -> Iterator[Change]:
    """Yield every time an observance begins; an observance without both offsets and a start yields nothing."""
    found = properties(observance)
    before, after = _offset(found, "TZOFFSETFROM"), _offset(found, "TZOFFSETTO")
    start = first(found, "DTSTART")
    begins = naive(start.value) if start else None
    if before is None or after is None or begins is None:
        return
    for wall in _onsets(found, begins, before):
        if wall.year > 1:
            yield Change(wall - before, before, after, observance.name == "STANDARD")


def _onsets(found: Properties, begins: datetime, before: timedelta) -> set[datetime]:
    """Return the wall times at which an observance begins, by its start, its rules and its additions."""
    onsets = {begins}
    offset = timezone(before)
    for entry in found.get("RRULE", ()):
        rule = _rule(entry.value)
        if rule is not None:
            onsets.update(islice(walls(rule, begins, offset, LAST), MOST_CHANGES))
    for entry in found.get("RDATE", ()):
        onsets.update(wall for wall in map(naive, values(entry)) if wall is not None)
    return onsets


def _rule(value: str) -> Rule | None:
    try:
        return read_rule(value, UTC)
    except ValueError:
        return None


def _offset(found: Properties, name: str) -> timedelta | None:
    entry = first(found, name)
    match = OFFSET.match(entry.value) if entry else None
    if match is None:
        return None
    sign = -1 if match[1] == "-" else 1
    size = timedelta(hours=int(match[2]), minutes=int(match[3]), seconds=int(match[4] or 0))
    return sign * size if size < timedelta(days=1) else None
