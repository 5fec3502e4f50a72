"""Pure: which phase an org is in, how far its mailboxes are read, how fast, and when that is likely to end.

It promises no end while the directory is still being searched, or while nothing moves.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from services.authorizer.requests import REFUSED
from services.authorizer.standing import Standing
from shared.connections import ATTENTION, CONNECTED, DISCONNECTING
from shared.contracts.values import Bucket, Instant

SPAN: Final = 120  # seconds over which the rate is taken
AT_ONCE: Final = 10  # seconds: a shorter look says nothing of a rate


class Phase(StrEnum):
    """How an org stands, in a word."""

    NONE = "none"
    VERIFYING = "verifying"
    REFUSED = "refused"
    ATTENTION = "attention"
    SYNCING = "syncing"
    ENABLED = "enabled"
    LEAVING = "leaving"
    LEFT = "left"


SETTLED: Final = (Bucket.DENIED, Bucket.FAILING)  # such a mailbox should be read, and has its reason why it is not
_OTHERS: Final = {ATTENTION: Phase.ATTENTION, REFUSED: Phase.REFUSED, DISCONNECTING: Phase.LEAVING}


class Sample(Struct, frozen=True):
    """At an instant so many mailboxes were done under a generation."""

    at: Instant
    done: int
    generation: int


class Progress(Struct, frozen=True, kw_only=True):
    """How far it is: of `found` mailboxes `done` were read, or have a reason why not.

    `searching`: more may be found. `per_minute` 0: not known. `ends_at` is when it is likely to end, None where that
    cannot be told.
    """

    searching: bool
    done: int
    found: int
    per_minute: int = 0
    ends_at: Instant | None = None

    @property
    def percent(self) -> int:
        """How much of it is done, at most 99 as long as anything is missing."""
        if not self.found:
            return 0
        share = 100 * self.done // self.found
        return min(share, 99) if self.searching or self.done < self.found else share


def phase(found: Standing) -> Phase:
    """Return the phase: enabled once the search is over and every mailbox has coverage or its reason."""
    if found.purge is not None and found.purge.ended_at is None:
        return Phase.LEAVING
    if found.org is None:
        return Phase.NONE if found.purge is None else Phase.LEFT
    if found.org.state == CONNECTED:
        return Phase.SYNCING if _moves(found) else Phase.ENABLED
    return _OTHERS.get(found.org.state, Phase.VERIFYING)


def is_searching(found: Standing) -> bool:
    """Say whether the first search under the present generation is still to end; a later one changes little."""
    search = found.search
    if search is None or not search.current:
        return True
    return search.finished_at is None and (search.first or not found.causes)


def progress(found: Standing, samples: Sequence[Sample] = ()) -> Progress:
    """Return how far reading is; the rate is taken from samples, else from the beginning of the search."""
    searching, done = is_searching(found), _done(found)
    missing = found.to_read - found.read
    rate = _rate(found, samples)
    ends_at = None
    if rate > 0 and not searching and missing > 0:
        ends_at = found.now + round(missing / rate)
    per_minute = round(rate * 60)
    return Progress(searching=searching, done=done, found=done + missing, per_minute=per_minute, ends_at=ends_at)


def sampled(samples: Sequence[Sample], found: Standing) -> tuple[Sample, ...]:
    """Return the samples of the last SPAN seconds with the present one; those of another generation are dropped."""
    if found.org is None:
        return ()
    present = Sample(found.now, _done(found), found.org.generation)
    kept = [one for one in samples if one.generation == present.generation and found.now - SPAN <= one.at < found.now]
    return (*kept, present)


def _done(found: Standing) -> int:
    return found.read + found.in_bucket(*SETTLED)


def _moves(found: Standing) -> bool:
    return is_searching(found) or found.read < found.to_read or found.uncovered


def _rate(found: Standing, samples: Sequence[Sample]) -> float:
    """Return the mailboxes read in a second."""
    if samples and found.now - samples[0].at >= AT_ONCE:
        return max(_done(found) - samples[0].done, 0) / (found.now - samples[0].at)
    if found.search is not None and found.search.current and found.now - found.search.started_at >= AT_ONCE:
        return _done(found) / (found.now - found.search.started_at)
    return 0.0
