"""What Entra's refusals of a token mean: code AADSTSnnnn -> a fixed word, and whether waiting may help.

The codes are Microsoft's own list (reference-error-codes of the identity platform); texts beside them are never kept.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_REASONS: Final = {
    # the app and the tenant do not know each other
    700016: "app_not_in_tenant",
    7000229: "app_not_in_tenant",  # no service principal in the tenant
    7000112: "app_disabled",
    90002: "tenant_unknown",
    900023: "tenant_malformed",
    # the operator's credential
    7000215: "secret_wrong",
    7000222: "secret_expired",
    700027: "certificate_refused",
    700024: "clock_wrong",  # the assertion is outside its time of validity
    # the customer's decisions
    53003: "conditional_access",
    530032: "conditional_access",
    65001: "consent_missing",
    650052: "consent_missing",
    650056: "consent_missing",
    65004: "consent_declined",
    # requests that this program should not have made
    7000218: "request_refused",
    70011: "request_refused",
    50196: "request_refused",
    9001023: "request_refused",
    50194: "request_refused",
}
_TRANSIENT: Final = {
    90055: "identity_throttled",
    90006: "identity_unavailable",
    90012: "identity_unavailable",
    90024: "identity_unavailable",
    90033: "identity_unavailable",
}
REFUSED: Final = "identity_refused"  # a code not in the list
REASONS: Final = frozenset({*_REASONS.values(), REFUSED})
_IN_TEXT: Final = re.compile(r"AADSTS(\d{4,8})\b")


def code_of(answer: Mapping[str, Any]) -> int:
    """Return the first AADSTS code of an error answer: from `error_codes`, else from its description, else 0."""
    codes = answer.get("error_codes")
    if isinstance(codes, Sequence) and codes and isinstance(codes[0], int):
        return codes[0]
    found = _IN_TEXT.search(str(answer.get("error_description", "")))
    return int(found[1]) if found else 0


def meaning(code: int) -> tuple[str, bool]:
    """Return (reason, transient) of a code; one that is not known is a refusal."""
    if code in _TRANSIENT:
        return _TRANSIENT[code], True
    return _REASONS.get(code, REFUSED), False
