"""Reads the whole window of one mailbox. The reading is complete or it did not happen.

It refuses a page without its list, a link that repeats or points elsewhere, and a time it cannot place.
"""

from collections.abc import Iterable
from typing import Final

from services.fetcher import events, selection
from services.fetcher.events import Page, PageWithDetails
from shared.contracts.messages import RawEvent
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Window
from shared.graph import GraphClient, GraphError

MOST_PAGES: Final = 2000  # of one span: two million events are no calendar
_HEADERS: Final = {"Prefer": selection.PREFER}


async def whole_window(client: GraphClient, mailbox_id: str, *, window: Window, policy: Policy) -> tuple[RawEvent, ...]:
    """Return every event of the window, each once. Raises GraphError and IdentityError."""
    kind: type[Page | PageWithDetails] = PageWithDetails if policy.detail is Detail.DETAILS else Page
    found: list[RawEvent] = []
    for span in selection.spans(window):
        link: str | None = selection.first_page(mailbox_id, span, policy)
        followed: set[str] = set()
        while link is not None:
            page = await client.get(link, kind, headers=_HEADERS)
            found.extend(_kept(page, span, window))
            link = _next(page.next_link, followed)
    return tuple(_once(found))


def _kept(page: Page | PageWithDetails, span: Window, window: Window) -> Iterable[RawEvent]:
    try:
        parsed = [events.raw(event) for event in page.value]
    except (ValueError, OverflowError):
        raise GraphError(status=200, code="unexpected_time") from None
    if span == window:
        return parsed
    return [event for event in parsed if selection.belongs(event.start, span, window)]


def _next(link: str | None, followed: set[str]) -> str | None:
    if link is None:
        return None
    if link in followed or len(followed) >= MOST_PAGES:
        raise GraphError(status=200, code="link_loop")
    followed.add(link)
    return link


def _once(found: Iterable[RawEvent]) -> Iterable[RawEvent]:
    """Keep the last of events with one id: an event that moved while pages were read may stand on two of them."""
    kept: dict[str | int, RawEvent] = {}
    for place, event in enumerate(found):
        known = event.details.event_id if event.details is not None else ""
        kept[known or place] = event
    return kept.values()
