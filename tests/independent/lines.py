"""Decides what the lines of an .ics file say: unfolding, properties and nested components (RFC 5545 3.1, 3.6).

Refuses to fail: a line that is no property is left out, and a component that is never closed says so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_NAME = re.compile(r"[A-Za-z0-9-]+\Z")
_TOP_LEVEL = frozenset({"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VTIMEZONE", "VAVAILABILITY"})
_BREAK = re.compile(rb"\r\n|\n|\r")


class Property(NamedTuple):
    """One content line: upper-case name, upper-case parameter names with unquoted values, and the raw value."""

    name: str
    parameters: dict[str, str]
    value: str


@dataclass
class Component:
    """What stands between BEGIN and END; the outermost component holds the whole file and has no name."""

    name: str
    properties: list[Property] = field(default_factory=list)
    children: list["Component"] = field(default_factory=list)
    closed: bool = False

    def first(self, name: str) -> Property | None:
        """Return the first property of that name."""
        return next((item for item in self.properties if item.name == name), None)

    def every(self, name: str) -> list[Property]:
        """Return all properties of that name, in the file's order."""
        return [item for item in self.properties if item.name == name]


def read_components(data: bytes) -> Component:
    """Read a file into a tree. END closes the innermost open component of its name; a stray END is ignored.

    What cannot stand inside another component ends it: a bad component must not swallow the good ones after it.
    """
    root = Component("")
    open_components = [root]
    for line in _unfolded(data):
        item = _property(line)
        if item is None:
            continue
        if item.name == "BEGIN":
            _open(open_components, Component(item.value.strip().upper()))
        elif item.name == "END":
            _close(open_components, item.value.strip().upper())
        else:
            open_components[-1].properties.append(item)
    return root


def _open(open_components: list[Component], child: Component) -> None:
    names = [component.name for component in open_components]
    if child.name == "VCALENDAR":
        del open_components[1:]
    elif child.name in _TOP_LEVEL:
        first = next((at for at, name in enumerate(names) if name in _TOP_LEVEL), len(names))
        del open_components[first:]
    open_components[-1].children.append(child)
    open_components.append(child)


def _close(open_components: list[Component], name: str) -> None:
    if name in [component.name for component in open_components[1:]]:
        while True:
            component = open_components.pop()
            if component.name == name:
                component.closed = True
                return


def _unfolded(data: bytes) -> Iterator[str]:
    # Folding may split a character of several bytes, so lines are joined before they are decoded.
    pending = b""
    for line in _BREAK.split(data.removeprefix(b"\xef\xbb\xbf")):
        if line[:1] in (b" ", b"\t"):
            pending += line[1:]
        elif line:
            yield pending.decode("utf-8", "replace")
            pending = line
    yield pending.decode("utf-8", "replace")


def _property(line: str) -> Property | None:
    pieces, value = _split_head(line)
    if value is None or not _NAME.match(pieces[0]):
        return None
    parameters: dict[str, str] = {}
    for piece in pieces[1:]:
        key, _, text = piece.partition("=")
        parameters.setdefault(key.strip().upper(), text.strip().strip('"').strip())
    return Property(pieces[0].upper(), parameters, value)


def _split_head(line: str) -> tuple[list[str], str | None]:
    quoted = False
    pieces = [""]
    for position, letter in enumerate(line):
        if letter == '"':
            quoted = not quoted
        if letter == ":" and not quoted:
            return pieces, line[position + 1 :]
        if letter == ";" and not quoted:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces, None
