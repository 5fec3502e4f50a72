"""Edge: one mailbox's calendar with its details, whole or not at all; and whether anything in it changed.

It refuses a view that may be cut short, and asks for nothing of what is private beyond its times.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from services.fetcher.exchange_asks import Asks
from services.fetcher.exchange_batches import Events
from services.fetcher.exchange_fate import PAUSES, brief
from services.fetcher.exchange_spans import SHORTEST_VIEW, VIEW_DAYS, halves, spans
from services.fetcher.failure import TOO_LARGE
from shared.contracts.messages import RawDetails, RawEvent
from shared.contracts.policy import Policy
from shared.contracts.values import Window
from shared.ews import changes as following
from shared.ews.calendar_view import ItemDetails, details, view
from shared.ews.envelopes import calendar_view, item_details, sync_items
from shared.ews.errors import EwsError

MOST: Final = 1000  # items in one view: the server's own limit (EWSFindCountLimit)
TOGETHER: Final = 50  # items in one GetItem: budgets are checked after each item, so that small batches fare better
MOST_PAGES: Final = 2000  # of changes: a million items are no calendar
MEANWHILE: Final = "changed_meanwhile"  # our own code: an item vanished while it was read
_SHOWN: Final = frozenset({"normal", "personal"})
_GONE: Final = "ErrorItemNotFound"
_BEGIN_ANEW: Final = "ErrorInvalidSyncStateData"


async def read_details(server: Asks, address: str, window: Window, *, policy: Policy) -> Events:
    """Return every event of the window that counts, each once, with its details unless it is private.

    Raises EwsError.
    """
    found: dict[str, Events] = {}
    for span in spans(window, VIEW_DAYS):
        found |= await _viewed(server, address, span)
    found = {item_id: tuple(event for event in events if _counts(event, policy)) for item_id, events in found.items()}
    shown = [item_id for item_id, events in found.items() if any(event.sensitivity in _SHOWN for event in events)]
    for start in range(0, len(shown), TOGETHER):
        part = shown[start : start + TOGETHER]
        answers = await _looked_up(server, address, part, conferencing=policy.conferencing)
        found |= {item_id: tuple(_detailed(each, item_id, answers) for each in found[item_id]) for item_id in part}
    return tuple(_bare(event) for events in found.values() for event in events)


async def _looked_up(
    server: Asks, address: str, item_ids: Sequence[str], *, conferencing: bool
) -> Mapping[str, ItemDetails | EwsError]:
    """Return what GetItem says of items; those for which the server was too busy are asked for again, a few times."""
    found: dict[str, ItemDetails | EwsError] = {}
    for _ in range(PAUSES + 1):
        left = [item_id for item_id in item_ids if not isinstance(found.get(item_id), ItemDetails)]
        asked = item_details(address, left, conferencing=conferencing)
        answers = await server.ask(asked, partial(details, asked=left))
        found |= answers
        pauses = [brief(answer) for answer in answers.values() if isinstance(answer, EwsError)]
        if all(after is None for after in pauses):
            break
        await asyncio.sleep(max(after for after in pauses if after is not None))
    return found


async def _viewed(server: Asks, address: str, span: Window) -> dict[str, Events]:
    """Return the events of a span by their ids; a view that is full may be cut, and is asked for again in halves.

    Exchange gives every instance of a series an id of its own; where a server does not, no instance is lost for it.
    """
    seen = await server.ask(calendar_view(address, span, details=True, most=MOST), view)
    if seen.complete and len(seen.events) < MOST:
        found: dict[str, Events] = {}
        for event in seen.events:
            found[_id(event)] = (*found.get(_id(event), ()), event)
        return found
    parts = halves(span, SHORTEST_VIEW)
    if parts is None:
        raise EwsError(TOO_LARGE, charged="mailbox")
    return await _viewed(server, address, parts[0]) | await _viewed(server, address, parts[1])


def _counts(event: RawEvent, policy: Policy) -> bool:
    """Say whether an event may be published at all: nothing more is asked of one that takes no time."""
    if event.cancelled or event.response == "declined" or event.end <= event.start:
        return False
    return policy.show_free or event.show_as != "free"


def _id(event: RawEvent) -> str:
    if event.details is None or not event.details.event_id:
        raise EwsError("malformed", charged="mailbox")
    return event.details.event_id


def _detailed(event: RawEvent, item_id: str, answers: Mapping[str, ItemDetails | EwsError]) -> RawEvent:
    """Return an event with what GetItem said of it. Raises EwsError, also where it is there no more."""
    more = answers.get(item_id) or EwsError("malformed", charged="mailbox")
    if isinstance(more, EwsError):
        raise EwsError(MEANWHILE if more.code == _GONE else more.code, back_off=more.back_off, charged="mailbox")
    known = event.details
    if known is None:
        raise EwsError("malformed", charged="mailbox")
    return replace(
        event,
        details=RawDetails(
            event_id=item_id,
            subject=known.subject,
            organizer=more.organizer,
            attendees=more.attendees,
            location=known.location,
            preview=more.preview,
            join_url=more.join_url,
        ),
    )


def _bare(event: RawEvent) -> RawEvent:
    """Return a private event without what the view said of it: its subject shall not even reach the broker."""
    return event if event.sensitivity in _SHOWN else replace(event, details=None)


async def followed(server: Asks, address: str, state: str) -> tuple[str, bool]:
    """Return how far the calendar's changes are known now, and whether there were any since `state`.

    From "" every item is a change. A state that the server no longer knows begins anew. Raises EwsError.
    """
    changed = anew = not state
    for _ in range(MOST_PAGES):
        try:
            found = await server.ask(sync_items(address, state), following.changes)
        except EwsError as error:
            if error.code != _BEGIN_ANEW or anew:  # a state that the server has just given it must know
                raise
            state, changed, anew = "", True, True
            continue
        changed = changed or found.count > 0
        if found.complete:
            return found.state, changed
        if found.state == state:
            raise EwsError("malformed", charged="mailbox")
        state = found.state
    raise EwsError(TOO_LARGE, charged="mailbox")


def lacks_following(code: str) -> bool:
    """Say whether a server's refusal means that it does not know SyncFolderItems, rather than trouble that passes."""
    return code in _LACKING


_LACKING: Final[Sequence[str]] = (
    "ErrorInvalidRequest",
    "ErrorSchemaValidation",
    "ErrorInvalidOperation",
    "ErrorUnsupportedMethod",
    "ErrorInvalidSyncStateData",  # of a state that the server has just given
    "fault",
    "malformed",
    "http_error",
)
