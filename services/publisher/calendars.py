"""Writes iCalendar (RFC 5545): one mailbox's busy time as VFREEBUSY, and its blocks as a calendar to subscribe to.

It refuses every detail: it is given blocks, and an event's own words do not reach it.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from services.publisher.joined import busy_periods
from services.publisher.moments import moment
from services.publisher.timeline import Timeline
from shared.contracts.values import Block, Instant, Status, Window

MEDIA_TYPE: Final = "text/calendar"
REFRESH: Final = "PT15M"  # how often a calendar application is asked to look again
_OCTETS: Final = 75  # of a line, without its end (3.1)
_HEAD: Final = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Busyline//Availability//EN")
_FEED_HEAD: Final = (
    "CALSCALE:GREGORIAN",
    "METHOD:PUBLISH",
    "X-WR-CALNAME:Availability",
    f"REFRESH-INTERVAL;VALUE=DURATION:{REFRESH}",
    f"X-PUBLISHED-TTL:{REFRESH}",
)
# 3.2.9: what is free or spent working elsewhere is not listed. OOF has no word of its own: unavailable, as others say.
_TYPES: Final = MappingProxyType(
    {
        "BUSY": frozenset({Status.BUSY, Status.UNKNOWN}),
        "BUSY-TENTATIVE": frozenset({Status.TENTATIVE}),
        "BUSY-UNAVAILABLE": frozenset({Status.OOF}),
    }
)
_EVENTS: Final = MappingProxyType(
    {
        Status.BUSY: ("SUMMARY:Busy", "TRANSP:OPAQUE", "X-MICROSOFT-CDO-BUSYSTATUS:BUSY"),
        Status.UNKNOWN: ("SUMMARY:Busy", "TRANSP:OPAQUE", "X-MICROSOFT-CDO-BUSYSTATUS:BUSY"),
        Status.TENTATIVE: (
            "SUMMARY:Tentative",
            "STATUS:TENTATIVE",
            "TRANSP:OPAQUE",
            "X-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE",
        ),
        Status.OOF: ("SUMMARY:Out of office", "TRANSP:OPAQUE", "X-MICROSOFT-CDO-BUSYSTATUS:OOF"),
        Status.ELSEWHERE: (
            "SUMMARY:Working elsewhere",
            "TRANSP:TRANSPARENT",
            "X-MICROSOFT-CDO-BUSYSTATUS:WORKINGELSEWHERE",
        ),
        Status.FREE: ("SUMMARY:Free", "TRANSP:TRANSPARENT", "X-MICROSOFT-CDO-BUSYSTATUS:FREE"),
    }
)


def free_busy(timeline: Timeline, span: Window) -> bytes:
    """Return the busy time of a mailbox within a span of its window, as one VFREEBUSY (3.6.4)."""
    address = quote(timeline.address, safe="@!$'*+")  # RFC 6068
    return _text([*_HEAD, *_component(timeline, span, f"ORGANIZER:mailto:{address}"), "END:VCALENDAR"])


def feed(timeline: Timeline) -> bytes:
    """Return the whole window of a mailbox as events that say nothing but how the time counts.

    A calendar must hold something (3.6): where nothing is listed, the window itself is said to be without busy time.
    """
    events = [line for block in timeline.blocks for line in _event(timeline, block)]
    return _text([*_HEAD, *_FEED_HEAD, *(events or _component(timeline, timeline.window)), "END:VCALENDAR"])


def _component(timeline: Timeline, span: Window, *organizer: str) -> Iterator[str]:
    yield "BEGIN:VFREEBUSY"
    yield f"UID:{_uid(timeline, f'{span.start}-{span.end}')}"
    yield f"DTSTAMP:{_utc(timeline.as_of)}"
    yield f"DTSTART:{_utc(span.start)}"
    yield f"DTEND:{_utc(span.end)}"
    yield from organizer
    for kind, statuses in _TYPES.items():
        periods = busy_periods(timeline.blocks, span, statuses)
        if periods:
            yield f"FREEBUSY;FBTYPE={kind}:{','.join(f'{_utc(start)}/{_utc(end)}' for start, end in periods)}"
    yield "END:VFREEBUSY"


def _event(timeline: Timeline, block: Block) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{_uid(timeline, str(block.start))}"  # no other block of this mailbox begins then
    yield f"DTSTAMP:{_utc(timeline.as_of)}"
    yield f"DTSTART:{_utc(block.start)}"
    yield f"DTEND:{_utc(block.end)}"
    yield from _EVENTS[block.status]
    yield "END:VEVENT"


def _uid(timeline: Timeline, what: str) -> str:
    """Return an id that is the same at each reading and names nobody."""
    named = f"{timeline.org_id}\n{timeline.mailbox_id}\n{what}"
    return f"{sha256(named.encode()).hexdigest()[:32]}@busyline"


def _utc(instant: Instant) -> str:
    return moment(instant).replace("-", "").replace(":", "")


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{_folded(line)}\r\n" for line in lines).encode("ascii")


def _folded(line: str) -> str:
    """Fold a line of ASCII: every further piece begins with a space, which counts."""
    if len(line) <= _OCTETS:
        return line
    rest = range(_OCTETS, len(line), _OCTETS - 1)
    return "\r\n ".join([line[:_OCTETS], *(line[place : place + _OCTETS - 1] for place in rest)])
