"""Edge: the tables of a replica, and how one update changes them. The caller holds the transaction.

Of a mailbox, every update up to its row's `position` is in it; `queued` is the last one that a queue brought, before
which some may be missing. A removed mailbox keeps a row without content until the log is read beyond it. An org's
`position` is that of its snapshot or of the word that it left; without one a snapshot is to be taken.
"""

import sqlite3
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from shared.client.applying import applied, whole
from shared.client.over_http import Entry
from shared.client.updates import Update
from shared.contracts.public import AvailabilityUpdated, MailboxRemoved, OrgRemoved

_SHAPE: Final = 1  # of the tables; a file of another shape is begun anew: it is a copy
_TABLES: Final = """
DROP TABLE IF EXISTS place; DROP TABLE IF EXISTS orgs; DROP TABLE IF EXISTS mailboxes; DROP TABLE IF EXISTS incoming;
CREATE TABLE place (position INTEGER NOT NULL);
CREATE TABLE orgs (org_id TEXT PRIMARY KEY, position INTEGER) WITHOUT ROWID;
CREATE TABLE mailboxes (org_id TEXT, mailbox_id TEXT, address TEXT, position INTEGER NOT NULL, queued INTEGER NOT NULL,
  held BLOB, PRIMARY KEY (org_id, mailbox_id)) WITHOUT ROWID;
CREATE INDEX mailboxes_by_id ON mailboxes (mailbox_id);
CREATE INDEX mailboxes_by_address ON mailboxes (address);
CREATE TABLE incoming (org_id TEXT, mailbox_id TEXT, address TEXT, position INTEGER NOT NULL, queued INTEGER NOT NULL,
  held BLOB, PRIMARY KEY (org_id, mailbox_id)) WITHOUT ROWID;
"""
_ENCODER: Final = msgspec.json.Encoder()
_HELD: Final = msgspec.json.Decoder(AvailabilityUpdated)


def prepare(base: sqlite3.Connection) -> None:
    """Make the tables exist; what is deleted is overwritten, for it may be somebody's address."""
    base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON")
    if base.execute("PRAGMA user_version").fetchone() != (_SHAPE,):
        base.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={_SHAPE}; COMMIT")


def held_of(row: tuple[Any, ...]) -> AvailabilityUpdated:
    """Return what a row's column `held`, alone in it, says."""
    return _HELD.decode(row[0])


def lay_aside(base: sqlite3.Connection, org_id: str, entries: Iterable[Entry]) -> None:
    """Keep a page of an org's snapshot, to be shown with the last one."""
    rows = [
        (org_id, each.held.mailbox_id, each.held.mailbox.lower(), each.position, 0, _ENCODER.encode(each.held))
        for each in entries
    ]
    base.executemany("INSERT OR REPLACE INTO incoming VALUES (?, ?, ?, ?, ?, ?)", rows)


def begin(base: sqlite3.Connection, org_id: str, position: int) -> None:
    """Let what was laid aside be what is known of an org."""
    drop(base, org_id)
    base.execute("INSERT INTO mailboxes SELECT * FROM incoming WHERE org_id = ?", (org_id,))
    base.execute("DELETE FROM incoming")
    base.execute("INSERT OR REPLACE INTO orgs VALUES (?, ?)", (org_id, position))


def drop(base: sqlite3.Connection, org_id: str) -> None:
    """Drop every mailbox of an org."""
    base.execute("DELETE FROM mailboxes WHERE org_id = ?", (org_id,))


def forget(base: sqlite3.Connection, org_id: str) -> None:
    """Drop what is held of an org, and note that it was there: if it comes back, a snapshot is to be taken."""
    drop(base, org_id)
    base.execute("UPDATE orgs SET position = NULL WHERE org_id = ?", (org_id,))


def advance(base: sqlite3.Connection, position: int) -> None:
    """Note that nothing up to a position is missing."""
    base.execute("DELETE FROM mailboxes WHERE held IS NULL AND position <= ?", (position,))
    base.execute("DELETE FROM place")
    base.execute("INSERT INTO place VALUES (?)", (position,))


def take(base: sqlite3.Connection, update: Update, *, queued: bool) -> bool | None:
    """Apply one update and say so: False for a repetition, None for an org that is not followed.

    `queued`: a queue brought it, and earlier ones may be missing.
    """
    floor = base.execute("SELECT position FROM orgs WHERE org_id = ?", (update.org_id,)).fetchone()
    if floor in (None, (None,)):
        return None
    place = base.execute("SELECT position FROM place").fetchone() or (0,)
    key = (update.org_id, update.mailbox_id)
    query = "SELECT position, queued, held FROM mailboxes WHERE org_id = ? AND mailbox_id = ?"
    row = base.execute(query, key).fetchone() or (0, 0, None)
    if update.position <= max(*floor, *place, row[0], row[1] if queued else 0):
        return False
    if isinstance(update.data, OrgRemoved):
        drop(base, update.org_id)
        base.execute("UPDATE orgs SET position = ? WHERE org_id = ?", (update.position, update.org_id))
    else:
        values = _after(row, update.position, update.data, queued=queued)
        base.execute("INSERT OR REPLACE INTO mailboxes VALUES (?, ?, ?, ?, ?, ?)", (*key, *values))
    return True


def _after(
    row: tuple[int, int, bytes | None], position: int, data: AvailabilityUpdated | MailboxRemoved, *, queued: bool
) -> tuple[str | None, int, int, bytes | None]:
    """Return address, position, queued and held of a mailbox's row after an update."""
    if isinstance(data, MailboxRemoved):
        return None, position, 0, None
    held = applied(None if row[2] is None else _HELD.decode(row[2]), data)
    complete = not queued or whole(data)
    return (
        data.mailbox.lower(),
        position if complete else row[0],
        position if queued else row[1],
        _ENCODER.encode(held),
    )
