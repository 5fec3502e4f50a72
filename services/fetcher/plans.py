"""Decides what becomes of a mailbox's subscription: made, renewed, deleted, and when it is looked at next.

It refuses to count on hints beyond what Microsoft promised: whatever fails, polling takes over in time.
"""

import zlib
from enum import Enum, auto
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from services.fetcher.failure import PAUSED, word
from shared.contracts.values import DAY, Instant

LIFETIME: Final = 10_070 * 60  # seconds asked for; Graph takes under 10,080 minutes for events, clocks differ
RENEWED: Final = DAY  # seconds before the end that a subscription is renewed, and up to as many more by mailbox
FIRST_PAUSE: Final = 10
LONGEST_PAUSE: Final = 3600

GAP: Final = "gap"  # made just now: what changed before is still to be hinted at
REAUTHORIZE: Final = "reauthorization_required"
REMOVED: Final = "subscription_removed"
GONE: Final = "subscription_gone"
CONFLICT: Final = "subscription_conflict"
FORBIDDEN: Final = "subscriptions_forbidden"
UNREACHABLE: Final = "notify_url_unreachable"
ABSENT: Final = "mailbox_not_found"
ENDED: Final = frozenset({200, 202, 204, 404, 410})  # answers to a deletion after which nothing is left

_WHILE_MAKING: Final = {400: UNREACHABLE, 403: FORBIDDEN, 404: ABSENT, 409: CONFLICT, 429: "throttled"}
_LATER: Final = {403: FORBIDDEN, 404: GONE, 410: GONE, 429: "throttled"}
_AGAIN: Final = {  # seconds until the next try, and over how many more the mailboxes of an org are spread
    UNREACHABLE: (300, 60),
    FORBIDDEN: (DAY, 3600),
    ABSENT: (6 * 3600, 3600),
    CONFLICT: (60, 1),
}


class Row(Struct, frozen=True, kw_only=True):
    """What is kept of a mailbox's subscription. `reason` is of the last failure, or why it is looked at out of turn."""

    org_id: str
    mailbox_id: str
    subscription_id: str | None = None
    expires_at: Instant | None = None
    wanted: bool = True
    act_at: Instant
    failures: int = 0
    reason: str | None = None


class Step(Enum):
    """What is done about a subscription."""

    NOTHING = auto()
    CREATE = auto()
    ANNOUNCE = auto()  # a hint goes out for what changed before it was made
    RENEW = auto()
    DELETE = auto()
    FORGET = auto()  # Microsoft has nothing of it (any more)


class Answer(Struct, frozen=True, kw_only=True):
    """What Microsoft said to a step: `status` 0 for no answer; a good one to CREATE and RENEW has id and end."""

    status: int
    code: str = ""
    retry_after: float | None = None
    subscription_id: str | None = None
    expires_at: Instant | None = None


def plan(row: Row, now: Instant) -> Step:
    """Return what is to be done about a subscription whose time has come."""
    standing = row.subscription_id is not None and row.expires_at is not None and row.expires_at > now
    if not row.wanted:
        return Step.DELETE if standing else Step.FORGET
    if not standing:
        return Step.CREATE
    if row.reason == GAP:
        return Step.ANNOUNCE
    return Step.RENEW if row.reason is not None or now >= _renewable(row) else Step.NOTHING


def outcome(row: Row, step: Step, answer: Answer | None, now: Instant) -> Row | None:
    """Return the row as a step leaves it, None where nothing is left to keep; `answer` only where one was asked."""
    if step is Step.FORGET:
        return None
    if answer is None:
        return _rested(replace(row, failures=0, reason=None), now)
    if step is Step.DELETE:
        return None if answer.status in ENDED else _failed(row, step, answer, now)
    if 200 <= answer.status < 300 and answer.subscription_id and (answer.expires_at or 0) > now:
        return _stands(row, step, answer, now)
    if step is Step.RENEW and answer.status in (404, 410):
        return created_anew(row, reason=GONE, now=now)
    return _failed(row, step, answer, now)


def _stands(row: Row, step: Step, answer: Answer, now: Instant) -> Row:
    standing = replace(
        row, subscription_id=answer.subscription_id, expires_at=answer.expires_at, failures=0, reason=None
    )
    # until its hint is out a new one is looked at again when the lease on the row ends, whoever holds it then
    return replace(standing, reason=GAP) if step is Step.CREATE else _rested(standing, now)


def _rested(row: Row, now: Instant) -> Row:
    """Let a sound subscription rest until its renewal; one that Microsoft made short, for half of what is left."""
    left = (row.expires_at or now) - now
    return replace(row, act_at=max(_renewable(row), now + max(left // 2, 1)))


def _renewable(row: Row) -> Instant:
    return (row.expires_at or 0) - RENEWED - spread(row.mailbox_id, RENEWED)


def spread(mailbox_id: str, seconds: int) -> int:
    """Return a part of `seconds` that is always the same for a mailbox, and even over many."""
    return zlib.crc32(mailbox_id.encode()) % max(seconds, 1)


def created_anew(row: Row, *, reason: str, now: Instant) -> Row:
    """Return the row of a subscription that Microsoft no longer has: to be made at once."""
    return replace(row, subscription_id=None, expires_at=None, act_at=now, failures=0, reason=reason)


def _failed(row: Row, step: Step, answer: Answer, now: Instant) -> Row:
    reason = refusal(step, answer) or "unexpected_answer"
    failures = row.failures + (reason != PAUSED)
    kept = replace(row, failures=failures, reason=reason, act_at=now + _pause(row, reason, answer))
    if step is Step.CREATE:
        return replace(kept, subscription_id=None, expires_at=None)
    return replace(kept, act_at=min(kept.act_at, row.expires_at or now))  # no later: then its hints have ended


def refusal(step: Step, answer: Answer) -> str:
    """Return the fixed word for an answer that does not do what the step asked for, "" for one that does.

    A creation refused with 400 is our address not validated: what else we ask never differs.
    """
    status = answer.status
    if step is Step.DELETE and status in ENDED:
        return ""
    if 200 <= status < 300:
        return "" if step is Step.DELETE or answer.subscription_id else "unexpected_answer"
    if answer.code == PAUSED:
        return PAUSED
    known = _WHILE_MAKING if step is Step.CREATE else _LATER
    return known.get(status) or ("server_error" if status >= 500 else _word(answer))


def _word(answer: Answer) -> str:
    if answer.status == 401:  # what the sign-in said, if it got no further
        return word(answer.code or "token_rejected")
    return "request_refused" if answer.status else word(answer.code)


def _pause(row: Row, reason: str, answer: Answer) -> int:
    """Return the seconds until the next try: what Microsoft ordered, what suits the trouble, or a growing pause."""
    ordered = int(answer.retry_after or 0) + 1
    if reason == PAUSED:
        return ordered
    if reason in _AGAIN:
        again, spreading = _AGAIN[reason]
        return max(ordered, again + spread(row.mailbox_id, spreading))
    pause = min(LONGEST_PAUSE, FIRST_PAUSE << min(row.failures, 10))
    return max(ordered, pause + spread(row.mailbox_id, pause))


def settled(found: Row | None, before: Row, after: Row | None, now: Instant) -> Row | None:
    """Return the row to keep, `found` being what others made of it while `before` was on its way to `after`."""
    if found is None:
        return None
    learned = None if after is None else after.subscription_id
    if found.subscription_id != before.subscription_id and learned in (None, before.subscription_id):
        return found  # another subscription by now, of which this step knows nothing
    if after is None:
        return created_anew(found, reason=GONE, now=now) if found.wanted else None
    if found.reason == REAUTHORIZE != before.reason:
        after = replace(after, reason=REAUTHORIZE, act_at=now)
    return after if found.wanted == after.wanted else replace(after, wanted=found.wanted, act_at=now)


def hints_until(row: Row | None, now: Instant) -> Instant | None:
    """Return up to when hints of a mailbox can be counted on, None where they cannot."""
    if row is None or not row.wanted or row.subscription_id is None or (row.expires_at or 0) <= now:
        return None
    return row.expires_at
