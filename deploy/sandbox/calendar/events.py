"""Decides what one VEVENT says. What cannot be placed in time is refused as `Unreadable` with a fixed word.

Smaller faults (a bad rule, a bad EXDATE, an unknown zone) are noted, and the rest of the event stands.
"""

from datetime import UTC
from hashlib import blake2b

from msgspec import structs

from deploy.sandbox.calendar.details import shown
from deploy.sandbox.calendar.lines import Properties, Property, first, properties, text, word
from deploy.sandbox.calendar.moments import (
    ONE_DAY,
    as_date,
    instant_of,
    read_additions,
    read_exclusions,
    read_length,
    read_moment,
)
from deploy.sandbox.calendar.rules import read_rule
from deploy.sandbox.calendar.text import Component
from deploy.sandbox.calendar.timezones import FileZones
from deploy.sandbox.calendar.values import Event, Length, Moment, Rule

ALL_DAY_FLAGS = ("X-MICROSOFT-CDO-ALLDAYEVENT", "X-MICROSOFT-MSNCALENDAR-ALLDAYEVENT")


class Unreadable(Exception):  # noqa: N818 -- it names what the event is, as the fates in shared.errors do
    """An event that must be skipped; `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason = reason


def read_event(component: Component, place: tuple[str, int], zones: FileZones, notes: list[str]) -> Event:
    """Return what a VEVENT says, noting what was wrong with it (Unreadable where it has no usable time).

    `place` is what a report calls it, and its number in the file.
    """
    found = properties(component)
    recurrence_id = _recurrence_id(found, zones, notes)
    start = _start(found, recurrence_id, zones, notes)
    start, length = _placed(found, start, zones, notes)
    uid = text(first(found, "UID"))
    return Event(
        place=place[0],
        uid=uid or f"no uid: {place[1]}",
        version=(_sequence(found), max(word(found, "DTSTAMP"), word(found, "LAST-MODIFIED")), place[1]),
        start=start,
        length=length,
        recurrence_id=recurrence_id,
        and_future=recurrence_id is not None and _ranges_on(found),
        rules=_rules(found.get("RRULE", []), start, zones, notes),
        exception_rules=_rules(found.get("EXRULE", []), start, zones, notes),
        additions=tuple(a for entry in found.get("RDATE", ()) for a in read_additions(entry, zones, notes)),
        exclusions=tuple(e for entry in found.get("EXDATE", ()) for e in read_exclusions(entry, zones, notes)),
        shown=shown(found),
    )


def stable_id(*parts: str) -> str:
    """Return an id that is the same whenever the same file is read."""
    return blake2b("\n".join(parts).encode(), digest_size=18).hexdigest()


def _sequence(found: Properties) -> int:
    entry = first(found, "SEQUENCE")
    try:
        return int(entry.value) if entry else 0
    except ValueError:
        return 0


def _ranges_on(found: Properties) -> bool:
    return found["RECURRENCE-ID"][0].parameters.get("RANGE", "").upper() == "THISANDFUTURE"


def _recurrence_id(found: Properties, zones: FileZones, notes: list[str]) -> Moment | None:
    """Return which instance an event overrides, None for a master; one that cannot be read makes it unreadable."""
    entry = first(found, "RECURRENCE-ID")
    if entry is None:
        return None
    try:
        return read_moment(entry, zones, notes)
    except ValueError:
        raise Unreadable("bad_recurrence_id") from None


def _start(found: Properties, recurrence_id: Moment | None, zones: FileZones, notes: list[str]) -> Moment:
    """Return the start; a cancelled instance without one starts where it was."""
    entry = first(found, "DTSTART")
    if entry is None:
        if recurrence_id is not None and word(found, "STATUS") == "CANCELLED":
            return recurrence_id
        raise Unreadable("no_start")
    try:
        return read_moment(entry, zones, notes)
    except ValueError:
        raise Unreadable("bad_start") from None


def _placed(found: Properties, start: Moment, zones: FileZones, notes: list[str]) -> tuple[Moment, Length]:
    """Return the start and the length, all-day ones as dates (Unreadable where the end is before the start)."""
    end = _end(found, start, zones, notes)
    if end is None:
        start, length = _lasting(start, _duration(found, notes))
    elif start.date_only and end.date_only:
        length = Length(days=(end.wall - start.wall).days)
    else:
        if start.date_only != end.date_only:
            notes.append("mixed_kinds")
            start = Moment(start.wall, start.zone)
        length = Length(seconds=instant_of(end) - instant_of(start))
    if length.days < 0 or length.seconds < 0:
        raise Unreadable("ends_before_start")
    if not start.date_only and end is not None and word(found, *ALL_DAY_FLAGS) == "TRUE":
        start, length = _whole_days(start, end, length)
    if start.date_only and not length.days:  # no date at all: a mailbox has no such all-day event
        notes.append("no_days")
        return Moment(start.wall, start.zone), length
    return (_dated(start), length) if start.date_only else (start, length)


def _end(found: Properties, start: Moment, zones: FileZones, notes: list[str]) -> Moment | None:
    """Return DTEND, which wins over a DURATION beside it; a malformed one is as good as none, and noted.

    A floating end of a start in a zone is in that zone.
    """
    entry = first(found, "DTEND")
    if entry is None:
        return None
    try:
        end = read_moment(entry, zones, notes)
    except ValueError:
        notes.append("bad_end")
        return None
    return Moment(end.wall, start.zone) if end.floating and not start.date_only else end


def _duration(found: Properties, notes: list[str]) -> Length | None:
    entry = first(found, "DURATION")
    try:
        return read_length(entry.value) if entry else None
    except ValueError:
        notes.append("bad_duration")
        return None


def _lasting(start: Moment, length: Length | None) -> tuple[Moment, Length]:
    """Return the start and length of an event without an end: one day for a date, else nothing (RFC 5545 3.6.1).

    A date that lasts hours is a time: midnight.
    """
    if length is None:
        return start, Length(days=1) if start.date_only else Length()
    if not start.date_only or not length.seconds:
        return start, length
    if length.seconds % 86_400 == 0:
        return start, Length(days=length.days + length.seconds // 86_400)
    return Moment(start.wall, start.zone), length


def _whole_days(start: Moment, end: Moment, length: Length) -> tuple[Moment, Length]:
    """Return an event that Outlook calls all-day as dates, if it goes from midnight to a later midnight."""
    midnight = start.wall.replace(hour=0, minute=0, second=0)
    days = end.wall - midnight
    if start.wall != midnight or days % ONE_DAY or days < ONE_DAY:
        return start, length
    return Moment(midnight, start.zone, date_only=True), Length(days=days.days)


def _dated(start: Moment) -> Moment:
    """Return the start of an all-day event: dates are counted in UTC, since every zone has the same."""
    return Moment(start.wall, UTC, date_only=True)


def _rules(entries: list[Property], start: Moment, zones: FileZones, notes: list[str]) -> tuple[Rule, ...]:
    """Return the rules of a series; garbage is noted and left out, so that the event happens at least once."""
    rules = []
    for entry in entries:
        try:
            rules.append(_limited(read_rule(entry.value, start.zone), start, zones))
        except (ValueError, OverflowError):
            notes.append("bad_recurrence")
    return tuple(rules)


def _limited(rule: Rule, start: Moment, zones: FileZones) -> Rule:
    """Return the rule of an all-day series with its UNTIL as a date."""
    if rule.until is None or not start.date_only:
        return rule
    return structs.replace(rule, until=as_date(rule.until, zones.home))
