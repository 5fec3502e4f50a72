"""Decides what the components of a calendar file are: bytes in, a flat list of components with their lines out.

Works line by line, so that a broken line or component costs nothing but itself. Refuses nothing.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from msgspec import Struct

from deploy.sandbox.calendar.values import Problem

LONGEST_NAME = 1000  # bytes of a line in which its name and parameters are looked for
LINE_END = re.compile(rb"\r\n|\n|\r")
FRAME = re.compile(r"^(BEGIN|END)\s*:\s*([A-Za-z0-9-]+)\s*$", re.IGNORECASE)
ENTRIES = frozenset({"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VTIMEZONE", "VCALENDAR"})  # never inside a VEVENT


class Component(Struct):
    """One component: its name in upper case, its own unfolded lines with their numbers, and those inside it."""

    name: str
    line: int
    lines: list[tuple[int, str]]
    inside: "list[Component]"


def components(data: bytes) -> tuple[list[Component], list[Problem]]:
    """Return every complete component of a file in order of its end, inner ones before outer ones.

    An END closes what its producer forgot to close inside; a VEVENT that never ends is reported and left out.
    Calendars that never end are kept, since everything in them may be whole.
    """
    found: list[Component] = []
    problems: list[Problem] = []
    open_: list[Component] = []
    for number, line in unfolded(data):
        frame = FRAME.match(line)
        if frame is None:
            if open_:
                open_[-1].lines.append((number, line))
        elif frame[1].upper() == "BEGIN":
            _begin(open_, problems, Component(frame[2].upper(), number, [], []))
        else:
            _end(open_, found, problems, place=(frame[2].upper(), number))
    found += [component for component in open_ if component.name == "VCALENDAR"]
    problems += [_unclosed(component) for component in open_]
    return found, problems


def _begin(open_: list[Component], problems: list[Problem], new: Component) -> None:
    """Open a component; what cannot contain it was left open by mistake and is lost."""
    while new.name in ENTRIES and open_ and open_[-1].name != "VCALENDAR":
        problems.append(_unclosed(open_.pop()))
    open_.append(new)


def _end(open_: list[Component], found: list[Component], problems: list[Problem], *, place: tuple[str, int]) -> None:
    """Close a component, and whatever is still open inside it; an END of nothing open is reported."""
    name, number = place
    if not any(component.name == name for component in open_):
        problems.append(Problem(f"{name} (line {number})", "end_without_begin"))
        return
    while open_[-1].name != name:
        problems.append(_unclosed(open_.pop()))
    closed = open_.pop()
    if open_:
        open_[-1].inside.append(closed)
    found.append(closed)


def _unclosed(component: Component) -> Problem:
    return Problem(f"{component.name} (line {component.line})", "not_closed")


def unfolded(data: bytes) -> list[tuple[int, str]]:
    """Return the logical lines of a file with the number of the physical line each begins on.

    Lines are joined as bytes, because some producers fold in the middle of a character; blank lines are dropped.
    """
    lines: list[tuple[int, bytearray]] = []  # grown in place: a line may be folded millions of times
    for number, line in enumerate(LINE_END.split(_utf8(data)), start=1):
        if lines and (line[:1] in {b" ", b"\t"} or _continues(lines[-1][1])):
            _join(lines[-1][1], line)
        elif line.strip():
            lines.append((number, bytearray(line)))
    return [(number, _decoded(line)) for number, line in lines]


def _continues(line: bytearray) -> bool:
    """Whether a line goes on after a soft line break of vCalendar 1.0."""
    return line.endswith(b"=") and b"QUOTED-PRINTABLE" in line[:LONGEST_NAME].partition(b":")[0].upper()


def _join(line: bytearray, more: bytes) -> None:
    if _continues(line):
        del line[-1:]
        line += more.lstrip()
    else:
        line += more[1:]


def _utf8(data: bytes) -> bytes:
    """Return the file without its byte order mark, UTF-16 turned into UTF-8."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").encode()
    return data.removeprefix(BOM_UTF8)


def _decoded(line: bytearray) -> str:
    """Read a line as UTF-8, else as Windows-1252, where every byte is something."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")
