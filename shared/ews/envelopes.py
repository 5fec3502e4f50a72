"""Decides what is asked of Exchange: one request as a value, with the words it is made of and nothing more.

Pure. Texts from outside are escaped; only fields that a policy may publish are ever named. Times are asked for in
UTC, so no time zone is sent or asked for.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct

from shared.clock import moment
from shared.contracts.values import Window

TYPES: Final = "http://schemas.microsoft.com/exchange/services/2006/types"
MESSAGES: Final = "http://schemas.microsoft.com/exchange/services/2006/messages"
SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
VERSION: Final = "Exchange2013_SP1"  # the newest that 2013 to SE and Online all understand
MOST_ITEMS: Final = 1000  # EWSFindCountLimit: more are not given, or the request fails
MOST_CHANGES: Final = 512  # the most that SyncFolderItems takes

_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TIMES: Final = ("calendar:Start", "calendar:End")
_VIEW: Final = (
    "item:Subject", "item:Sensitivity", "calendar:Start", "calendar:End", "calendar:IsAllDayEvent",
    "calendar:LegacyFreeBusyStatus", "calendar:Location", "calendar:IsCancelled", "calendar:CalendarItemType",
    "calendar:MyResponseType",
)  # fmt: skip
_DETAILS: Final = (
    "item:Preview", "calendar:Organizer", "calendar:RequiredAttendees", "calendar:OptionalAttendees",
    "calendar:Resources",
)  # fmt: skip
_JOIN: Final = "calendar:JoinOnlineMeetingUrl"
_EVENTS: Final = ("CopiedEvent", "CreatedEvent", "DeletedEvent", "ModifiedEvent", "MovedEvent")
_CALENDAR: Final = '<t:DistinguishedFolderId Id="calendar"/>'
_NO_DAYLIGHT: Final = "<t:Bias>0</t:Bias><t:Time>00:00:00</t:Time><t:DayOrder>1</t:DayOrder><t:Month>1</t:Month>"
_UTC: Final = (
    "<t:TimeZone><t:Bias>0</t:Bias>"
    f"<t:StandardTime>{_NO_DAYLIGHT}<t:DayOfWeek>Sunday</t:DayOfWeek></t:StandardTime>"
    f"<t:DaylightTime>{_NO_DAYLIGHT}<t:DayOfWeek>Sunday</t:DayOfWeek></t:DaylightTime></t:TimeZone>"
)
_FREE_BUSY: Final = (
    "<t:MergedFreeBusyIntervalInMinutes>30</t:MergedFreeBusyIntervalInMinutes>"
    "<t:RequestedView>FreeBusy</t:RequestedView>"
)


class Envelope(Struct, frozen=True, kw_only=True):
    """One request: the operation's element, and whom it is made as.

    `mailbox` is impersonated, "" stands for the service account itself. `anchor` leads a group's requests to one
    server; without it the mailbox does. `headers` are further HTTP headers.
    """

    operation: str
    body: bytes
    mailbox: str = ""
    anchor: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def charged(self) -> Literal["account", "mailbox"]:
        """Whose budget the server charges: an impersonated mailbox's, else the service account's."""
        return "mailbox" if self.mailbox else "account"


def soap(envelope: Envelope) -> bytes:
    """Return the whole SOAP text of a request, UTF-8."""
    sid = f"<t:PrimarySmtpAddress>{_text(envelope.mailbox)}</t:PrimarySmtpAddress>" if envelope.mailbox else ""
    whom = f"<t:ExchangeImpersonation><t:ConnectingSID>{sid}</t:ConnectingSID></t:ExchangeImpersonation>" if sid else ""
    return b"".join(
        (
            b'<?xml version="1.0" encoding="utf-8"?>',
            f'<s:Envelope xmlns:s="{SOAP}" xmlns:t="{TYPES}" xmlns:m="{MESSAGES}">'.encode(),
            f'<s:Header><t:RequestServerVersion Version="{VERSION}"/>{whom}</s:Header><s:Body>'.encode(),
            envelope.body,
            b"</s:Body></s:Envelope>",
        )
    )


def http_headers(envelope: Envelope) -> dict[str, str]:
    """Return the HTTP headers of a request. An address that no header may carry is left out: it only guides."""
    sent = dict(envelope.headers)
    anchor = envelope.anchor or envelope.mailbox
    if anchor and anchor.isascii() and anchor.isprintable() and " " not in anchor:
        sent["X-AnchorMailbox"] = anchor
    return sent


def convert_id() -> Envelope:
    """Ask what every server answers, if only with an error: it proves the sign-in, and names the version."""
    id_ = '<t:AlternateId Format="EwsId" Id="DUMMY" Mailbox="dummy@busyline.invalid"/>'
    return _asked("ConvertId", f"<m:SourceIds>{id_}</m:SourceIds>", ' DestinationFormat="OwaId"')


def resolve_names(entry: str) -> Envelope:
    """Ask the directory who a name or an address is."""
    entry_ = f"<m:UnresolvedEntry>{_text(entry)}</m:UnresolvedEntry>"
    return _asked("ResolveNames", entry_, ' ReturnFullContactData="false" SearchScope="ActiveDirectory"')


def calendar_folder(mailbox: str) -> Envelope:
    """Ask for a mailbox's calendar folder, as the mailbox."""
    body = f"<m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape><m:FolderIds>{_CALENDAR}</m:FolderIds>"
    return _asked("GetFolder", body, mailbox=mailbox)


def calendar_view(mailbox: str, window: Window, *, details: bool, most: int = MOST_ITEMS) -> Envelope:
    """Ask for every instance that overlaps the window, series expanded, at most `most`; more is a cut answer.

    Without `details` only ids and times are named.
    """
    span = f'StartDate="{moment(window.start)}" EndDate="{moment(window.end)}"'
    body = (
        f'{_shape(_VIEW if details else _TIMES)}<m:CalendarView MaxEntriesReturned="{most}" {span}/>'
        f"<m:ParentFolderIds>{_CALENDAR}</m:ParentFolderIds>"
    )
    return _asked("FindItem", body, ' Traversal="Shallow"', mailbox=mailbox)


def item_details(mailbox: str, item_ids: Sequence[str], *, conferencing: bool) -> Envelope:
    """Ask for what a view cannot give of these items; the link to join only with `conferencing`."""
    ids = "".join(f"<t:ItemId Id={quoteattr(_legal(item_id))}/>" for item_id in item_ids)
    fields = (*_DETAILS, _JOIN) if conferencing else _DETAILS
    return _asked("GetItem", f"{_shape(fields)}<m:ItemIds>{ids}</m:ItemIds>", mailbox=mailbox)


def free_busy(addresses: Sequence[str], window: Window) -> Envelope:
    """Ask when up to 100 people are free or busy, and nothing else about them, from the service account's budget."""
    people = "".join(
        f"<t:MailboxData><t:Email><t:Address>{_text(address)}</t:Address></t:Email>"
        "<t:AttendeeType>Required</t:AttendeeType><t:ExcludeConflicts>false</t:ExcludeConflicts></t:MailboxData>"
        for address in addresses
    )
    span = f"<t:StartTime>{_civil(window.start)}</t:StartTime><t:EndTime>{_civil(window.end)}</t:EndTime>"
    body = (
        f"{_UTC}<m:MailboxDataArray>{people}</m:MailboxDataArray>"
        f"<t:FreeBusyViewOptions><t:TimeWindow>{span}</t:TimeWindow>{_FREE_BUSY}</t:FreeBusyViewOptions>"
    )
    return _asked("GetUserAvailabilityRequest", body)


def sync_items(mailbox: str, state: str, *, most: int = MOST_CHANGES) -> Envelope:
    """Ask which items of the calendar changed since `state` (empty: since ever), ids only."""
    since = f"<m:SyncState>{_text(state)}</m:SyncState>" if state else ""
    body = (
        "<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>"
        f"<m:SyncFolderId>{_CALENDAR}</m:SyncFolderId>{since}<m:MaxChangesReturned>{most}</m:MaxChangesReturned>"
    )
    return _asked("SyncFolderItems", body, mailbox=mailbox)


def user_options(mailbox: str) -> Envelope:
    """Ask for the options of the mailbox's web client, among them its time zone."""
    body = (
        '<m:UserConfigurationName Name="OWA.UserOptions"><t:DistinguishedFolderId Id="root"/>'
        "</m:UserConfigurationName><m:UserConfigurationProperties>Dictionary</m:UserConfigurationProperties>"
    )
    return _asked("GetUserConfiguration", body, mailbox=mailbox)


def expand_group(address: str) -> Envelope:
    """Ask who is in a distribution group, one level deep."""
    group = f"<t:EmailAddress>{_text(address)}</t:EmailAddress>"
    return _asked("ExpandDL", f"<m:Mailbox>{group}</m:Mailbox>")


def room_lists() -> Envelope:
    """Ask which room lists there are."""
    return _asked("GetRoomLists", "")


def rooms(address: str) -> Envelope:
    """Ask which rooms are in a room list."""
    return _asked("GetRooms", f"<m:RoomList><t:EmailAddress>{_text(address)}</t:EmailAddress></m:RoomList>")


def subscribe(mailbox: str, *, anchor: str = "") -> Envelope:
    """Ask to be told of changes in a mailbox's calendar by a streaming connection; `anchor` is the group's."""
    types = "".join(f"<t:EventType>{event}</t:EventType>" for event in _EVENTS)
    body = (
        f"<m:StreamingSubscriptionRequest><t:FolderIds>{_CALENDAR}</t:FolderIds>"
        f"<t:EventTypes>{types}</t:EventTypes></m:StreamingSubscriptionRequest>"
    )
    return _asked("Subscribe", body, mailbox=mailbox, anchor=anchor or mailbox)


def streaming_events(subscription_ids: Sequence[str], *, minutes: int, mailbox: str) -> Envelope:
    """Ask for the events of up to 200 subscriptions as they happen, as one mailbox of their group."""
    ids = "".join(f"<t:SubscriptionId>{_text(one)}</t:SubscriptionId>" for one in subscription_ids)
    body = f"<m:SubscriptionIds>{ids}</m:SubscriptionIds><m:ConnectionTimeout>{minutes}</m:ConnectionTimeout>"
    return _asked("GetStreamingEvents", body, mailbox=mailbox, anchor=mailbox)


def unsubscribe(subscription_id: str, *, mailbox: str = "") -> Envelope:
    """Ask to be told no more, as the mailbox that the subscription is of."""
    body = f"<m:SubscriptionId>{_text(subscription_id)}</m:SubscriptionId>"
    return _asked("Unsubscribe", body, mailbox=mailbox, anchor=mailbox)


def _asked(operation: str, body: str, attributes: str = "", *, mailbox: str = "", anchor: str = "") -> Envelope:
    element = f"<m:{operation}{attributes}>{body}</m:{operation}>".encode()
    # [MS] how-to-maintain-affinity-between-group-of-subscriptions: the header beside the anchor
    headers = (("X-PreferServerAffinity", "true"),) if anchor else ()
    name = operation.removesuffix("Request")
    return Envelope(operation=name, body=element, mailbox=mailbox, anchor=anchor, headers=headers)


@lru_cache(maxsize=8)
def _shape(fields: tuple[str, ...]) -> str:
    named = "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in fields)
    shape = f"<t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>{named}</t:AdditionalProperties>"
    return f"<m:ItemShape>{shape}</m:ItemShape>"


def _civil(instant: int) -> str:
    """Write an instant without its zone: the request says beside it that it is UTC."""
    return moment(instant).removesuffix("Z")


def _text(value: str) -> str:
    return escape(_legal(value))


def _legal(value: str) -> str:
    """Replace what XML 1.0 cannot carry."""
    return _ILLEGAL.sub("\ufffd", value)
