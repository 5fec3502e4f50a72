"""Serves what belongs to one mailbox: its settings and its events, to those who may see them.

Access follows Exchange: a tenant-wide permission or a mailbox on the app's list lets in, a denied mailbox stays shut,
and who has no mailbox here is refused in the words for it.
"""

from typing import Any

from deploy.sandbox import odata, pages, rendering
from deploy.sandbox.answers import Answer, Refusal, json
from deploy.sandbox.calls import Call
from deploy.sandbox.directory import Person, Reach
from deploy.sandbox.state import CALENDAR_ROLES
from shared.contracts.values import DAY, Kind, Window
from shared.zones import resolve, windows_name

BASIC_ROLES = frozenset({"Calendars.ReadBasic.All", "Calendars.ReadBasic"})
SETTINGS_ROLES = frozenset({"MailboxSettings.Read", "MailboxSettings.ReadWrite"})
_PURPOSES = {Kind.OTHER: "others"}
_SEARCHED = 5 * 365 * DAY


def opened(call: Call, who: str, *, roles: frozenset[str]) -> Person:
    """Return the person whose mailbox may be read with one of these roles. Raises Refusal with Exchange's codes."""
    person = call.tenant.person(who)
    listed = person is not None and person.address in call.grant.mailboxes
    if not listed and call.issued.roles.isdisjoint(roles):
        raise Refusal(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    if person is None:
        raise Refusal(404, "ErrorInvalidUser", f"The requested user '{who}' is invalid.")
    if person.reach is Reach.DENIED:
        raise Refusal(403, "ErrorAccessDenied", "Access to OData is disabled.")
    if person.reach is not Reach.OPEN:
        message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
        raise Refusal(404, "MailboxNotEnabledForRESTAPI", message)
    return person


def calendar_view(call: Call, who: str) -> Answer:
    """Answer GET /users/{id}/calendarView. Raises Refusal."""
    call.state.counts.select("calendarView", call.ask.parameters().get("$select", ""))
    person = opened(call, who, roles=CALENDAR_ROLES | BASIC_ROLES)
    roles = call.issued.roles
    basic = roles.isdisjoint(CALENDAR_ROLES) and not roles.isdisjoint(BASIC_ROLES)
    return pages.calendar_view(call, person, basic=basic)


def event(call: Call, who: str, event_id: str) -> Answer:
    """Answer GET /users/{id}/events/{id}: instances only, for series are not kept. Raises Refusal."""
    asked = call.ask.parameters().get("$select", "")
    call.state.counts.select("event", asked)
    person = opened(call, who, roles=CALENDAR_ROLES)
    wanted = rendering.item_id_of(event_id)
    now = call.state.clock()
    book = call.state.book(call.tenant, person)
    items = book.items(Window(now - _SEARCHED, now + _SEARCHED))
    item = next((item for item in items if item.item_id == wanted), None)
    if item is None:
        raise Refusal(404, "ErrorItemNotFound", "The specified object was not found in the store.")
    prefer = odata.preferences(call.ask.headers.get("prefer", ""))
    select = pages.selected(asked) if asked else rendering.PROPERTIES
    written = rendering.fragments([item], select, pages.view_of(prefer, person, book.revision))[0]
    context = f"{call.ask.base}/v1.0/$metadata#users('{person.user_id}')/events/$entity"
    headers = {"Preference-Applied": prefer.applied} if prefer.applied else {}
    return Answer(body=f'{{"@odata.context":"{context}",{written[1:]}'.encode(), headers=headers)


def settings(call: Call, who: str) -> Answer:
    """Answer GET /users/{id}/mailboxSettings. Raises Refusal."""
    asked = odata.names(call.ask.parameters().get("$select", ""))
    call.state.counts.select("mailboxSettings", ",".join(asked))
    person = opened(call, who, roles=SETTINGS_ROLES)
    made = _settings(person)
    for name in asked:
        if name not in made:
            message = f"Could not find a property named '{name}' on type 'microsoft.graph.mailboxSettings'."
            raise Refusal(400, "RequestBroker--ParseUri", message)
    chosen = f"({','.join(asked)})" if asked else ""
    context = f"{call.ask.base}/v1.0/$metadata#users('{person.user_id}')/mailboxSettings{chosen}"
    shown = {name: made[name] for name in asked} if asked else made
    return json({"@odata.context": context} | shown)


def _settings(person: Person) -> dict[str, Any]:
    zone = zone_name(person.time_zone)
    midnight = {"dateTime": "2026-01-05T00:00:00.0000000", "timeZone": "UTC"}
    replies: dict[str, Any] = {
        "status": "disabled",
        "externalAudience": "none",
        "scheduledStartDateTime": midnight,
        "scheduledEndDateTime": midnight,
        "internalReplyMessage": "",
        "externalReplyMessage": "",
    }
    return {
        "archiveFolder": None,
        "timeZone": zone,
        "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
        "dateFormat": "yyyy-MM-dd",
        "timeFormat": "HH:mm",
        "userPurpose": _PURPOSES.get(person.kind, person.kind.value),
        "automaticRepliesSetting": replies,
        "language": {"locale": "en-US", "displayName": "English (United States)"},
        "workingHours": _hours(person),
    }


def _hours(person: Person) -> dict[str, Any] | None:
    hours = person.working_hours
    if hours is None:
        return None
    return {
        "daysOfWeek": list(hours.days),
        "startTime": _clock(hours.start),
        "endTime": _clock(hours.end),
        "timeZone": {"name": zone_name(hours.time_zone or person.time_zone)},
    }


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}:00.0000000"


def zone_name(zone: str) -> str:
    """Print a zone by its Windows name; a name nobody knows is printed as control set it."""
    return windows_name(zone) if resolve(zone) is not None else zone
