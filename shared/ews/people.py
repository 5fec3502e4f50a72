"""Reads from Exchange's answers who people, groups and rooms are, and which time zone a mailbox keeps.

Pure. An address is an SMTP address in lower case, or empty: Exchange's own kind of address is of no use to anyone.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from shared.ews.calendar_view import TRUE
from shared.ews.elements import Element, child, text, within
from shared.ews.errors import EwsError
from shared.ews.trouble import of_message, told

NOBODY: Final = "ErrorNameResolutionNoResults"
SEVERAL: Final = "ErrorNameResolutionMultipleResults"
_GROUPS: Final = frozenset({"PublicDL", "PrivateDL"})
_NO_OPTIONS: Final = frozenset({"ErrorItemNotFound"})  # the mailbox's owner never opened the web client


class Named(Struct, frozen=True, kw_only=True):
    """Someone in the directory. `kind` is Exchange's MailboxType: Mailbox, PublicDL, Contact, OneOff and others."""

    address: str
    name: str
    kind: str = ""


class Members(Struct, frozen=True, kw_only=True):
    """Who is in a group, one level deep; `groups` are the addresses of the groups in it."""

    people: tuple[Named, ...]
    groups: tuple[str, ...]
    complete: bool


def names(chunks: Iterable[bytes]) -> tuple[Named, ...]:
    """Return whom a name may mean: nobody is no error, nor are several. Raises EwsError."""
    found: list[Named] = []
    done = False
    for name, element in told(chunks, ("ResolveNamesResponseMessage",), items=("Resolution",)):
        if name == "Resolution":
            found.append(_named(child(element, "Mailbox")))
            continue
        done = True
        if (error := of_message(element, fine=frozenset({NOBODY, SEVERAL}))) is not None:
            raise error
    if not done:
        raise EwsError("malformed")
    return tuple(found)


def members(chunks: Iterable[bytes]) -> Members:
    """Return who is in a group. Raises EwsError, ErrorNameResolutionNoResults where there is no such group."""
    found: list[Named] = []
    complete, done = True, False
    for name, element in told(chunks, ("DLExpansion", "ExpandDLResponseMessage"), items=("Mailbox",)):
        if name == "Mailbox":
            found.append(_named(element))
        elif name == "DLExpansion":
            complete = element.get("IncludesLastItemInRange", "true") in TRUE
        else:
            done = True
            if (error := of_message(element)) is not None:
                raise error
    if not done:
        raise EwsError("malformed")
    groups = tuple(one.address for one in found if one.kind in _GROUPS and one.address)
    people = tuple(one for one in found if one.kind not in _GROUPS)
    return Members(people=people, groups=groups, complete=complete)


def room_lists(chunks: Iterable[bytes]) -> tuple[Named, ...]:
    """Return the room lists there are. Raises EwsError."""
    return _listed(chunks, "GetRoomListsResponse", "Address")


def rooms(chunks: Iterable[bytes]) -> tuple[Named, ...]:
    """Return the rooms of a room list. Raises EwsError, ErrorNameResolutionNoResults where there is no such list."""
    return _listed(chunks, "GetRoomsResponse", "Id")


def time_zone(chunks: Iterable[bytes]) -> str:
    """Return the name of the zone in a mailbox's options, "" where there are none. Raises EwsError."""
    zone = ""
    done = False
    wanted = ("DictionaryEntry", "GetUserConfigurationResponseMessage")
    for name, element in told(chunks, wanted):
        if name == "DictionaryEntry":
            if _entry(element, "DictionaryKey").lower() == "timezone":
                zone = _entry(element, "DictionaryValue")[:128]
            continue
        done = True
        if (error := of_message(element, fine=_NO_OPTIONS)) is not None:
            raise error
    if not done:
        raise EwsError("malformed")
    return zone


def _listed(chunks: Iterable[bytes], answer: str, item: str) -> tuple[Named, ...]:
    found: list[Named] = []
    done = False
    for name, element in told(chunks, (answer,), items=(item,)):
        if name == item:
            found.append(_named(element))
            continue
        done = True
        if (error := of_message(element)) is not None:
            raise error
    if not done:
        raise EwsError("malformed")
    return tuple(found)


def _named(mailbox: Element | None) -> Named:
    if mailbox is None:
        return Named(address="", name="")
    address = text(child(mailbox, "EmailAddress"))
    usable = "@" in address and not address.startswith("/") and len(address) <= 320
    return Named(
        address=address.lower() if usable else "",
        name=text(child(mailbox, "Name")),
        kind=text(child(mailbox, "MailboxType")),
    )


def _entry(entry: Element, name: str) -> str:
    """Return the first value of a dictionary's key or value."""
    return next((text(value) for held in within(entry, name) for value in within(held, "Value")), "")
