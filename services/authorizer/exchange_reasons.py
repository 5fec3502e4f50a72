"""Pure: what a failure at an Exchange server or its directory means: a verdict, a pause, or nothing much.

One table, by the server's own response codes and our words for what came before an answer. What is not in it is a
refusal that names no cause.
"""

from collections.abc import Mapping
from typing import Final

from services.authorizer import exchange_sentences, sentences
from services.authorizer.preflight import Step
from services.authorizer.refusals import Refusal
from shared.errors import Retry
from shared.ews.errors import EwsError
from shared.identity import IdentityError
from shared.ldap_line import LdapError

PAUSE: Final = 5.0  # seconds, where the server orders none
UNKNOWN: Final = "exchange_refused"
DENIED: Final = "ErrorImpersonateUserDenied"

_WAY: Final = {
    "timeout": "server_timeout",
    "network": "server_broke_off",
    "truncated": "server_broke_off",
}
_SIGN_IN: Final = {
    "ErrorMissingEmailAddress": "account_without_mailbox",
    "ErrorServiceAccountHasNoMailbox": "account_without_mailbox",  # in no schema, and seen in the wild
}
_IMPERSONATION: Final = {
    "ErrorImpersonateUserDenied": "impersonation_denied",
    "ErrorImpersonationDenied": "impersonation_right_missing",
    "ErrorImpersonationFailed": "impersonation_failed",
    "ErrorInvalidExchangeImpersonationHeaderData": "impersonation_malformed",
    "ErrorNonExistentMailbox": "mailbox_unknown",
    "ErrorNonPrimarySmtpAddress": "address_not_primary",
    "ErrorInvalidUserPrincipalName": "principal_invalid",
    "ErrorInvalidUserSid": "principal_invalid",
    "ErrorInvalidSid": "principal_invalid",
}
_CALENDAR: Final = {
    "ErrorAccessDenied": "calendar_denied",
    "ErrorItemNotFound": "calendar_denied",
    "ErrorFolderNotFound": "calendar_missing",
    "ErrorNoCalendar": "calendar_missing",
    "ErrorCalendarFolderIsInvalidForCalendarView": "calendar_missing",
    "ErrorNoFreeBusyAccess": "free_busy_denied",
    "ErrorFreeBusyGenerationFailed": "free_busy_failed",
    "ErrorProxyRequestProcessingFailed": "free_busy_elsewhere",
    "ErrorServiceDiscoveryFailed": "free_busy_elsewhere",
    "ErrorProxyRequestNotAllowed": "free_busy_elsewhere",
    "ErrorMailRecipientNotFound": "address_unknown",
    "ErrorInvalidSmtpAddress": "address_unknown",
    "fault": "operation_missing",
    "ErrorInvalidRequest": "operation_missing",
    "ErrorSchemaValidation": "operation_missing",
    "ErrorNotSupported": "operation_missing",
}
_PAUSES: Final = {
    "ErrorServerBusy": "server_busy",
    "ErrorExceededConnectionCount": "too_many_connections",
    "ErrorTooManyObjectsOpened": "too_many_connections",
    "ErrorExceededSubscriptionCount": "too_many_subscriptions",
    "ErrorExceededFindCountLimit": "too_many_items",
    "ErrorResultSetTooBig": "too_many_items",
    "ErrorMailboxMoveInProgress": "mailbox_moving",
    "ErrorMailboxStoreUnavailable": "mailbox_store_unavailable",
    "ErrorMailboxFailover": "mailbox_store_unavailable",
    "ErrorADUnavailable": "active_directory_unavailable",
    "ErrorADOperation": "active_directory_unavailable",
    "ErrorTimeoutExpired": "server_timeout",
    "ErrorInternalServerError": "server_disturbed",
    "ErrorInternalServerTransientError": "server_disturbed",
    "ErrorConnectionFailed": "server_disturbed",
}
REASONS: Final[Mapping[str, str]] = {**_WAY, **_SIGN_IN, **_IMPERSONATION, **_CALENDAR, **_PAUSES}
_GONE: Final = frozenset({"unreachable", "name_unknown"})  # of a server that was good, this passes by itself

_LDAP: Final = {
    "timeout": "ldap_timeout",
    "network": "ldap_broke_off",
    "directory_busy": "ldap_busy",
    "search_limited": "ldap_search_refused",
    "referred": "ldap_base_unknown",
    "malformed": "ldap_tls_refused",
    "too_large": "ldap_search_refused",
}


def reason_of(error: EwsError, *, impersonated: bool = True, settled: bool = False) -> str:
    """Return the reason that an error stands for.

    Without impersonation a mailbox that does not exist is the service account's own. `settled`: the server was good
    before, so what leads nowhere now is thought to pass.
    """
    if error.code == "ErrorNonExistentMailbox" and not impersonated:
        return "account_without_mailbox"
    if settled and error.code in _GONE:
        return "server_unreachable"
    if error.code in exchange_sentences.REFUSALS:
        return error.code if error.code != "http_error" or error.status < 500 else "server_disturbed"
    return REASONS.get(error.code, UNKNOWN)


def reason_of_ldap(error: LdapError) -> str:
    """Return the reason that a directory's error stands for."""
    return _LDAP.get(error.reason, f"ldap_{error.reason}")


def failed(
    name: str, error: EwsError | IdentityError, *, scheme: str = "", settled: bool = False, impersonated: bool = True
) -> Step:
    """Return the step that an error ended."""
    if isinstance(error, IdentityError):
        return Step(name=name, ok=False, reason=error.reason, code=error.code, back_off=error.retry_after)
    reason = reason_of(error, impersonated=impersonated, settled=settled)
    if reason == "sign_in_refused" and scheme == "oauth":
        reason = "bearer_refused"  # a token, not a password: it locks no account
    found = error.value if error.code == "ErrorNonPrimarySmtpAddress" else ""
    return Step(name=name, ok=False, reason=reason, found=found, back_off=error.back_off)


def passes(reason: str) -> bool:
    """Say whether what went wrong passes by itself."""
    return reason in exchange_sentences.DELAYS or reason in sentences.DELAYS


def verdict(reason: str, *, back_off: float | None = None, code: int = 0) -> Refusal | Retry:
    """Return what becomes of a verification: what an admin must repair is a Refusal, what passes is Retry."""
    return Retry(reason, after=back_off or PAUSE, counted=False) if passes(reason) else Refusal(reason, code=code)
