"""Writes calendar items as EWS does: one function per property, in the schema's order, joined as a shape asks.

What FindItem does not give, bodies and attendees, it does not give here either; organizers have only a name there.
"""

from collections.abc import Callable
from functools import lru_cache

from lxml import etree
from msgspec import Struct

from deploy.sandbox.calendar.values import Item, Person
from deploy.sandbox.ews import reading
from deploy.sandbox.ews.availability import WORDS
from deploy.sandbox.ews.expansions import placed
from deploy.sandbox.ews.soap import T, attribute, text, violation
from deploy.sandbox.rendering import View, event_id, wall
from shared.contracts.values import DAY, EARLIEST, Instant

TYPES = {
    "singleInstance": "Single", "occurrence": "Occurrence", "exception": "Exception", "seriesMaster": "RecurringMaster",
}  # fmt: skip
SENSITIVITIES = {
    "normal": "Normal", "personal": "Personal", "private": "Private", "confidential": "Confidential",
}  # fmt: skip
RESPONSES = {
    "none": "Unknown", "organizer": "Organizer", "tentativelyAccepted": "Tentative", "accepted": "Accept",
    "declined": "Decline", "notResponded": "NoResponseReceived",
}  # fmt: skip
MEETING, RECEIVED, CANCELLED = 1, 2, 4  # [MS-OXOCAL] 2.2.1.10, the bits of PidLidAppointmentStateFlags
_PREVIEW = 255  # characters, as Graph's bodyPreview

Write = Callable[[Item, View], str]


class Shape(Struct, frozen=True, kw_only=True):
    """What of each item is asked for: names of properties ("calendar:Start"), and whether bodies are plain text."""

    names: tuple[str, ...]
    plain: bool = False
    whole: bool = True  # GetItem gives what FindItem does not


def shape(element: etree._Element, *, whole: bool) -> Shape:
    """Read an m:ItemShape. Raises SoapFault."""
    base = reading.word(element, f"{T}BaseShape")
    more = element.find(f"{T}AdditionalProperties")
    fields = [] if more is None else [found.get("FieldURI", "") for found in more.findall(f"{T}FieldURI")]
    names = {"IdOnly": (), "Default": DEFAULT, "AllProperties": tuple(PROPERTIES)}.get(base)
    if names is None:
        raise violation("The base shape is unknown.")
    body = element.find(f"{T}BodyType")
    plain = body is not None and (body.text or "").strip() == "Text"
    return Shape(names=tuple(dict.fromkeys((*names, *fields))), plain=plain, whole=whole)


def asked(element: etree._Element) -> str:
    """Return in one line what an m:ItemShape asks for, as requests are counted."""
    base = reading.word(element, f"{T}BaseShape")
    more = element.find(f"{T}AdditionalProperties")
    fields = [] if more is None else [found.get("FieldURI", "") for found in more.findall(f"{T}FieldURI")]
    return ",".join([*(() if base == "IdOnly" else (base,)), *fields]) or base


def item_xml(item: Item, view: View, wanted: Shape) -> str:
    """Return an item as a t:CalendarItem with the properties of a shape."""
    printed = event_id(item.item_id, view)
    own = f'<t:ItemId Id="{printed}" ChangeKey="{item.item_id}{view.revision:04d}"/>'
    return f"<t:CalendarItem>{own}{''.join([write(item, view) for write in _writers(wanted)])}</t:CalendarItem>"


@lru_cache(maxsize=256)
def _writers(wanted: Shape) -> tuple[Write, ...]:
    names = set(wanted.names) - (set() if wanted.whole else NEVER_FOUND)
    special = {"item:Body": _text_body} if wanted.plain else {}
    if not wanted.whole:
        special["calendar:Organizer"] = _organizer_name
    return tuple(special.get(name, write) for name, write in PROPERTIES.items() if name in names)


def moment(instant: Instant) -> str:
    """Return an instant as EWS prints it."""
    return f"{wall(instant, None)[:19]}Z"


def _element(name: str, value: str) -> str:
    return f"<t:{name}>{value}</t:{name}>"


def _said(name: str, of: Callable[[Item], str]) -> Write:
    return lambda item, _: _element(name, text(of(item)))


def _flag(name: str, of: Callable[[Item], bool]) -> Write:
    return lambda item, _: _element(name, "true" if of(item) else "false")


def _constant(name: str, value: str) -> Write:
    made = _element(name, value)
    return lambda _item, _view: made


def _instants(item: Item, view: View) -> tuple[Instant, Instant]:
    return (item.start, item.end) if view.home is None else placed(item, view.home)


def _start(name: str) -> Write:
    return lambda item, view: _element(name, moment(_instants(item, view)[0]))


def _end(item: Item, view: View) -> str:
    return _element("End", moment(_instants(item, view)[1]))


def _original(name: str) -> Write:
    begin = _start(name)
    return lambda item, view: begin(item, view) if item.series_id is not None else ""


def _changed(name: str) -> Write:
    return lambda item, _: _element(name, moment(max(EARLIEST, item.start - 7 * DAY)))


def _html_body(item: Item, _: View) -> str:
    return f'<t:Body BodyType="HTML">{text(f"<html><head></head><body><p>{item.body}</p></body></html>")}</t:Body>'


def _text_body(item: Item, _: View) -> str:
    return f'<t:Body BodyType="Text">{text(item.body)}</t:Body>'


def _plain_body(item: Item, _: View) -> str:
    return f'<t:TextBody BodyType="Text">{text(item.body)}</t:TextBody>'


def _categories(item: Item, _: View) -> str:
    strings = "".join(_element("String", text(name)) for name in item.categories)
    return _element("Categories", strings) if strings else ""


def _mailbox(person: Person) -> str:
    address = text(person.address)
    where = f"{_element('EmailAddress', address)}<t:RoutingType>SMTP</t:RoutingType>" if address else ""
    return _element("Mailbox", f"{_element('Name', text(person.name))}{where}")


def _organizer(item: Item, _: View) -> str:
    return "" if item.organizer is None else _element("Organizer", _mailbox(item.organizer))


def _organizer_name(item: Item, _: View) -> str:
    if item.organizer is None:
        return ""
    return _element("Organizer", _element("Mailbox", _element("Name", text(item.organizer.name))))


def _attendees(item: Item, _: View) -> str:
    people = "".join(
        _element("Attendee", f"{_mailbox(person)}<t:ResponseType>Unknown</t:ResponseType>") for person in item.attendees
    )
    return _element("RequiredAttendees", people) if people else ""


def _state(item: Item) -> str:
    meeting = bool(item.attendees)
    return str(MEETING * meeting + RECEIVED * (meeting and not item.is_organizer) + CANCELLED * item.cancelled)


def _zone(name: str) -> Write:
    return lambda _, view: f'<t:{name} Id="{attribute(view.home_name)}" Name="{attribute(view.home_name)}"/>'


def _uid(item: Item) -> str:
    return f"040000008200E00074C5B7101A82E008{(item.series_id or item.item_id).encode().hex()}"


def _joined(item: Item, _: View) -> str:
    return _element("JoinOnlineMeetingUrl", text(item.join_url)) if item.join_url else ""


def _recurring(item: Item) -> bool:
    return item.series_id is not None


# in the order of ItemType and CalendarItemType in Microsoft's types.xsd
PROPERTIES: dict[str, Write] = {
    "item:ItemClass": lambda item, _: _element(
        "ItemClass", "IPM.Appointment.Occurrence" if _recurring(item) else "IPM.Appointment"
    ),
    "item:Subject": _said("Subject", lambda item: item.subject),
    "item:Sensitivity": _said("Sensitivity", lambda item: SENSITIVITIES.get(item.sensitivity, "Private")),
    "item:Body": _html_body,
    "item:Categories": _categories,
    "item:Importance": _constant("Importance", "Normal"),
    "item:IsDraft": _constant("IsDraft", "false"),
    "item:DateTimeCreated": _changed("DateTimeCreated"),
    "item:ReminderIsSet": _constant("ReminderIsSet", "false"),
    "item:ReminderMinutesBeforeStart": _constant("ReminderMinutesBeforeStart", "15"),
    "item:HasAttachments": _constant("HasAttachments", "false"),
    "item:LastModifiedTime": _changed("LastModifiedTime"),
    "item:Preview": _said("Preview", lambda item: item.body[:_PREVIEW]),
    "item:TextBody": _plain_body,
    "calendar:UID": _said("UID", _uid),
    "calendar:RecurrenceId": _original("RecurrenceId"),
    "calendar:DateTimeStamp": _changed("DateTimeStamp"),
    "calendar:Start": _start("Start"),
    "calendar:End": _end,
    "calendar:OriginalStart": _original("OriginalStart"),
    "calendar:IsAllDayEvent": _flag("IsAllDayEvent", lambda item: item.all_day),
    "calendar:LegacyFreeBusyStatus": _said("LegacyFreeBusyStatus", lambda item: WORDS.get(item.show_as, "NoData")),
    "calendar:Location": _said("Location", lambda item: item.location),
    "calendar:IsMeeting": _flag("IsMeeting", lambda item: bool(item.attendees)),
    "calendar:IsCancelled": _flag("IsCancelled", lambda item: item.cancelled),
    "calendar:IsRecurring": _flag("IsRecurring", _recurring),
    "calendar:MeetingRequestWasSent": _flag("MeetingRequestWasSent", lambda item: bool(item.attendees)),
    "calendar:IsResponseRequested": _constant("IsResponseRequested", "true"),
    "calendar:CalendarItemType": _said("CalendarItemType", lambda item: TYPES.get(item.type, "Single")),
    "calendar:MyResponseType": _said("MyResponseType", lambda item: RESPONSES.get(item.response, "Unknown")),
    "calendar:Organizer": _organizer,
    "calendar:RequiredAttendees": _attendees,
    "calendar:AppointmentSequenceNumber": _constant("AppointmentSequenceNumber", "0"),
    "calendar:AppointmentState": _said("AppointmentState", _state),
    "calendar:StartTimeZone": _zone("StartTimeZone"),
    "calendar:EndTimeZone": _zone("EndTimeZone"),
    "calendar:AllowNewTimeProposal": _constant("AllowNewTimeProposal", "true"),
    "calendar:IsOnlineMeeting": _flag("IsOnlineMeeting", lambda item: bool(item.join_url)),
    "calendar:StartTimeZoneId": lambda _, view: _element("StartTimeZoneId", text(view.home_name)),
    "calendar:EndTimeZoneId": lambda _, view: _element("EndTimeZoneId", text(view.home_name)),
    "calendar:JoinOnlineMeetingUrl": _joined,
    "calendar:IsOrganizer": _flag("IsOrganizer", lambda item: item.is_organizer),
}
NEVER_FOUND = frozenset({"item:Body", "item:TextBody", "calendar:RequiredAttendees", "calendar:JoinOnlineMeetingUrl"})
DEFAULT = (
    "item:Subject", "item:HasAttachments", "calendar:Start", "calendar:End", "calendar:LegacyFreeBusyStatus",
    "calendar:Location", "calendar:CalendarItemType", "calendar:Organizer",
)  # fmt: skip
