"""A local copy of availability in one SQLite file or in memory: state and position change in one transaction.

It refuses to take for free what it does not know: a mailbox of unknown coverage, time outside the window, an org whose
snapshot is not there yet. It blocks; `following` calls it in threads.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from shared.client import rows
from shared.client.applying import clipped
from shared.client.errors import Unknown
from shared.client.over_http import Entry
from shared.client.updates import Update
from shared.contracts.public import AvailabilityUpdated, BusyBlock
from shared.contracts.values import Coverage, Status


class Busy(Struct, frozen=True):
    """One half-open interval [start, end) of one status, in UTC."""

    start: datetime
    end: datetime
    status: Status


@dataclass
class Stats:
    """What following came to since the replica was opened.

    `gaps` counts updates that the queue had lost and that were found over HTTP, and positions that were forgotten, so
    that a snapshot was taken; `connected` says whether updates come at present.
    """

    applied: int = 0
    duplicates: int = 0
    gaps: int = 0
    snapshots: int = 0
    connections: int = 0
    connected: bool = False


class Replica:
    """What is known of every mailbox, and the position in the update log up to which nothing is missing."""

    def __init__(self, path: str | Path = ":memory:") -> None:
        """Open the copy, or begin one. One process follows; others may open the same file to ask."""
        self.stats = Stats()
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        rows.prepare(self._base)

    def __enter__(self) -> Self:
        """Give the replica itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file, once what is being written is."""
        with self._lock:
            self._base.close()

    # -- questions ----------------------------------------------------------------------------------------------

    def busy(self, mailbox: str, start: datetime, end: datetime, *, org: str = "") -> tuple[Busy, ...]:
        """Return when somebody is busy in [start, end); nothing there means free. `mailbox`: its address or its id.

        Takes datetimes with a zone. Raises Unknown where coverage is unknown or the time reaches beyond the window, and
        ValueError for a datetime without a zone or a span without time.
        """
        first, last = _moment(start), _moment(end, up=True)
        if last <= first:
            raise ValueError("a span ends after it starts")
        held = self.mailbox(mailbox, org=org)
        if held is None:
            raise Unknown("mailbox_unknown" if self.orgs() else "not_begun")
        if held.coverage is not Coverage.FULL:
            raise Unknown(held.reason or "unknown")
        if first < held.window.start or held.window.end < last:
            raise Unknown("outside_window", held.window)
        return tuple(_busy(block) for block in clipped(held.busy, first, last))

    def mailbox(self, mailbox: str, *, org: str = "") -> AvailabilityUpdated | None:
        """Return all that is known of a mailbox, by address or id; of two with one address the latest read counts."""
        query = "SELECT held FROM mailboxes WHERE held IS NOT NULL AND (mailbox_id = ? OR address = ?)"
        found = self._rows(
            query + (" AND org_id = ?" if org else ""), mailbox, mailbox.lower(), *([org] if org else [])
        )
        return max(map(rows.held_of, found), key=lambda held: held.as_of, default=None)

    def mailboxes(self) -> tuple[AvailabilityUpdated, ...]:
        """Return all that is known of every mailbox, by org and id."""
        query = "SELECT held FROM mailboxes WHERE held IS NOT NULL ORDER BY org_id, mailbox_id"
        return tuple(map(rows.held_of, self._rows(query)))

    def orgs(self) -> tuple[str, ...]:
        """Return the orgs that are followed: their snapshots were taken."""
        return tuple(row[0] for row in self._rows("SELECT org_id FROM orgs WHERE position IS NOT NULL ORDER BY org_id"))

    def left(self) -> tuple[str, ...]:
        """Return the orgs that were followed and may not be seen any more."""
        return tuple(row[0] for row in self._rows("SELECT org_id FROM orgs WHERE position IS NULL ORDER BY org_id"))

    @property
    def position(self) -> int | None:
        """The position up to which nothing is missing; None where no snapshot was taken yet."""
        return next((int(row[0]) for row in self._rows("SELECT position FROM place")), None)

    # -- following ----------------------------------------------------------------------------------------------

    def keep_only(self, orgs: Iterable[str]) -> None:
        """Drop what is held of other orgs, and what of a snapshot was not finished."""
        others = {*self.orgs(), *self.left()} - set(orgs)
        with self._written(scrub=bool(others)) as base:
            base.execute("DELETE FROM incoming")
            for org_id in others:
                rows.drop(base, org_id)
                base.execute("DELETE FROM orgs WHERE org_id = ?", (org_id,))

    def lay_aside(self, org_id: str, entries: Iterable[Entry]) -> None:
        """Keep a page of an org's snapshot, to be shown with the last one."""
        with self._written() as base:
            rows.lay_aside(base, org_id, entries)

    def begin(self, org_id: str, position: int) -> None:
        """Let the snapshot laid aside be what is known of an org; whatever it does not name is gone."""
        with self._written(scrub=True) as base:
            rows.begin(base, org_id, position)
        self.stats.snapshots += 1

    def go_on_from(self, position: int) -> None:
        """Note where to go on, once every org's snapshot is there."""
        with self._written() as base:
            rows.advance(base, position)

    def told(self, updates: Iterable[Update], position: int | None) -> None:
        """Apply what was told in order and without gaps, up to a position."""
        updates = tuple(updates)
        with self._written(scrub=_removes(updates)) as base:
            outcomes = [rows.take(base, update, queued=False) for update in updates]
            if position is not None:
                rows.advance(base, position)
        self._count(outcomes)

    def brought(self, updates: Iterable[Update]) -> None:
        """Apply what a queue brought, in order, of which some may be missing; the position stays."""
        updates = tuple(updates)
        with self._written(scrub=_removes(updates)) as base:
            outcomes = [rows.take(base, update, queued=True) for update in updates]
        self._count(outcomes)

    def forget(self, org_id: str) -> None:
        """Drop what is held of an org that may not be seen any more; it may come back."""
        with self._written(scrub=True) as base:
            rows.forget(base, org_id)

    def _count(self, outcomes: Iterable[bool | None]) -> None:
        outcomes = tuple(outcomes)
        self.stats.applied += outcomes.count(True)
        self.stats.duplicates += outcomes.count(False)

    @contextmanager
    def _written(self, *, scrub: bool = False) -> Iterator[sqlite3.Connection]:
        """Give one transaction. `scrub`: what it deletes is not to stay in the log beside the file either."""
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")
            if scrub:
                self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._base.execute(query, values).fetchall()


def _removes(updates: Iterable[Update]) -> bool:
    return not all(isinstance(update.data, AvailabilityUpdated) for update in updates)


def _moment(at: datetime, *, up: bool = False) -> str:
    """Return a datetime as moments are written, rounded down, or up, to the second. Raises ValueError without zone."""
    if at.tzinfo is None:
        raise ValueError("a datetime with a zone is needed")
    whole = at.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    if up and at.microsecond:
        whole += timedelta(seconds=1)
    return f"{whole.isoformat()}Z"


def _busy(block: BusyBlock) -> Busy:
    return Busy(datetime.fromisoformat(block.start), datetime.fromisoformat(block.end), block.status)
