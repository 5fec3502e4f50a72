"""Decides what becomes of a reading when an Exchange server does not give what was asked for.

It refuses to try a refused sign-in again, and to wait for ever for a server that is always busy: those tries count.
"""

import re
from typing import Final

from services.fetcher.failure import DOUBT_OVER, PAUSE, PAUSED, TOO_LARGE, Fate, Whose, back_off, word
from shared.contracts.values import Bucket
from shared.ews.errors import EwsError

SHARED: Final = "server_shared"  # our own code: other replicas have all that may be asked of the server at once
BRIEF: Final = 2.0  # seconds: a pause so short is waited out by whoever asked, who keeps what was read so far
PAUSES: Final = 3  # brief ones that are waited out for one request
UNTOLD: Final = 1.0  # seconds waited where a busy server names none

_QUEUED: Final = 503  # from IIS, before anybody looked at whom the request is for
BUSY: Final = frozenset(
    {
        "ErrorServerBusy",
        "ErrorExceededConnectionCount",
        "ErrorExceededSubscriptionCount",
        "ErrorTooManyObjectsOpened",
        "ErrorInternalServerTransientError",
    }
)
_DENIED: Final = {
    "ErrorImpersonateUserDenied": "impersonation_denied",
    "ErrorImpersonationDenied": "impersonation_denied",
    "ErrorAccessDenied": "access_denied",
    "ErrorNoFreeBusyAccess": "no_free_busy_access",
    "forbidden": "ews_forbidden",  # switched off for the mailbox, or for all
}
_ABSENT: Final = {
    "ErrorNonExistentMailbox": "no_mailbox",
    "ErrorMailRecipientNotFound": "no_mailbox",
    "ErrorMissingEmailAddress": "no_mailbox",
    "ErrorInvalidSmtpAddress": "no_mailbox",
    "ErrorNonPrimarySmtpAddress": "not_the_primary_address",
    "ErrorNoCalendar": "no_calendar",
    "ErrorFolderNotFound": "no_calendar",
    "ErrorCalendarFolderIsInvalidForCalendarView": "no_calendar",
}
_NAMED: Final = {  # as the preflight calls them
    "ErrorProxyRequestProcessingFailed": "free_busy_elsewhere",
    "ErrorProxyRequestNotAllowed": "free_busy_elsewhere",
    "ErrorServiceDiscoveryFailed": "free_busy_elsewhere",
    "ErrorFreeBusyGenerationFailed": "free_busy_failed",
    "ErrorMailboxMoveInProgress": "mailbox_moving",
    "ErrorMailboxStoreUnavailable": "mailbox_store_unavailable",
    "ErrorADUnavailable": "active_directory_unavailable",
}
# The server is not the one that was verified, or no longer lets the account in: that concerns all its mailboxes.
_ORG: Final = frozenset({"sign_in_refused", "no_scheme", "not_trusted", "not_tls", "address_refused", "not_found"})


def of_exchange(error: EwsError, attempt: int) -> Fate:
    """Return the fate of a reading that failed in its `attempt`th try."""
    code = error.code
    if code in (PAUSED, SHARED):
        return Fate(whose=Whose.PASSING, reason=code, after=max(error.back_off or PAUSE, 1.0))
    if code in BUSY:
        return _busy(error, attempt)
    if code in _ORG:
        return Fate(whose=Whose.ORG, reason=word(code), after=DOUBT_OVER)
    after = max(back_off(attempt), error.back_off or 0.0)
    return _mailbox(code) or Fate(whose=Whose.PASSING, reason=passing_word(code), after=after, counted=True)


def passing_word(code: str) -> str:
    """Return the fixed word for a code that may pass: ErrorMailboxMoveInProgress is mailbox_move_in_progress."""
    named = _NAMED.get(code)
    return named or word(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", code.removeprefix("Error")))


def brief(error: EwsError) -> float | None:
    """Return for how many seconds whoever asked waits before asking just this again; None where the broker waits.

    A reading takes many requests: begun anew at each pause it would come to no end at a server that is often busy.
    """
    if error.code != PAUSED and error.code not in BUSY:
        return None
    after = UNTOLD if error.back_off is None else error.back_off
    return after if after <= BRIEF else None


def for_everybody(error: EwsError) -> bool:
    """Say whether a busy server means all that the organisation asks, and not one impersonated mailbox's budget."""
    return error.charged == "account" or error.status == _QUEUED


def _mailbox(code: str) -> Fate | None:
    """Return the fate of what is wrong with one mailbox and will not pass by itself."""
    if code == TOO_LARGE:
        return Fate(whose=Whose.MAILBOX, reason=TOO_LARGE, bucket=Bucket.FAILING)
    if code in _DENIED:
        return Fate(whose=Whose.MAILBOX, reason=_DENIED[code], bucket=Bucket.DENIED, doubt=True)
    if code in _ABSENT:
        return Fate(whose=Whose.MAILBOX, reason=_ABSENT[code], bucket=Bucket.NO_MAILBOX)
    return None


def _busy(error: EwsError, attempt: int) -> Fate:
    """Wait as the server orders, a bounded number of times.

    What is charged to the service account concerns every mailbox of the organisation: it is left alone by all replicas.
    What is charged to an impersonated mailbox (its own copy of a budget) concerns that one.
    """
    ordered = error.back_off is not None
    after = max(error.back_off, 1.0) if error.back_off is not None else back_off(attempt)
    pause = ordered and for_everybody(error)
    return Fate(whose=Whose.PASSING, reason="server_busy", after=after, counted=True, pause_tenant=pause)
