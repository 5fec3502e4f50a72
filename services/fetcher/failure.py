"""Decides what becomes of a message when Microsoft does not give what was asked for.

A mailbox's own trouble ends in a bucket, the organisation's in a doubt about its connection, which the authorizer
settles; it refuses to park either, and to believe what a proxy may have said.
"""

import re
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from services.fetcher.directory import NO_MAILBOX, ON_PREMISES
from shared.contracts.values import Bucket
from shared.graph import GraphError
from shared.identity import IdentityError

PAUSE: Final = 5.0  # seconds, where a throttled answer names none
LONG_PAUSE: Final = 600.0  # seconds, the longest that a whole tenant is left alone
DOUBT_PAUSE: Final = 15.0  # seconds a tenant is left alone while its connection is verified
DOUBT_OVER: Final = 20.0  # seconds until what was turned away is tried again, if the connection proves good
LONGEST_STEP: Final = 300.0
TOO_LARGE: Final = "calendar_too_large"  # our own code: no broker would carry the reading
PAUSED: Final = "tenant_paused"  # our own code: the tenant is paused, nothing was sent

_DIRECTORY_DENIALS: Final = frozenset({"authorization_requestdenied", "authorization_identitynotfound"})


class Whose(Enum):
    """Whose trouble it is: nobody's for long, the mailbox's for good, or the whole organisation's."""

    PASSING = auto()
    MAILBOX = auto()
    ORG = auto()


class Fate(Struct, frozen=True, kw_only=True):
    """What follows from a failure.

    PASSING: try again after `after` seconds; `counted` tries end. MAILBOX: `bucket` from now on. ORG: the connection
    is in doubt, for `reason`; the work is tried again after `after` seconds, while the org stands. `doubt`: the first
    time that a mailbox read well before fails so, it stays as it is, and the connection is doubted.
    `pause_tenant`: no call to this tenant for `after` seconds, nor for longer than LONG_PAUSE.
    """

    whose: Whose
    reason: str
    after: float = 0.0
    counted: bool = False
    bucket: Bucket | None = None
    doubt: bool = False
    pause_tenant: bool = False


def of_reading(error: GraphError | IdentityError, attempt: int) -> Fate:
    """Return the fate of a reading that failed in its `attempt`th try."""
    if isinstance(error, IdentityError):
        return _identity(error)
    if error.status == 429:
        return Fate(whose=Whose.PASSING, reason="throttled", after=_ordered(error, PAUSE))
    if error.code == TOO_LARGE:
        return Fate(whose=Whose.MAILBOX, reason=TOO_LARGE, bucket=Bucket.FAILING)
    return _lasting(error.status, error.code.lower()) or _passing(error, attempt)


def _lasting(status: int, code: str) -> Fate | None:
    """Return the fate of what will not pass by itself; a 403 or 404 of another code may come from a proxy, and may."""
    match status:
        case 401:
            return _turned_away("token_rejected")
        case 403 if code in _DIRECTORY_DENIALS:
            return _turned_away("permission_missing")
        case 403 | 404 if code in ON_PREMISES:
            return Fate(whose=Whose.MAILBOX, reason="hosted_on_premises", bucket=Bucket.ON_PREMISES)
        case 403 if code == "erroraccessdenied":
            return Fate(whose=Whose.MAILBOX, reason="access_denied", bucket=Bucket.DENIED, doubt=True)
        case 404 if code in NO_MAILBOX:
            return Fate(whose=Whose.MAILBOX, reason="no_mailbox", bucket=Bucket.NO_MAILBOX)
    return None


def of_enumeration(error: GraphError | IdentityError, attempt: int) -> Fate:
    """Return the fate of a directory page that failed in its `attempt`th try; throttling there is the tenant's."""
    if isinstance(error, IdentityError):
        return _identity(error)
    match error.status:
        case 429:
            after = _ordered(error, PAUSE)
            return Fate(whose=Whose.PASSING, reason="directory_throttled", after=after, pause_tenant=True)
        case 401:
            return _turned_away("token_rejected")
        case 403 if error.code.lower() in _DIRECTORY_DENIALS:
            return _turned_away("permission_missing")
    return _passing(error, attempt)


def _identity(error: IdentityError) -> Fate:
    if error.transient:
        after = error.retry_after if error.retry_after is not None else PAUSE * 4
        paused = error.retry_after is not None
        return Fate(whose=Whose.PASSING, reason=word(error.reason), after=max(after, 1.0), pause_tenant=paused)
    return _turned_away(word(error.reason))


def _turned_away(reason: str) -> Fate:
    return Fate(whose=Whose.ORG, reason=reason, after=DOUBT_OVER)


def _passing(error: GraphError, attempt: int) -> Fate:
    if error.code == PAUSED:
        return Fate(whose=Whose.PASSING, reason=PAUSED, after=_ordered(error, PAUSE))
    after = max(back_off(attempt), _ordered(error, 0.0))
    return Fate(whose=Whose.PASSING, reason=_reason(error), after=after, counted=True)


def back_off(attempt: int) -> float:
    """Return the seconds before the next try: 5, 15, 45, 135, then 300."""
    return min(LONGEST_STEP, 5.0 * 3.0 ** min(max(attempt, 1) - 1, 10))


def _ordered(error: GraphError, otherwise: float) -> float:
    return otherwise if error.retry_after is None else max(error.retry_after, 1.0)


def _reason(error: GraphError) -> str:
    if error.status >= 500:
        return "server_error"
    return word(error.code) if error.status in (0, 200) else "request_refused"


def word(text: str) -> str:
    """Return a text as a fixed word: lower case, other signs as underscores, never empty."""
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:64]
    return plain if plain[:1].isalpha() else "unknown"
