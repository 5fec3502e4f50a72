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
        subject=text(first(found, "SUMMARY")),
        body=text(first(found, "DESCRIPTION")),
        location=text(first(found, "LOCATION")),
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
    return Person(entry.parameters.get("CN", ""), re.sub("^mailto:", "", entry.value, flags=re.IGNORECASE))


def _categories(found: Properties) -> list[str]:
    return [name.strip() for entry in found.get("CATEGORIES", ()) for name in text(entry).split(",") if name.strip()]


def _url(entry: Property | None) -> str:
    return entry.value if entry is not None and entry.value.lower().startswith(("http://", "https://")) else ""
