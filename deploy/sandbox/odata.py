"""Reads what OData requests carry: Prefer headers, instants with offsets, $select lists, numbers in bounds."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from deploy.sandbox.answers import Refusal
from shared.contracts.values import Instant
from shared.zones import resolve

_PREFERENCE = re.compile(r'\s*([A-Za-z][\w.-]*)\s*(?:=\s*("[^"]*"|[^,;\s]*))?[^,]*(?:,|$)')


class Preferences(Struct, frozen=True, kw_only=True):
    """What a Prefer header asked for; `applied` is what Preference-Applied confirms."""

    zone_name: str = "UTC"
    zone: ZoneInfo | None = None
    page_size: int | None = None
    immutable: bool = False
    applied: str = ""


@lru_cache(maxsize=1024)
def preferences(header: str) -> Preferences:
    """Read a Prefer header (several preferences, comma separated). Raises Refusal for an unknown zone."""
    asked = {name.lower(): value.strip('"') for name, value in _PREFERENCE.findall(header)}
    applied = []
    zone_name, zone = "UTC", None
    if asked.get("outlook.timezone"):
        zone_name = asked["outlook.timezone"]
        zone = _zone(zone_name)
        applied.append(f'outlook.timezone="{zone_name}"')
    size = asked.get("odata.maxpagesize", "")
    if size.isdecimal() and int(size) > 0:
        applied.append(f"odata.maxpagesize={size}")
    immutable = asked.get("idtype", "").lower() == "immutableid"
    if immutable:
        applied.append('IdType="ImmutableId"')
    if "outlook.body-content-type" in asked:
        applied.append(f'outlook.body-content-type="{asked["outlook.body-content-type"]}"')
    page_size = int(size) if size.isdecimal() and int(size) > 0 else None
    said = ", ".join(applied)
    return Preferences(zone_name=zone_name, zone=zone, page_size=page_size, immutable=immutable, applied=said)


def _zone(name: str) -> ZoneInfo | None:
    """Return the zone of a Windows or IANA name; None for UTC, which is printed without conversion."""
    found = resolve(name)
    if found is None:
        message = f"A valid TimeZone value must be specified. The following TimeZone value is not supported: '{name}'."
        raise Refusal(400, "TimeZoneNotSupportedException", message)
    return None if found.key in {"UTC", "Etc/UTC"} else found


def instant(value: str) -> Instant | None:
    """Return the UTC second of an ISO 8601 date-time; without an offset it is UTC. None where unreadable."""
    try:
        # a plus sign sent unescaped arrives as a space
        read = datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", value.strip().replace(" ", "+")))
    except ValueError:
        return None
    try:
        return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
    except OverflowError:
        return None


def names(value: str) -> tuple[str, ...]:
    """Return the distinct names of a $select list, in the order asked."""
    return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))


def number(value: str, *, least: int, most: int, name: str) -> int:
    """Return a number of a query within its bounds. Raises Refusal."""
    if not value.isdecimal():
        raise Refusal(400, "BadRequest", f"Invalid value '{value}' for {name} query option found.")
    if not least <= int(value) <= most:
        message = f"Invalid page size specified: '{value}'. Must be between {least} and {most} inclusive."
        raise Refusal(400, "Request_UnsupportedQuery", message)
    return int(value)
