"""Reads subscriptions and what is heard of them: a streamed answer is many SOAP answers, one after the other.

Pure. An event is told by the id of its subscription alone: what happened is never data, only a reason to read.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct

from shared.ews.elements import Element, child, text, within
from shared.ews.errors import EwsError
from shared.ews.trouble import of_message, told

MOST: Final = 4 * 2**20  # bytes of one answer in a stream; 200 events are some 100 kB
_END: Final = re.compile(rb"</(?:[A-Za-z_][\w.-]{0,63}:)?Envelope\s{0,16}>")
_TAIL: Final = 128  # bytes that an end tag cut in two may need
_NO_EVENT: Final = frozenset({"SubscriptionId", "PreviousWatermark", "MoreEvents", "StatusEvent"})


class Ended(Struct, frozen=True, kw_only=True):
    """How a streaming connection came to its end.

    `closed` says that the server closed it as agreed; `lost` are subscriptions that it no longer knows, with `code`.
    """

    closed: bool
    code: str = ""
    lost: tuple[str, ...] = ()


def subscription(chunks: Iterable[bytes]) -> str:
    """Return the id of a new subscription. Raises EwsError."""
    found = ""
    for name, element in told(chunks, ("SubscribeResponseMessage",)):
        error = of_message(element)
        if error is not None:
            raise error
        found = text(child(element, "SubscriptionId")) if name else ""
    if not found:
        raise EwsError("malformed")
    return found


def heard(chunks: Iterable[bytes], tell: Callable[[str], None]) -> Ended:
    """Call `tell` with a subscription's id for every event as it arrives, until the connection ends.

    `tell` is called in the thread that reads. A subscription that the server does not know ends all, and is named in
    what is returned. Raises EwsError for every other error, `truncated` where an answer breaks off.
    """
    any_ = False
    for document in _documents(chunks):
        any_ = True
        ended = _told(document, tell)
        if ended is not None:
            return ended
    if not any_:
        raise EwsError("not_xml")
    return Ended(closed=False)


def _told(document: bytes, tell: Callable[[str], None]) -> Ended | None:
    """Tell the events of one answer; return how the connection ends, None while it goes on."""
    answered, closed = False, False
    for _, message in told((document,), ("GetStreamingEventsResponseMessage",)):
        answered = True
        error = of_message(message)
        if error is not None:
            lost = tuple(text(one) for kept in within(message, "ErrorSubscriptionIds") for one in kept)
            if not lost:
                raise error
            return Ended(closed=False, code=error.code, lost=lost)
        for notification in within(message, "Notification"):
            _tell(notification, tell)
        closed = closed or text(child(message, "ConnectionStatus")) == "Closed"
    if not answered:
        raise EwsError("malformed")
    return Ended(closed=True) if closed else None


def _tell(notification: Element, tell: Callable[[str], None]) -> None:
    known = text(child(notification, "SubscriptionId"))
    if known and any(_is_event(one) for one in notification):
        tell(known)


def _is_event(element: Element) -> bool:
    name = str(element.tag).rpartition("}")[2]
    return name.endswith("Event") and name not in _NO_EVENT


def _documents(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each SOAP answer of a stream as soon as its end has come. Raises EwsError for one that never ends."""
    held = bytearray()
    searched = 0
    for chunk in chunks:
        held += chunk
        while (end := _END.search(held, searched)) is not None:
            yield bytes(held[: end.end()])
            del held[: end.end()]
            searched = 0
        searched = max(0, len(held) - _TAIL)
        if len(held) > MOST:
            raise EwsError("too_large")
    if held.strip(b"\xef\xbb\xbf \t\r\n\x00"):
        raise EwsError("truncated")
