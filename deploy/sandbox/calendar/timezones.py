"""Decides which zone a TZID of a file means: a known name, a known spelling of one, else the file's own VTIMEZONE.

Where the name is known its rules come from the tz database, whatever the file's VTIMEZONE says; unknown names are
None, and the caller reports them.
"""

import re
from datetime import tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from deploy.sandbox.calendar.display_names import DISPLAY_NAMES
from shared.zones import iana_name, resolve

OFFSET = re.compile(r"^\((?:UTC|GMT)(?:\s*[+-]\d{1,2}[:.]?\d{2})?\)\s*(?P<name>.+)$", re.IGNORECASE)
BY_DISPLAY_NAME = {display.casefold(): windows for display, windows in DISPLAY_NAMES.items()}


@lru_cache(maxsize=4096)
def known_zone(name: str) -> ZoneInfo | None:
    """Return the zone of an IANA name, a Windows name, or a known way of writing one; None where it is none.

    Known ways: quotes around it, a registry prefix ("/mozilla.org/20070129_1/Europe/Berlin"), a display name of
    Windows with or without its offset ("(UTC-05:00) Eastern Time (US & Canada)").
    """
    plain = _plain(name)
    return resolve(plain) or _behind_prefix(plain) or _by_display_name(plain)


def is_misspelt(name: str) -> bool:
    """Whether a name is an IANA name but for its case; a file that defines such a name means its own definition."""
    plain = _plain(name)
    iana = iana_name(plain)
    return iana is not None and iana != plain and iana.casefold() == plain.casefold()


def _plain(name: str) -> str:
    return name.strip().strip('"').strip()


def _behind_prefix(name: str) -> ZoneInfo | None:
    if not name.startswith("/"):
        return None
    parts = name.strip("/").split("/")
    tails = ("/".join(parts[-count:]) for count in (3, 2, 1) if count <= len(parts))
    return next((zone for zone in map(resolve, tails) if zone is not None), None)


def _by_display_name(name: str) -> ZoneInfo | None:
    match = OFFSET.match(name)
    display = re.sub(r"\s*;\s*", ", ", match["name"] if match else name)
    display = re.sub(r"\s*:\s*", ": ", display)
    windows = BY_DISPLAY_NAME.get(display.casefold()) or (display if match else "")
    return resolve(windows)


class FileZones(Struct, frozen=True):
    """The zones of one file: the calendar's zone, and the file's own definitions by TZID."""

    home: ZoneInfo
    own: dict[str, tzinfo]

    def find(self, name: str) -> tzinfo | None:
        """Return the zone a TZID means, or None where neither the world nor the file knows it."""
        own = self.own.get(_plain(name))
        return own if own is not None and is_misspelt(name) else known_zone(name) or own
