"""Turns the answers to FindItem and GetItem into raw events and their details: times parsed, words as Graph's.

Pure. It refuses an item whose time makes no sense: then there is no view at all.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from shared.contracts.messages import RawDetails, RawEvent
from shared.ews import moments
from shared.ews.elements import Element, child, text, words
from shared.ews.envelopes import TYPES
from shared.ews.errors import EwsError
from shared.ews.trouble import of_message, told

TRUE: Final = frozenset({"true", "1"})
SHOWS: Final = {
    "Free": "free",
    "Tentative": "tentative",
    "Busy": "busy",
    "OOF": "oof",
    "WorkingElsewhere": "workingElsewhere",
    "NoData": "unknown",
    "": "unknown",
}
_SENSITIVE: Final = {"Normal": "normal", "Personal": "personal", "Private": "private", "Confidential": "confidential"}
_ANSWERS: Final = {
    "Unknown": "none",
    "Organizer": "organizer",
    "Tentative": "tentativelyAccepted",
    "Accept": "accepted",
    "Decline": "declined",
    "NoResponseReceived": "notResponded",
}
_T: Final = f"{{{TYPES}}}"
_ITEM_ID: Final = _T + "ItemId"
_START: Final = _T + "Start"
_END: Final = _T + "End"
_SHOW: Final = _T + "LegacyFreeBusyStatus"
_SENSITIVITY: Final = _T + "Sensitivity"
_ALL_DAY: Final = _T + "IsAllDayEvent"
_CANCELLED: Final = _T + "IsCancelled"
_RESPONSE: Final = _T + "MyResponseType"
_SUBJECT: Final = _T + "Subject"
_LOCATION: Final = _T + "Location"
_PEOPLE: Final = ("RequiredAttendees", "OptionalAttendees", "Resources")


class View(Struct, frozen=True):
    """The instances in a window. `complete` is False where the server says that there are more.

    A server may say nothing of it: a view with as many events as were asked for counts as cut too.
    """

    events: tuple[RawEvent, ...]
    complete: bool


class ItemDetails(Struct, frozen=True, kw_only=True):
    """What a view cannot give of one item; empty where there is none."""

    organizer: str = ""
    attendees: tuple[str, ...] = ()
    preview: str = ""
    join_url: str = ""


def view(chunks: Iterable[bytes]) -> View:
    """Return the events of a calendar view. An event without a word for its privacy counts as private.

    Raises EwsError, `malformed` where one event's time cannot be read.
    """
    events: list[RawEvent] = []
    complete: bool | None = None
    wanted = ("RootFolder", "FindItemResponseMessage")
    for name, element in told(chunks, wanted, items=("CalendarItem",)):
        if name == "CalendarItem":
            events.append(_event(element))
        elif name == "RootFolder":
            complete = element.get("IncludesLastItemInRange", "true") in TRUE
        elif (error := of_message(element)) is not None:
            raise error
    if complete is None:
        raise EwsError("malformed")
    return View(tuple(events), complete)


def details(chunks: Iterable[bytes], asked: Sequence[str] = ()) -> dict[str, ItemDetails | EwsError]:
    """Return what was asked of items, by their ids; each one's own error apart.

    An error does not say whose it is: it stands under the id that was asked at its place, or under the place itself
    where `asked` is not given. An item that names another id than that is another's. Raises EwsError.
    """
    found: dict[str, ItemDetails | EwsError] = {}
    known, place = frozenset(asked), 0
    item: tuple[str, ItemDetails] | None = None
    for name, element in told(chunks, (), items=("CalendarItem", "GetItemResponseMessage")):
        if name == "CalendarItem":
            item = _item_id(element), _details(element)
            continue
        key = asked[place] if place < len(asked) else str(place)
        error = of_message(element)
        if error is not None or item is None:
            found[key] = error or EwsError("malformed")
        else:
            found[item[0] if not asked or item[0] in known else key] = item[1]
        place, item = place + 1, None
    if place == 0:
        raise EwsError("malformed")
    return found


def address_or_name(mailbox: Element | None) -> str:
    """Return a person's SMTP address; where Exchange gives an address of its own kind, the name."""
    if mailbox is None:
        return ""
    address = text(child(mailbox, "EmailAddress"))
    return address if address and not address.startswith("/") else text(child(mailbox, "Name"))


def _event(item: Element) -> RawEvent:
    fields = {field.tag: field for field in item}
    try:
        start = moments.floor(text(fields.get(_START)))
        end = moments.ceiling(text(fields.get(_END)))
    except ValueError:
        raise EwsError("malformed") from None
    show, response = text(fields.get(_SHOW)), text(fields.get(_RESPONSE))
    all_day = text(fields.get(_ALL_DAY)) in TRUE
    return RawEvent(
        start,
        end,
        SHOWS.get(show, "busy"),
        _SENSITIVE.get(text(fields.get(_SENSITIVITY)), "private"),
        all_day,
        text(fields.get(_CANCELLED)) in TRUE,
        _ANSWERS.get(response, ""),
        _seen(fields),
        all_day,
    )


def _seen(fields: dict[str, Element]) -> RawDetails | None:
    """Return what a view gives of an item, None where it has no id."""
    named = fields.get(_ITEM_ID)
    item_id = "" if named is None else named.get("Id", "")
    if not item_id:
        return None
    return RawDetails(item_id, words(fields.get(_SUBJECT)), "", (), words(fields.get(_LOCATION)), "", "")


def _item_id(item: Element) -> str:
    named = child(item, "ItemId")
    return "" if named is None else str(named.get("Id", ""))


def _details(item: Element) -> ItemDetails:
    organizer = child(item, "Organizer")
    people = (
        address_or_name(child(attendee, "Mailbox"))
        for kind in _PEOPLE
        if (kept := child(item, kind)) is not None
        for attendee in kept
    )
    return ItemDetails(
        organizer="" if organizer is None else address_or_name(child(organizer, "Mailbox")),
        attendees=tuple(person for person in people if person),
        preview=words(child(item, "Preview")),
        join_url=text(child(item, "JoinOnlineMeetingUrl")),
    )
