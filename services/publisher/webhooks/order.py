"""Decides what of the log is delivered next and beside what: in order within a mailbox, mailboxes beside each other.

The word that an org left comes alone: after all that was told of it before, and before all that follows. Nothing is put
aside without a place that it waits at.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

WHOLE_ORG = ""  # in the place of a mailbox's id


class Key(NamedTuple):
    """Whose updates are kept in order: a mailbox's, or the org's own."""

    org_id: str
    mailbox_id: str


class Ahead(Struct, frozen=True, kw_only=True):
    """An update ahead of a webhook's cursor, of a mailbox that does not wait; `org_waits`: its org's last word does."""

    position: int
    org_id: str
    mailbox_id: str
    org_waits: bool = False

    @property
    def key(self) -> Key:
        """Return whose it is."""
        return Key(self.org_id, self.mailbox_id)


class Laid(Struct, frozen=True, kw_only=True):
    """Positions to deliver, in order for each key; where others begin to wait; how far the cursor comes with both."""

    lanes: dict[Key, tuple[int, ...]]
    behind: dict[Key, int]
    reached: int


def laid_out(rows: Sequence[Ahead], *, reached: int, idle: bool) -> Laid | None:
    """Return what to do with the next rows of the log, in order of position, that end at `reached`.

    None where an org's last word is next and deliveries are still under way (not `idle`): it comes alone.
    """
    if rows and rows[0].mailbox_id == WHOLE_ORG:
        first = rows[0]
        return Laid(lanes={first.key: (first.position,)}, behind={}, reached=first.position) if idle else None
    lanes: dict[Key, tuple[int, ...]] = {}
    behind: dict[Key, int] = {}
    for row in rows:
        if row.mailbox_id == WHOLE_ORG:
            return Laid(lanes=lanes, behind=behind, reached=row.position - 1)
        if row.org_waits:
            behind.setdefault(row.key, row.position)
        else:
            lanes[row.key] = (*lanes.get(row.key, ()), row.position)
    return Laid(lanes=lanes, behind=behind, reached=reached)
