"""Decides what a batch of readings does to what is published: which are too old, which rows are written, what is told.

It refuses a reading of another generation than the org's present one, and any that is not newer than what is held.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from services.publisher.changes import changed
from services.publisher.news import told_of_changes, told_of_removal
from services.publisher.timeline import ERASED, GONE, Timeline, covered
from shared.contracts.messages import AvailabilitySnapshot, MailboxUnreadable
from shared.contracts.policy import Policy
from shared.contracts.values import Coverage, Instant

Found = AvailabilitySnapshot | MailboxUnreadable
Key = tuple[str, str]


class Outcome(StrEnum):
    """What became of one reading."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    OUTDATED = "outdated"
    OTHER_GENERATION = "other_generation"


class Plan(Struct, frozen=True):
    """Rows to write (as timelines), rows of the update log in order, and one outcome for each reading given."""

    timelines: tuple[Timeline, ...]
    updates: tuple[dict[str, Any], ...]
    outcomes: tuple[Outcome, ...]


def plan(found: Sequence[Found], generations: Mapping[str, int], held: Mapping[Key, Timeline], *, now: Instant) -> Plan:
    """Return what a batch does, given the connected orgs' present generations and the timelines held."""
    newest = _newest(found, generations)
    timelines: list[Timeline] = []
    updates: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    for place, item in enumerate(found):
        key = key_of(item)
        old = held.get(key)
        if generations.get(item.org_id) != item.generation:
            outcomes.append(Outcome.OTHER_GENERATION)
        elif newest[key] != place or (old is not None and _age(old) >= _age(item)):
            outcomes.append(Outcome.OUTDATED)
        else:
            new = _next(old, item)
            told = _told(old, new, now=now)
            timelines.append(new)
            updates.extend(told)
            outcomes.append(Outcome.PUBLISHED if told else Outcome.UNCHANGED)
    return Plan(tuple(timelines), tuple(updates), tuple(outcomes))


def is_erasure(found: Found) -> bool:
    """Say whether a mailbox is to be erased, which holds whatever generation has come since."""
    return isinstance(found, MailboxUnreadable) and found.reason == ERASED and found.bucket in GONE


def key_of(found: Found) -> Key:
    """Return which mailbox a reading is of."""
    return found.org_id, found.mailbox.mailbox_id


def _newest(found: Sequence[Found], generations: Mapping[str, int]) -> dict[Key, int]:
    """Return the place of each mailbox's newest reading in the batch; of equals the first."""
    newest: dict[Key, int] = {}
    for place, item in enumerate(found):
        key = key_of(item)
        if generations.get(item.org_id) == item.generation and (
            key not in newest or item.version > found[newest[key]].version
        ):
            newest[key] = place
    return newest


def _age(item: Found | Timeline) -> tuple[int, int]:
    return item.generation, item.version


def _next(old: Timeline | None, found: Found) -> Timeline:
    match found:
        case AvailabilitySnapshot():
            return covered(found)
        case MailboxUnreadable() if found.bucket in GONE:
            return msgspec.structs.replace(_unknown(old, found), address="")
        case MailboxUnreadable():
            return _unknown(old, found)


def _unknown(old: Timeline | None, found: MailboxUnreadable) -> Timeline:
    """Return a timeline of which nothing holds. Its window is the last one known, else the default one at that time."""
    return Timeline(
        org_id=found.org_id,
        mailbox_id=found.mailbox.mailbox_id,
        address=found.mailbox.address,
        generation=found.generation,
        version=found.version,
        coverage=Coverage.UNKNOWN,
        bucket=found.bucket,
        reason=found.reason,
        time_zone=old.time_zone if old else "UTC",
        window=old.window if old else Policy().window_at(found.as_of),
        as_of=found.as_of,
    )


def _told(old: Timeline | None, new: Timeline, *, now: Instant) -> Iterable[dict[str, Any]]:
    shown = None if old is None or old.gone else old
    if not new.gone:
        return tuple(told_of_changes(new, changed(shown, new), now=now))
    if new.erased:  # told by its id alone, again where an earlier removal named its address: that is deleted
        shown = None if old is None or old.erased else msgspec.structs.replace(old, address=new.mailbox_id)
    if shown is None:  # consumers were never told of it, or know already that it left
        return ()
    last = msgspec.structs.replace(shown, generation=new.generation)
    return (told_of_removal(last, new.reason or new.bucket.value, now=now),)
