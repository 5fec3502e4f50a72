"""Answers GetFolder and FindFolder: each mailbox has a root, the top of its store and a calendar, and no other folder.

A folder's id names its mailbox, and is of use to nobody who does not act as that mailbox.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping

from lxml import etree
from msgspec import Struct

from deploy.sandbox.directory import Person
from deploy.sandbox.ews import reading, scopes, soap
from deploy.sandbox.ews.call import EwsCall, Failed, Operation
from deploy.sandbox.ews.soap import M, T, text

CALENDAR, ROOT, TOP = "calendar", "root", "msgfolderroot"
_PREFIX = "AQMkAGZvbGRlcgAuAAAD"


class Folder(Struct, frozen=True, kw_only=True):
    """One folder of one mailbox."""

    name: str  # as Exchange distinguishes it
    person: Person


class _Look(Struct, frozen=True, kw_only=True):
    shown: str
    element: str = "Folder"
    kind: str = "IPF.Note"
    parent: str = ""


_LOOKS = {
    ROOT: _Look(shown="Root", kind=""),
    TOP: _Look(shown="Top of Information Store", parent=ROOT),
    CALENDAR: _Look(shown="Calendar", element="CalendarFolder", kind="IPF.Appointment", parent=TOP),
}


def folder(call: EwsCall, element: etree._Element) -> Folder:
    """Return the folder that a FolderId or DistinguishedFolderId names. Raises SoapFault, Failed."""
    person = scopes.owner(call)
    printed = element.get("Id", "")
    if element.tag == f"{T}FolderId":
        owner, name = _named(printed)
        if owner != person.user_id:
            raise _unknown()
        return Folder(name=name, person=person)
    address = element.find(f"{T}Mailbox/{T}EmailAddress")
    if address is not None and (address.text or "").strip().lower() != person.address:
        raise Failed("ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    if printed not in _LOOKS:
        raise _unknown()
    return Folder(name=printed, person=person)


def folder_id(person: Person, name: str) -> str:
    """Return the id of one of a person's folders."""
    return _PREFIX + urlsafe_b64encode(f"{person.user_id}/{name}".encode()).decode()


def _named(printed: str) -> tuple[str, str]:
    try:
        owner, _, name = urlsafe_b64decode(printed.removeprefix(_PREFIX)).decode().partition("/")
    except (binascii.Error, ValueError):
        owner, name = "", ""
    if not printed.startswith(_PREFIX) or name not in _LOOKS:
        raise Failed("ErrorInvalidIdMalformed", "Id is malformed.")
    return owner, name


def _unknown() -> Failed:
    return Failed("ErrorFolderNotFound", "The specified folder could not be found in the store.")


def get_folder(call: EwsCall) -> bytes:
    """Answer GetFolder, each folder on its own. Raises SoapFault."""
    names = _names(reading.child(call.request, f"{M}FolderShape"))
    call.state.counts.select("EWS GetFolder", ",".join(names) or "IdOnly")
    return soap.response("GetFolder", _folders(call, names))


def _folders(call: EwsCall, names: tuple[str, ...]) -> Iterator[str]:
    for element in reading.child(call.request, f"{M}FolderIds"):
        try:
            found = folder(call, element)
        except Failed as failed:
            yield soap.failure("GetFolder", failed, "<m:Folders/>")
        else:
            yield soap.success("GetFolder", f"<m:Folders>{_folder_xml(call, found, names)}</m:Folders>")


def find_folder(call: EwsCall) -> bytes:
    """Answer FindFolder, with all levels below unless only the next is asked for. Raises SoapFault."""
    names = _names(reading.child(call.request, f"{M}FolderShape"))
    deep = call.request.get("Traversal", "") == "Deep"
    return soap.response("FindFolder", _found(call, names, deep=deep))


def _found(call: EwsCall, names: tuple[str, ...], *, deep: bool) -> Iterator[str]:
    for element in reading.child(call.request, f"{M}ParentFolderIds"):
        try:
            parent = folder(call, element)
        except Failed as failed:
            yield soap.failure("FindFolder", failed)
            continue
        below = [Folder(name=name, person=parent.person) for name in _below(parent.name, deep=deep)]
        shown = "".join(_folder_xml(call, each, names) for each in below)
        range_ = f'IndexedPagingOffset="{len(below)}" TotalItemsInView="{len(below)}" IncludesLastItemInRange="true"'
        folders = f"<t:Folders>{shown}</t:Folders>"
        yield soap.success("FindFolder", f"<m:RootFolder {range_}>{folders}</m:RootFolder>")


def _below(name: str, *, deep: bool) -> list[str]:
    children = [each for each, look in _LOOKS.items() if look.parent == name]
    return children + [more for each in children if deep for more in _below(each, deep=True)]


_DEFAULT = ("folder:DisplayName", "folder:ChildFolderCount")
_ALL = (
    "folder:ParentFolderId", "folder:FolderClass", *_DEFAULT, "folder:EffectiveRights", "folder:DistinguishedFolderId",
)  # fmt: skip


def _names(shape: etree._Element) -> tuple[str, ...]:
    base = reading.word(shape, f"{T}BaseShape")
    more = shape.find(f"{T}AdditionalProperties")
    fields = [] if more is None else [found.get("FieldURI", "") for found in more.findall(f"{T}FieldURI")]
    return (*{"Default": _DEFAULT, "AllProperties": _ALL}.get(base, ()), *fields)


def _folder_xml(call: EwsCall, found: Folder, names: tuple[str, ...]) -> str:
    look = _LOOKS[found.name]
    revision = call.state.book(call.tenant, found.person).revision
    written = {
        "folder:ParentFolderId": _parent(found),
        "folder:FolderClass": f"<t:FolderClass>{look.kind}</t:FolderClass>" if look.kind else "",
        "folder:DisplayName": f"<t:DisplayName>{text(look.shown)}</t:DisplayName>",
        "folder:ChildFolderCount": f"<t:ChildFolderCount>{len(_below(found.name, deep=False))}</t:ChildFolderCount>",
        "folder:EffectiveRights": _RIGHTS,
        "folder:DistinguishedFolderId": f"<t:DistinguishedFolderId>{found.name}</t:DistinguishedFolderId>",
    }
    own = f'<t:FolderId Id="{folder_id(found.person, found.name)}" ChangeKey="AgAAABYAAAA{revision:08d}"/>'
    shown = "".join(said for name, said in written.items() if name in names)
    return f"<t:{look.element}>{own}{shown}</t:{look.element}>"


def _parent(found: Folder) -> str:
    parent = _LOOKS[found.name].parent
    return f'<t:ParentFolderId Id="{folder_id(found.person, parent)}" ChangeKey="AQAAAA=="/>' if parent else ""


_REFUSED = ("CreateAssociated", "CreateContents", "CreateHierarchy", "Delete", "Modify")
_NONE = "".join(f"<t:{right}>false</t:{right}>" for right in _REFUSED)
_RIGHTS = f"<t:EffectiveRights>{_NONE}<t:Read>true</t:Read></t:EffectiveRights>"

OPERATIONS: Mapping[str, Operation] = {"GetFolder": get_folder, "FindFolder": find_folder}
