"""Decides what one content line says: its name, its parameters and its value, still unjudged text.

A line the iCalendar grammar does not allow is read leniently where its name and value can still be told apart.
"""

import binascii
import re

from icalendar.parser import Contentline
from msgspec import Struct

from deploy.sandbox.calendar.text import Component

NAME = re.compile(r"[A-Za-z0-9-]+")
ESCAPED = re.compile(r"\\(.)")
PLAIN = re.compile(r"([A-Za-z0-9-]+):(.*)", re.DOTALL)
READ = frozenset({
    "UID", "SEQUENCE", "DTSTAMP", "LAST-MODIFIED", "DTSTART", "DTEND", "DURATION", "RECURRENCE-ID", "RRULE", "EXRULE",
    "RDATE", "EXDATE", "STATUS", "TRANSP", "CLASS", "X-MICROSOFT-CDO-BUSYSTATUS", "X-MICROSOFT-MSNCALENDAR-BUSYSTATUS",
    "X-MICROSOFT-CDO-ALLDAYEVENT", "X-MICROSOFT-MSNCALENDAR-ALLDAYEVENT", "SUMMARY", "DESCRIPTION", "LOCATION",
    "CATEGORIES", "ORGANIZER", "ATTENDEE", "CONFERENCE", "X-GOOGLE-CONFERENCE", "X-MICROSOFT-SKYPETEAMSMEETINGURL",
    "X-MICROSOFT-ONLINEMEETINGCONFLINK", "X-WR-TIMEZONE", "TZID", "TZOFFSETFROM", "TZOFFSETTO", "X-LIC-LOCATION",
})  # fmt: skip


class Property(Struct, frozen=True):
    """One content line: name in upper case, parameters with upper-case names, and the value as written."""

    name: str
    parameters: dict[str, str]
    value: str


Properties = dict[str, list[Property]]


def properties(component: Component) -> Properties:
    """Return the properties of a component that matter here, by name, in their order; junk lines are passed over."""
    found: Properties = {}
    for _, line in component.lines:
        name = NAME.match(line)
        if name is not None and name[0].upper() in READ:
            found.setdefault(name[0].upper(), []).append(parsed(line))
    return found


def first(found: Properties, *names: str) -> Property | None:
    """Return the first property that has one of the names and a value, in the order of the names."""
    candidates = (entry for name in names for entry in found.get(name, ()))
    return next((entry for entry in candidates if entry.value), None)


def word(found: Properties, *names: str) -> str:
    """Return the value of a property of fixed words in upper case, empty where it is missing."""
    entry = first(found, *names)
    return "" if entry is None else entry.value.upper()


def parsed(line: str) -> Property:
    """Read one content line; the plain ones, which are most, without the library's slow grammar."""
    plain = PLAIN.match(line)
    if plain is not None:
        return Property(plain[1].upper(), {}, plain[2].strip())
    try:
        name, parameters, value = Contentline(line).parts()  # type: ignore[no-untyped-call]
    except ValueError:
        return _leniently(line)
    flat = {key.upper(): _flat(held) for key, held in parameters.items()}
    return Property(name.upper(), flat, value.strip())


def _flat(held: object) -> str:
    return (",".join(map(str, held)) if isinstance(held, list) else str(held)).strip().strip('"')


def _leniently(line: str) -> Property:
    """Read a line that breaks the grammar: the value begins at the first colon outside quotes."""
    head, _, value = re.sub(r'"[^"]*"', lambda quoted: quoted[0].replace(":", "\0"), line).partition(":")
    name, *pairs = head.replace("\0", ":").split(";")
    split = (pair.partition("=") for pair in pairs)
    parameters = {key.strip().upper(): held.strip().strip('"') for key, _, held in split}
    return Property(name.strip().upper(), parameters, value.replace("\0", ":").strip())


def text(entry: Property | None) -> str:
    """Return the text of a property: escapes resolved, quoted-printable of vCalendar 1.0 decoded."""
    if entry is None:
        return ""
    if entry.parameters.get("ENCODING", "").upper() == "QUOTED-PRINTABLE":
        return binascii.a2b_qp(entry.value.encode()).decode("utf-8", "replace")
    return ESCAPED.sub(lambda pair: "\n" if pair[1] in "nN" else pair[1], entry.value)
