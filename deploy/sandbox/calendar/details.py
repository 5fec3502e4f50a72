"""Decides how an event shows: its status, its privacy, and its texts. Nothing here places it in time.

[MS-OXCICAL]: X-MICROSOFT-CDO-BUSYSTATUS says it plainly; else TRANSP, else STATUS; without any of them it is busy.
"""

import re

from deploy.sandbox.calendar.lines import Properties, Property, first, text, word
from deploy.sandbox.calendar.values import Item, Person

BUSY_STATUS = {
    "FREE": "free",
    "TENTATIVE": "tentative",
    "BUSY": "busy",
    "OOF": "oof",
    "WORKINGELSEWHERE": "workingElsewhere",
}
TRANSPARENCY = {"TRANSPARENT": "free", "OPAQUE": "busy", "1": "free", "0": "busy"}  # the numbers: vCalendar 1.0
SENSITIVITY = {"PRIVATE": "private", "CONFIDENTIAL": "confidential"}
JOIN_URLS = (
    "X-MICROSOFT-SKYPETEAMSMEETINGURL",
    "X-MICROSOFT-ONLINEMEETINGCONFLINK",
    "X-GOOGLE-CONFERENCE",
    "CONFERENCE",
)
# RFC 5545 3.1 allows none of them in a text, XML 1.0 has no way to write them
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def shown(found: Properties) -> Item:
    """Return an item that holds everything of an event but its id and its time."""
    organizer = first(found, "ORGANIZER")
    attendees = tuple(_person(entry) for entry in found.get("ATTENDEE", ()))
    return Item(
        item_id="",
        start=0,
        end=0,
        show_as=show_as(found),
        sensitivity=SENSITIVITY.get(word(found, "CLASS"), "normal"),
        cancelled=word(found, "STATUS") == "CANCELLED",
        is_organizer=not attendees,
        subject=_clean(text(first(found, "SUMMARY"))),
        body=_clean(text(first(found, "DESCRIPTION"))),
        location=_clean(text(first(found, "LOCATION"))),
        categories=tuple(_categories(found)),
        organizer=None if organizer is None else _person(organizer),
        attendees=attendees,
        join_url=_url(first(found, *JOIN_URLS)),
    )


def show_as(found: Properties) -> str:
    """Return the status of an event in Graph's words; unknown words count as if they were missing."""
    stated = word(found, "X-MICROSOFT-CDO-BUSYSTATUS", "X-MICROSOFT-MSNCALENDAR-BUSYSTATUS")
    if stated in BUSY_STATUS:
        return BUSY_STATUS[stated]
    transparency = word(found, "TRANSP")
    if transparency in TRANSPARENCY:
        return TRANSPARENCY[transparency]
    return "tentative" if word(found, "STATUS") == "TENTATIVE" else "busy"


def _person(entry: Property) -> Person:
    address = re.sub("^mailto:", "", entry.value, flags=re.IGNORECASE)
    return Person(_clean(entry.parameters.get("CN", "")), _clean(address))


def _categories(found: Properties) -> list[str]:
    named = (_clean(text(entry)) for entry in found.get("CATEGORIES", ()))
    return [name.strip() for names in named for name in names.split(",") if name.strip()]


def _clean(words: str) -> str:
    """Return a text without control characters, which no mailbox shows."""
    return CONTROLS.sub("", words)


def _url(entry: Property | None) -> str:
    url = "" if entry is None else _clean(entry.value)
    return url if url.lower().startswith(("http://", "https://")) else ""
