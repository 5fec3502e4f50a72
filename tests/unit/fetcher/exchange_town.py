"""An Exchange server without a network: calendars in memory, answers as values, limits and errors as real ones have."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from shared.contracts.messages import RawDetails, RawEvent
from shared.contracts.values import DAY, Window, WorkPeriod
from shared.ews.availability import Answered
from shared.ews.calendar_view import ItemDetails, View
from shared.ews.changes import Changes
from shared.ews.envelopes import Envelope
from shared.ews.errors import EwsError
from shared.ews.time_zone import ZoneRules

T = TypeVar("T")
_MOMENT = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z?"


def event(start: int, end: int, name: str, **fields: Any) -> RawEvent:
    """Return an event as a calendar view gives it."""
    details = RawDetails(name, f"subject of {name}", "", (), f"place of {name}", "", "")
    return RawEvent(start, end, **({"show_as": "busy", "details": details} | fields))


class Exchange:
    """Stands where a Server stands. `books` holds each mailbox's events; what it was asked is kept."""

    def __init__(self) -> None:
        self.books: dict[str, list[RawEvent]] = {}
        self.failing: dict[str, EwsError] = {}
        self.days = 62
        self.tells_limit = True
        self.entries = 1000
        self.together = 100
        self.items = 1000
        self.asked: list[Envelope] = []
        self.states: dict[str, int] = {}
        self.page = 512
        self.lacks: frozenset[str] = frozenset()
        self.vanished: set[str] = set()
        self.zone: ZoneRules | None = None
        self.work: tuple[WorkPeriod, ...] = ()

    @property
    def operations(self) -> Counter[str]:
        """Return how often each operation was asked for."""
        return Counter(envelope.operation for envelope in self.asked)

    async def ask(self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T]) -> T:
        """Answer by the operation; `decode` has no bytes to decode here."""
        assert callable(decode)
        self.asked.append(envelope)
        if envelope.operation in self.lacks:
            raise EwsError("ErrorInvalidRequest", status=500, charged=envelope.charged)
        if envelope.mailbox in self.failing:
            raise self.failing[envelope.mailbox].again()
        answers: dict[str, Callable[[Envelope], Any]] = {
            "GetUserAvailability": self._availability,
            "FindItem": self._view,
            "GetItem": self._items,
            "SyncFolderItems": self._changes,
        }
        answer: T = answers[envelope.operation](envelope)
        return answer

    def _availability(self, envelope: Envelope) -> tuple[Answered, ...]:
        text = envelope.body.decode()
        start, end = (_instant(found) for found in re.findall(f"Time>{_MOMENT}</t:(?:Start|End)Time>", text))
        addresses = re.findall(r"<t:Address>([^<]+)</t:Address>", text)
        if len(addresses) > self.together:
            raise EwsError("ErrorIndividualMailboxLimitReached")
        if end - start > self.days * DAY:
            raise EwsError("ErrorTimeIntervalTooBig", value=str(self.days) if self.tells_limit else "")
        assert end - start >= DAY, "ErrorInvalidTimeInterval"
        return tuple(self._one(address, Window(start, end)) for address in addresses)

    def _one(self, address: str, window: Window) -> Answered:
        if address in self.failing:
            return Answered(events=(), error=self.failing[address].again(), zone=None)
        found = tuple(
            RawEvent(each.start, each.end, each.show_as)
            for each in self.books.get(address, [])
            if each.start < window.end and each.end > window.start
        )
        if len(found) > self.entries:
            return Answered(events=(), error=EwsError("ErrorResultSetTooBig"), zone=None)
        return Answered(events=found, error=None, zone=self.zone, work=self.work)

    def _view(self, envelope: Envelope) -> View:
        text = envelope.body.decode()
        start, end = (_instant(found) for found in re.findall(f'(?:Start|End)Date="{_MOMENT}"', text))
        most = int(re.findall(r'MaxEntriesReturned="(\d+)"', text)[0])
        found = [each for each in self.books[envelope.mailbox] if each.start < end and each.end >= start]
        kept = sorted(found, key=lambda each: each.start)[: min(most, self.items)]
        return View(events=tuple(kept), complete=len(kept) == len(found))

    def _items(self, envelope: Envelope) -> dict[str, ItemDetails | EwsError]:
        names = re.findall(r'<t:ItemId Id="([^"]+)"', envelope.body.decode())
        return {
            name: EwsError("ErrorItemNotFound")
            if name in self.vanished
            else ItemDetails(
                organizer=f"{name}@example.org", attendees=(f"guest of {name}",), preview=f"text of {name}", join_url=""
            )
            for name in names
        }

    def _changes(self, envelope: Envelope) -> Changes:
        given = re.findall(r"<m:SyncState>([^<]*)</m:SyncState>", envelope.body.decode())
        now = self.states.get(envelope.mailbox, 0)
        before = -len(self.books[envelope.mailbox]) if not given or not given[0] else int(given[0])
        if before > now:
            raise EwsError("ErrorInvalidSyncStateData", charged="mailbox")
        reached = min(now, before + self.page)
        return Changes(state=str(reached), count=reached - before, complete=reached == now)


def _instant(printed: str) -> int:
    return int(datetime.fromisoformat(printed).replace(tzinfo=UTC).timestamp())
