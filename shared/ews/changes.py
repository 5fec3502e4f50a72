"""Reads from the answer to SyncFolderItems how many items changed, and from where to ask the next time.

Pure. Which items they are is not kept: that something changed is a reason to read, and never data.
"""

from collections.abc import Iterable

from msgspec import Struct

from shared.ews.calendar_view import TRUE
from shared.ews.elements import Element, local, text
from shared.ews.errors import EwsError
from shared.ews.trouble import of_message, told

_KINDS = ("Create", "Update", "Delete")
_MESSAGE = "SyncFolderItemsResponseMessage"
_STATE = 512 * 1024  # characters; states are some hundred bytes to some kB


class Changes(Struct, frozen=True, kw_only=True):
    """How many items changed; `complete` is False where more changes wait behind `state`."""

    state: str
    count: int
    complete: bool


def changes(chunks: Iterable[bytes]) -> Changes:
    """Return what changed since the state that was asked with. Raises EwsError."""
    count = 0
    state, complete, done = "", True, False
    for name, element in told(chunks, ("SyncState", "IncludesLastItemInRange", _MESSAGE), items=_KINDS):
        if name in _KINDS:
            count += _is_change(element)
        elif name == "SyncState":
            state = _state(element)
        elif name == "IncludesLastItemInRange":
            complete = text(element) in TRUE
        else:
            done = True
            if (error := of_message(element)) is not None:
                raise error
    if not done or not state:
        raise EwsError("malformed")
    return Changes(state=state, count=count, complete=complete)


def _is_change(element: Element) -> bool:
    """Tell a change from a right to make one: an item's rights name their elements alike."""
    parent = element.getparent()
    return parent is not None and local(parent.tag) == "Changes" and len(element) > 0


def _state(element: Element) -> str:
    state = (element.text or "").strip()
    if len(state) > _STATE:
        raise EwsError("too_large")
    return state
