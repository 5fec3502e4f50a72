"""Decides what one VEVENT says about time and status, by itself (RFC 5545 3.6.1, 3.8.1, 3.8.2).

Refuses an event without a readable start, with an unreadable end, or with its end before its start, as Malformed.
"""

from dataclasses import dataclass
from typing import NamedTuple

from tests.independent.lines import Component, Property
from tests.independent.rules import Rule, read_rule
from tests.independent.values import DAY, Length, Malformed, Written, Zone, read_length, read_written
from tests.independent.written_zones import written_zone
from tests.independent.zones import UNIVERSAL, alias_zone, first_instant, known_zone

_BUSY_STATUS = {
    "FREE": None,
    "TENTATIVE": "tentative",
    "BUSY": "busy",
    "OOF": "oof",
    "WORKINGELSEWHERE": "elsewhere",
}


class Moment(NamedTuple):
    """A date or date-time with the zone it is read in."""

    wall: int
    zone: Zone
    is_date: bool

    @property
    def instant(self) -> int:
        """The UTC second it names; for a date, the first of that day."""
        return first_instant(self.zone, self.wall) if self.is_date else self.zone.instant(self.wall)


class Extra(NamedTuple):
    """One RDATE value; `seconds` is the exact length a PERIOD gives it."""

    start: Moment
    seconds: int | None


class ZoneBook:
    """The zones of one file: the mailbox's own, and those its VTIMEZONEs spell out."""

    def __init__(self, mailbox: Zone, components: list[Component]) -> None:
        self.mailbox = mailbox
        self._components = components
        self._found: dict[str, Zone] = {}

    def zone(self, name: str) -> Zone:
        """Resolve a TZID: known name, alias, the file's VTIMEZONE, else the mailbox's zone."""
        if name not in self._found:
            self._found[name] = known_zone(name) or alias_zone(name) or self._written(name) or self.mailbox
        return self._found[name]

    def moment(self, written: Written, name: str | None) -> Moment:
        """Place what was written: dates and floating times in the mailbox's zone."""
        if written.is_date:
            return Moment(written.wall, self.mailbox, is_date=True)
        if written.is_utc:
            return Moment(written.wall, UNIVERSAL, is_date=False)
        return Moment(written.wall, self.zone(name) if name else self.mailbox, is_date=False)

    def _written(self, name: str) -> Zone | None:
        for component in self._components:
            item = component.first("TZID")
            if item and item.value.strip().strip('"').strip() == name:
                try:
                    return written_zone(component)
                except ValueError:
                    continue
        return None


@dataclass(frozen=True)
class Event:
    """One VEVENT. `status` is None where it contributes nothing; `recurrence_id` is set on an override."""

    uid: str
    start: Moment
    length: Length
    status: str | None
    rules: tuple[Rule, ...]
    exception_rules: tuple[Rule, ...]
    extras: tuple[Extra, ...]
    exceptions: tuple[Moment, ...]
    recurrence_id: Moment | None
    and_future: bool
    sequence: int


def read_event(component: Component, book: ZoneBook) -> Event:
    """Read a VEVENT; raise Malformed where it has to be skipped."""
    opening = component.first("DTSTART")
    if opening is None:
        raise Malformed("no start")
    start = _moment(opening, book)
    original = component.first("RECURRENCE-ID")
    return Event(
        uid=_text(component, "UID"),
        start=start,
        length=_length(component, start, book),
        status=_status(component),
        rules=_rules(component, "RRULE"),
        exception_rules=_rules(component, "EXRULE"),
        extras=_extras(component, book),
        exceptions=tuple(moment for moment, _ in _listed(component, "EXDATE", book)),
        recurrence_id=_moment(original, book) if original else None,
        and_future=original is not None and original.parameters.get("RANGE", "").upper() == "THISANDFUTURE",
        sequence=_sequence(component),
    )


def _moment(item: Property, book: ZoneBook) -> Moment:
    return book.moment(read_written(item.value), item.parameters.get("TZID"))


def _length(component: Component, start: Moment, book: ZoneBook) -> Length:
    end, duration = component.first("DTEND"), component.first("DURATION")
    if end:
        return _until(start, _moment(end, book))
    if duration:
        return _lasting(start, read_length(duration.value))
    return Length(1 if start.is_date else 0, 0)


def _until(start: Moment, end: Moment) -> Length:
    if start.is_date and end.is_date:
        length = Length((end.wall - start.wall) // DAY, 0)
    else:
        length = Length(0, end.instant - start.instant)
    if length < (0, 0):
        raise Malformed("end before start")
    return length


def _lasting(start: Moment, said: Length) -> Length:
    # RFC 5545 3.3.6: days are nominal, hours are exact; the first occurrence turns both into exact seconds.
    if start.is_date:
        return said
    return Length(0, start.zone.instant(start.wall + said.days * DAY) + said.seconds - start.instant)


def _status(component: Component) -> str | None:
    stated = _text(component, "STATUS").upper()
    if stated == "CANCELLED":
        return None
    shown = _text(component, "X-MICROSOFT-CDO-BUSYSTATUS").upper()
    if shown in _BUSY_STATUS:
        return _BUSY_STATUS[shown]
    transparency = _text(component, "TRANSP").upper()
    if transparency in ("TRANSPARENT", "OPAQUE"):
        return "busy" if transparency == "OPAQUE" else None
    return "tentative" if stated == "TENTATIVE" else "busy"


def _rules(component: Component, name: str) -> tuple[Rule, ...]:
    rules = []
    for item in component.every(name):
        try:
            rule = read_rule(item.value)
            if rule.until:
                read_written(rule.until)
        except ValueError:
            continue
        rules.append(rule)
    return tuple(rules)


def _listed(component: Component, name: str, book: ZoneBook) -> list[tuple[Moment, str]]:
    found = []
    for item in component.every(name):
        for text in item.value.split(","):
            begin, _, rest = text.partition("/")
            try:
                found.append((book.moment(read_written(begin), item.parameters.get("TZID")), rest))
            except ValueError:
                continue
    return found


def _extras(component: Component, book: ZoneBook) -> tuple[Extra, ...]:
    extras = []
    for item in component.every("RDATE"):
        for text in item.value.split(","):
            try:
                extras.append(_extra(text, item.parameters.get("TZID"), book))
            except ValueError:
                continue
    return tuple(extras)


def _extra(text: str, name: str | None, book: ZoneBook) -> Extra:
    begin, slash, rest = text.strip().partition("/")
    start = book.moment(read_written(begin), name)
    if not slash:
        return Extra(start, None)
    if rest[:1].upper() in ("P", "+", "-"):
        return Extra(start, _lasting(start, read_length(rest)).seconds)
    return Extra(start, _until(start, book.moment(read_written(rest), name)).seconds)


def _sequence(component: Component) -> int:
    text = _text(component, "SEQUENCE")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _text(component: Component, name: str) -> str:
    item = component.first(name)
    return item.value.strip() if item else ""
