"""Decides what one calendar file holds: every VEVENT it can place in time, grouped into series, and what was wrong.

Refuses nothing as a whole: a bad event is skipped and reported, and whatever the bytes are, a calendar comes out.
Only VEVENTs count. METHOD is not judged: a cancelled event says so itself (STATUS).
"""

from datetime import tzinfo
from zoneinfo import ZoneInfo

from deploy.sandbox.calendar.events import Unreadable, read_event, stable_id
from deploy.sandbox.calendar.lines import first, properties
from deploy.sandbox.calendar.occurrences import Name, override_name
from deploy.sandbox.calendar.text import Component, components
from deploy.sandbox.calendar.timezones import FileZones, is_misspelt, known_zone
from deploy.sandbox.calendar.values import Calendar, Event, Problem, Series, newest
from deploy.sandbox.calendar.vtimezone import rule_zone

UTC_ZONE = ZoneInfo("UTC")


def read_calendar(data: bytes, *, time_zone: str | None = None) -> Calendar:
    """Return what a calendar file holds, with everything in it that was skipped or doubtful.

    Floating times and dates are in `time_zone` (an IANA or Windows name) where given, else in the file's first known
    X-WR-TIMEZONE, else in UTC. Never raises on content.
    """
    parts, problems = components(data)
    parts.sort(key=lambda part: part.line)
    home = _home(parts, time_zone, problems)
    zones = FileZones(home, _own_zones(parts, problems))
    events = _events([part for part in parts if part.name == "VEVENT"], zones, problems)
    return Calendar(time_zone=home.key, series=_series(events, home), problems=tuple(problems))


def _home(parts: list[Component], time_zone: str | None, problems: list[Problem]) -> ZoneInfo:
    """Return the zone of the mailbox; unknown names are reported."""
    named = [("argument", time_zone)] if time_zone else []
    for part in parts:
        entry = first(properties(part), "X-WR-TIMEZONE") if part.name == "VCALENDAR" else None
        named += [(f"VCALENDAR (line {part.line})", entry.value)] if entry else []
    for place, name in named:
        zone = known_zone(name)
        if zone is not None:
            return zone
        problems.append(Problem(place, "unknown_zone"))
    return UTC_ZONE


def _own_zones(parts: list[Component], problems: list[Problem]) -> dict[str, tzinfo]:
    """Return the zones a file defines under names the world does not know; unusable ones are reported."""
    own: dict[str, tzinfo] = {}
    for part in parts:
        name = first(properties(part), "TZID") if part.name == "VTIMEZONE" else None
        if name is None or (known_zone(name.value) is not None and not is_misspelt(name.value)):
            continue
        zone = _own_zone(part)
        if zone is None:
            problems.append(Problem(f"VTIMEZONE (line {part.line})", "bad_zone"))
        else:
            own[name.value.strip('"')] = zone  # the last of several is the one most readers use
    return own


def _own_zone(part: Component) -> tzinfo | None:
    try:
        return rule_zone(part)
    except (ValueError, OverflowError):
        return None


def _events(parts: list[Component], zones: FileZones, problems: list[Problem]) -> list[Event]:
    """Return the events that can be placed in time, reporting what was wrong with each."""
    events = []
    for number, part in enumerate(parts, start=1):
        place = f"VEVENT {number} (line {part.line})"
        notes: list[str] = []
        try:
            events.append(read_event(part, (place, number), zones, notes))
        except Unreadable as error:
            notes.append(error.reason)
        except (ValueError, OverflowError):
            notes.append("unreadable")
        problems += [Problem(place, reason) for reason in dict.fromkeys(notes)]
    return events


def _series(events: list[Event], home: ZoneInfo) -> tuple[Series, ...]:
    """Group events by UID, keeping the newest version of each master and of each overridden instance."""
    by_uid: dict[str, list[Event]] = {}
    for event in events:
        by_uid.setdefault(event.uid, []).append(event)
    return tuple(_one_series(uid, versions, home) for uid, versions in by_uid.items())


def _one_series(uid: str, versions: list[Event], home: ZoneInfo) -> Series:
    masters = [event for event in versions if event.recurrence_id is None]
    master = newest(masters) if masters else None
    overrides: dict[Name, list[Event]] = {}
    for event in versions:
        if event.recurrence_id is not None:
            overrides.setdefault(override_name(event, master or event, home), []).append(event)
    return Series(stable_id(uid), master, tuple(newest(same) for same in overrides.values()))
