"""The directory as EWS shows it: ResolveNames, ExpandDL one level deep, room lists and their rooms.

It shows who has an address here; groups come as PublicDL, and a group with hidden members shows none of them.
"""

from collections.abc import Iterable, Iterator

from lxml import etree
from msgspec import Struct

from deploy.sandbox.directory import Group, Person, Reach, Tenant
from deploy.sandbox.ews import responses, scopes, soap
from deploy.sandbox.ews.call import EwsCall, Failed, Operation
from deploy.sandbox.ews.soap import M, T
from shared.contracts.values import Kind

MOST = 100  # candidates of ResolveNames; there is no paging
ROOMS = "Rooms"
_NO_RESULTS = "No results were found."


class _Entry(Struct, frozen=True, kw_only=True):
    """One entry of the directory, as it is printed."""

    name: str
    address: str
    kind: str = "Mailbox"  # MailboxType
    ids: tuple[str, ...] = ()  # what else an exact search finds it by, in lower case


def _person(person: Person) -> _Entry:
    """Return a person's entry; a mailbox elsewhere in a hybrid organisation is a contact here, as a guest is."""
    kind = "Contact" if person.guest or person.reach is Reach.ON_PREMISES else "Mailbox"
    return _Entry(name=person.name, address=person.mail or person.upn, kind=kind, ids=(person.upn.lower(),))


def _group(tenant: Tenant, group: Group) -> _Entry:
    return _Entry(name=group.name, address=tenant.address_of(group), kind="PublicDL")


def _entries(call: EwsCall) -> Iterator[_Entry]:
    tenant = call.tenant
    yield from (_person(person) for person in tenant.people.values() if person.mail)
    yield from (_group(tenant, group) for group in tenant.groups.values())
    if _rooms(tenant):
        yield _Entry(name=ROOMS, address=_rooms_address(tenant), kind="PublicDL")


def _resolve_names(call: EwsCall) -> bytes:
    """Find entries by address, or by the beginning of any word of their name. [MS-OXWSRSLNM]."""
    wanted = (call.request.findtext(f"{M}UnresolvedEntry") or "").strip()
    full = call.request.get("ReturnFullContactData", "").lower() in {"true", "1"}
    found = _found(call, wanted)
    if not found:
        raise Failed("ErrorNameResolutionNoResults", _NO_RESULTS)
    shown = "".join(_resolution(entry, full=full) for entry in found[:MOST])
    last = "true" if len(found) <= MOST else "false"
    # the set bears the number shown, and says whether that is all
    total = min(len(found), MOST)
    inner = f'<m:ResolutionSet TotalItemsInView="{total}" IncludesLastItemInRange="{last}">{shown}</m:ResolutionSet>'
    if len(found) == 1:
        return soap.response("ResolveNames", [soap.success("ResolveNames", inner)])
    several = soap.error(Failed("ErrorNameResolutionMultipleResults", "Multiple results were found."))
    name = "m:ResolveNamesResponseMessage"
    return soap.response("ResolveNames", [f'<{name} ResponseClass="Warning">{several}{inner}</{name}>'])


def _found(call: EwsCall, wanted: str) -> list[_Entry]:
    """Return the entries a text means: those of exactly this address before all others."""
    bare, exact = wanted.lower().removeprefix("smtp:"), wanted.lower().startswith("smtp:")
    if not bare:
        return []
    entries = list(_entries(call))
    person = scopes.address_holder(call.state, call.tenant, bare)
    same = [each for each in entries if bare == each.address.lower() or bare in each.ids]
    if person is not None and person.mail and not same:
        same = [_person(person)]
    if same or exact:
        return same
    return [each for each in entries if _begins(each, bare)]


def _begins(entry: _Entry, wanted: str) -> bool:
    name = entry.name.lower()
    return name.startswith(wanted) or f" {wanted}" in name or entry.address.lower().startswith(wanted)


def _resolution(entry: _Entry, *, full: bool) -> str:
    contact = ""
    if full and entry.kind != "PublicDL":
        address = soap.text(f"SMTP:{entry.address}")
        contact = (
            f"<t:Contact><t:DisplayName>{soap.text(entry.name)}</t:DisplayName><t:EmailAddresses>"
            f'<t:Entry Key="EmailAddress1">{address}</t:Entry></t:EmailAddresses>'
            "<t:ContactSource>ActiveDirectory</t:ContactSource></t:Contact>"
        )
    return f"<t:Resolution><t:Mailbox>{_mailbox(entry)}</t:Mailbox>{contact}</t:Resolution>"


def _mailbox(entry: _Entry) -> str:
    """Return the children of an element of type EmailAddressType."""
    return (
        f"<t:Name>{soap.text(entry.name)}</t:Name><t:EmailAddress>{soap.text(entry.address)}</t:EmailAddress>"
        f"<t:RoutingType>SMTP</t:RoutingType><t:MailboxType>{entry.kind}</t:MailboxType>"
    )


def _expand(call: EwsCall) -> bytes:
    """List a group's own members, nested groups as such: who wants all of them asks again. [MS-OXWSDLIST]."""
    address = _asked(call.request, f"{M}Mailbox")
    group = call.tenant.group(address)
    if group is None and address.lower() != _rooms_address(call.tenant):
        raise Failed("ErrorNameResolutionNoResults", _NO_RESULTS)
    members = [_person(room) for room in _rooms(call.tenant)] if group is None else list(_members(call, group))
    shown = "".join(f"<t:Mailbox>{_mailbox(entry)}</t:Mailbox>" for entry in members)
    attributes = f'TotalItemsInView="{len(members)}" IncludesLastItemInRange="true"'
    return soap.response("ExpandDL", [soap.success("ExpandDL", f"<m:DLExpansion {attributes}>{shown}</m:DLExpansion>")])


def _members(call: EwsCall, group: Group) -> Iterator[_Entry]:
    tenant = call.tenant
    if (tenant.tenant_id, tenant.address_of(group)) in call.state.ews.hidden:
        return
    people = (tenant.people.get(member) for member in group.members)
    yield from (_person(person) for person in people if person is not None)
    nested = (tenant.groups.get(each) for each in group.groups)
    yield from (_group(tenant, each) for each in nested if each is not None)


def _room_lists(call: EwsCall) -> bytes:
    lists = [_Entry(name=ROOMS, address=_rooms_address(call.tenant), kind="PublicDL")] if _rooms(call.tenant) else []
    shown = "".join(f"<t:Address>{_mailbox(entry)}</t:Address>" for entry in lists)
    return responses.single("GetRoomLists", f"<m:RoomLists>{shown}</m:RoomLists>")


def _get_rooms(call: EwsCall) -> bytes:
    """List the rooms of a room list; a group that is none has no rooms."""
    address = _asked(call.request, f"{M}RoomList").lower()
    if address != _rooms_address(call.tenant) and call.tenant.group(address) is None:
        return responses.refused("GetRooms", Failed("ErrorNameResolutionNoResults", _NO_RESULTS))
    rooms: Iterable[Person] = _rooms(call.tenant) if address == _rooms_address(call.tenant) else ()
    shown = "".join(f"<t:Room><t:Id>{_mailbox(_person(room))}</t:Id></t:Room>" for room in rooms)
    return responses.single("GetRooms", f"<m:Rooms>{shown}</m:Rooms>")


def _asked(request: etree._Element, path: str) -> str:
    return (request.findtext(f"{path}/{T}EmailAddress") or "").strip()


def _rooms(tenant: Tenant) -> list[Person]:
    return [person for person in tenant.people.values() if person.kind is Kind.ROOM and person.reach is Reach.OPEN]


def _rooms_address(tenant: Tenant) -> str:
    return f"rooms@{tenant.domain}"


OPERATIONS: dict[str, Operation] = {
    "ResolveNames": _resolve_names,
    "ExpandDL": _expand,
    "GetRoomLists": _room_lists,
    "GetRooms": _get_rooms,
}
