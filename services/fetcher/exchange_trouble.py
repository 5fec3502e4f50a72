"""Decides what becomes of an enumeration when an Exchange server or a directory does not give what was asked for.

It refuses to bind to a directory again with what it refused, and to guess who is meant by a group that is not there.
"""

from typing import Final

from services.fetcher import failure
from services.fetcher.exchange_fate import of_exchange
from services.fetcher.failure import DOUBT_OVER, LONG_PAUSE, PAUSE, Fate, Whose, back_off
from shared.ews.errors import EwsError
from shared.identity import IdentityError
from shared.ldap_line import LdapError

# What only the admin can end: told at once, tried again at long intervals.
ADMINS: Final = frozenset(
    {
        "group_unknown", "ldap_base_unknown", "ldap_group_unknown", "ldap_referred", "ldap_search_refused",
        "ldap_search_limited",
    }
)  # fmt: skip
# The page does not come again: each further try may lock the account. Once the connection is good again the authorizer
# asks for the mailboxes anew.
ONCE: Final = frozenset({"ldap_bind_refused"})

_NO_GROUP: Final = frozenset(
    {"ErrorNameResolutionNoResults", "ErrorNameResolutionMultipleResults", "ErrorNameResolutionNoMailbox"}
)
# The directory is not the one that was verified, or no longer lets the account in.
_LDAP_ORG: Final = frozenset({"bind_refused", "no_password", "not_trusted", "tls_refused", "address_refused"})


def exchange_enumeration_fate(error: EwsError | LdapError | IdentityError, attempt: int) -> Fate:
    """Return the fate of an enumeration of which a source failed in its `attempt`th try."""
    match error:
        case LdapError():
            return _directory(error.reason, attempt)
        case IdentityError():
            return failure.of_enumeration(error, attempt)
    if error.code in _NO_GROUP:
        return _admins("group_unknown")
    fate = of_exchange(error, attempt)
    if fate.whose is not Whose.MAILBOX:
        return fate
    if error.code == "forbidden":
        return Fate(whose=Whose.ORG, reason=fate.reason, after=DOUBT_OVER)
    return Fate(whose=Whose.PASSING, reason=fate.reason, after=back_off(attempt), counted=True)


def _directory(word: str, attempt: int) -> Fate:
    reason = f"ldap_{word}"
    if reason in ADMINS:
        return _admins(reason)
    if word in _LDAP_ORG:
        return Fate(whose=Whose.ORG, reason=reason, after=DOUBT_OVER)
    after = max(back_off(attempt), PAUSE)
    return Fate(whose=Whose.PASSING, reason=reason, after=after, counted=True)


def _admins(reason: str) -> Fate:
    return Fate(whose=Whose.PASSING, reason=reason, after=LONG_PAUSE)
