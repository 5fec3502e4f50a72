"""Answers SyncFolderItems: what was created, changed or deleted in a calendar since a state, series as their masters.

A state is opaque to clients and good for the mailbox it was given for; any other is refused.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from heapq import nsmallest

import msgspec
from lxml import etree
from msgspec import Struct
from msgspec.structs import replace

from deploy.sandbox.calendar.values import Item
from deploy.sandbox.calendars import Book, centuries
from deploy.sandbox.directory import Person
from deploy.sandbox.ews import folders, item_printing, items, reading, soap
from deploy.sandbox.ews.call import EwsCall, Failed, Operation
from deploy.sandbox.ews.item_printing import Shape, item_xml
from deploy.sandbox.ews.soap import M
from deploy.sandbox.rendering import IMMUTABLE_ID, View, event_id
from shared.contracts.values import DAY, Window

MOST = 512  # changes a call gives
_AROUND = 5 * 365 * DAY  # a calendar's centuries are those that lie so near
_VIEW = View(prefix=IMMUTABLE_ID)


class _State(Struct, frozen=True, kw_only=True):
    """How far a calendar was followed: up to a revision; while it is listed for the first time, `after` which id."""

    user_id: str
    revision: int
    after: str | None = None


class _Step(Struct, frozen=True, kw_only=True):
    """One page of changes, (kind, id of an item or a series), and the state after it."""

    state: _State
    complete: bool
    changes: list[tuple[str, str]]


def sync_folder_items(call: EwsCall) -> bytes:
    """Answer SyncFolderItems. Raises SoapFault, Failed."""
    asked = reading.child(call.request, f"{M}ItemShape")
    call.state.counts.select("EWS SyncFolderItems", item_printing.asked(asked))
    shape = item_printing.shape(asked, whole=False)
    element = next(iter(reading.child(call.request, f"{M}SyncFolderId")), None)
    if element is None:
        raise soap.violation("The folder is missing.")
    folder = folders.folder(call, element)
    if folder.name != folders.CALENDAR:
        raise Failed("ErrorFolderNotFound", "The specified folder could not be found in the store.")
    state = _read(call.state.book(call.tenant, folder.person), folder.person, call.request.find(f"{M}SyncState"))
    most = reading.number(reading.word(call.request, f"{M}MaxChangesReturned"))
    if not 1 <= most <= MOST:
        raise soap.violation(f"MaxChangesReturned is not between 1 and {MOST}.")
    return soap.response("SyncFolderItems", [_answer(call, folder.person, shape, state=state, most=most)])


def _answer(call: EwsCall, person: Person, shape: Shape, *, state: _State, most: int) -> str:
    book = call.state.book(call.tenant, person)
    now = call.state.clock()
    around = centuries(Window(now - _AROUND, now + _AROUND))
    step = _listing(book, around, state, most) if state.after is not None else _following(book, around, state, most)
    written = "".join([_change(call, person, kind, thing, shape=shape) for kind, thing in step.changes])
    return soap.success(
        "SyncFolderItems",
        f"<m:SyncState>{b64encode(msgspec.json.encode(step.state)).decode()}</m:SyncState>"
        f"<m:IncludesLastItemInRange>{str(step.complete).lower()}</m:IncludesLastItemInRange>"
        f"<m:Changes>{written}</m:Changes>",
    )


def _read(book: Book, person: Person, element: etree._Element | None) -> _State:
    """Return the state a client gives back; the first of all where it gives none. Raises Failed."""
    said = "" if element is None else (element.text or "").strip()
    if not said:
        return _State(user_id=person.user_id, revision=book.revision, after="")
    try:
        state = msgspec.json.decode(b64decode(said, validate=True), type=_State)
    except (binascii.Error, msgspec.DecodeError):
        state = None
    if state is None or state.user_id != person.user_id or state.revision > book.revision:
        raise Failed("ErrorInvalidSyncStateData", "The synchronization state is corrupt or of another folder.")
    return state


def _listing(book: Book, around: Window, state: _State, most: int) -> _Step:
    """Return the next of all items; what changes while they are listed is told by the call after the last of them."""
    things = {item.series_id or item.item_id for item in book.known(around, private=False)}
    page = nsmallest(most + 1, (thing for thing in things if thing > (state.after or "")))
    complete, page = len(page) <= most, page[:most]
    after = None if complete else page[-1]
    return _Step(state=replace(state, after=after), complete=complete, changes=[("Create", thing) for thing in page])


def _following(book: Book, around: Window, state: _State, most: int) -> _Step:
    """Return what was touched since a revision, the latest change of each item last."""
    since = state.revision
    touched = nsmallest(most + 1, ((last, item_id) for item_id, (_, last) in book.touched.items() if last > since))
    complete, touched = len(touched) <= most, touched[:most]
    source = {item.item_id: item.series_id for item in book.source(around, False)} if touched else {}  # noqa: FBT003 -- one signature for every source
    told = (_told(book, source, item_id, since) for _, item_id in touched)
    changes = {thing: kind for kind, thing in told if kind}
    revision = book.revision if complete else touched[-1][0]
    return _Step(
        state=replace(state, revision=revision),
        complete=complete,
        changes=[(kind, thing) for thing, kind in changes.items()],
    )


def _told(book: Book, source: Mapping[str, str | None], item_id: str, since: int) -> tuple[str, str]:
    """Return what is told of an item that was touched, and under which id; no kind where it came and went."""
    put = book.put.get(item_id)
    series = source.get(item_id) if put is None else put.series_id
    if series is not None:
        return "Update", series
    new = item_id not in source and book.touched[item_id][0] > since
    if put is None:
        return "" if new else "Delete", item_id
    return "Create" if new else "Update", item_id


def _change(call: EwsCall, person: Person, kind: str, thing: str, *, shape: Shape) -> str:
    if kind == "Delete":
        return f'<t:Delete><t:ItemId Id="{event_id(thing, _VIEW)}"/></t:Delete>'
    item = Item(item_id=thing, start=0, end=0)
    if shape.names:
        with suppress(Failed):  # a change of what is there no more
            item = items.item_of(call, person, event_id(thing, _VIEW))
    return f"<t:{kind}>{item_xml(item, items.view_of(call, person), shape)}</t:{kind}>"


OPERATIONS: Mapping[str, Operation] = {"SyncFolderItems": sync_folder_items}
