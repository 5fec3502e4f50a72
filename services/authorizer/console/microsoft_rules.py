"""Decides what is asked of Microsoft and why, who may consent to it, and what an error on the way means.

Pure. An error is a fixed word with Microsoft's number; the text beside it is never kept, for anybody can write it.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from shared.aadsts import code_of
from shared.contracts.policy import Detail, Policy

# Role templates, the same in every tenant. Who may consent to application permissions of Graph: Microsoft's
# grant-admin-consent; Application and Cloud Application Administrators may consent to anything but those.
_CONSENTING: Final[Mapping[str, str]] = {
    "62e90394-69f5-4237-9190-012177145e10": "global_administrator",
    "e8611ab8-c189-46e8-94e1-60213ab1f814": "privileged_role_administrator",
}
_APPLICATIONS_ONLY: Final = frozenset({"9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", "158c047a-c907-4556-b7ef-446551a6b5f7"})
UNTOLD: Final = "untold"  # the role, where the ID token has none: the app's manifest does not ask for it

_BY_CODE: Final[Mapping[int, str]] = {
    65004: "declined",
    **dict.fromkeys((65001, 90094, 90095), "consent_needed"),
    **dict.fromkeys((650052, 650056, 650057, 500011), "registration_wrong"),
    **dict.fromkeys((50020, 50177, 51004), "foreign_account"),
    50105: "not_assigned",
    **dict.fromkeys((50058, 50078, 50173), "sign_in_again"),
    **dict.fromkeys((50072, 50074, 50076, 50079, 50203), "proof_wanted"),
    **dict.fromkeys((53000, 53001, 53002, 53003, 53004, 530032, 50158), "sign_in_blocked"),
    **dict.fromkeys((50053, 50055, 50057, 50126), "account_blocked"),
    **dict.fromkeys((700016, 7000229, 90002), "app_unknown"),
    7000112: "app_disabled",
    **dict.fromkeys((54005, 70000, 70008, 9002313, 500112, 501481, 700003, 700005), "code_refused"),
    **dict.fromkeys((7000215, 7000222, 700027, 700024, 7000218), "app_credential"),
    **dict.fromkeys((90006, 90012, 90024, 90033, 90055), "busy"),
}
_BY_WORD: Final[Mapping[str, str]] = {
    **dict.fromkeys(("access_denied", "permission_denied"), "declined"),
    "consent_required": "consent_needed",
    **dict.fromkeys(("interaction_required", "login_required"), "sign_in_again"),
    **dict.fromkeys(("temporarily_unavailable", "server_error"), "busy"),
    "unauthorized_client": "app_unknown",
    "invalid_grant": "code_refused",
    **dict.fromkeys(("invalid_client", "invalid_client_secret"), "app_credential"),
    **dict.fromkeys(("invalid_request", "invalid_scope", "invalid_resource", "unsupported_response_type"), "defect"),
}
_BY_REASON: Final[Mapping[str, str]] = {  # words of shared.identity
    **dict.fromkeys(("secret_wrong", "secret_expired", "certificate_refused"), "app_credential"),
    **dict.fromkeys(("certificate_malformed", "clock_wrong"), "app_credential"),
    **dict.fromkeys(("identity_throttled", "identity_unavailable", "identity_timeout"), "busy"),
    **dict.fromkeys(("identity_unreachable", "identity_not_trusted", "identity_unexpected"), "unreachable"),
    **dict.fromkeys(("tenant_unknown", "tenant_malformed", "app_not_in_tenant"), "app_unknown"),
    "app_disabled": "app_disabled",
    "conditional_access": "sign_in_blocked",
    "consent_missing": "consent_needed",
    "consent_declined": "declined",
    "request_refused": "defect",
    "sign_in_state": "state_unknown",
}
OWN: Final = frozenset(  # words that mean themselves
    {
        "app_missing", "cloud_unknown", "consent_incomplete", "personal_account", "purge_under_way",
        "role_application_administrator", "role_missing", "role_unproven", "state_expired", "state_unknown",
        "tenant_mismatch", "overtaken", "id_token_missing", "id_token_malformed", "id_token_signature",
        "id_token_issuer", "id_token_audience", "id_token_time", "id_token_nonce",
    }
)  # fmt: skip
OTHER: Final = "other"
REASONS: Final = frozenset({OTHER, *OWN, *_BY_CODE.values(), *_BY_WORD.values(), *_BY_REASON.values()})
_FORGED: Final = frozenset({"tenant_mismatch", "state_unknown", "state_expired", "personal_account"})


# Verdicts that may come of a consent which does not count everywhere at Microsoft yet.
SLOW: Final = frozenset(
    {
        "app_not_in_tenant", "consent_missing", "directory_permission_missing", "group_permission_missing",
        "calendar_permission_missing", "calendars_out_of_scope", "settings_permission_missing", "token_rejected",
    }
)  # fmt: skip


class JourneyRefused(Exception):  # noqa: N818 -- the journey ends here, nothing failed
    """A journey to Microsoft that ends; `reason` is a word of REASONS, `code` Microsoft's AADSTS number or 0."""

    def __init__(self, reason: str, *, code: int = 0) -> None:
        """Take the reason and the code."""
        super().__init__(reason)
        self.reason = reason
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status of the page that tells of it: 403 for what proves nothing, 503 for what passes."""
        if self.reason in {"busy", "unreachable"}:
            return 503
        return 403 if self.reason in _FORGED or self.reason.startswith(("role_", "id_token_")) else 400


class Permission(Struct, frozen=True, kw_only=True):
    """An application permission of Microsoft Graph; its reason is the text `microsoft.why.<key>`."""

    name: str
    key: str


def permissions(policy: Policy) -> tuple[Permission, ...]:
    """Return the least that a policy needs."""
    wanted = [
        Permission(name="User.Read.All", key="users"),
        Permission(name="Calendars.Read", key="calendars_times" if is_times_only(policy) else "calendars_details"),
        Permission(name="MailboxSettings.Read", key="settings"),
    ]
    if policy.scope.rooms:
        wanted.append(Permission(name="Place.Read.All", key="rooms"))
    if policy.scope.groups:
        wanted.append(Permission(name="GroupMember.Read.All", key="groups"))
    return tuple(wanted)


def is_times_only(policy: Policy) -> bool:
    """Say whether a policy shows times and status alone."""
    return policy.detail is Detail.FREE_BUSY


def role(wids: tuple[str, ...] | None) -> str:
    """Return the role that lets somebody consent, or UNTOLD where the token names none. Raises JourneyRefused."""
    if wids is None:
        return UNTOLD
    for template, name in _CONSENTING.items():
        if template in wids:
            return name
    only = not _APPLICATIONS_ONLY.isdisjoint(wids)
    raise JourneyRefused("role_application_administrator" if only else "role_missing")


def see_error(query: Mapping[str, str]) -> None:
    """Raise JourneyRefused where a redirect tells of an error, whatever else it says.

    `admin_consent=True` is on Microsoft's error redirects too.
    """
    if "error" in query:
        code = code_of(query)
        raise JourneyRefused(_BY_CODE.get(code) or _BY_WORD.get(query["error"], OTHER), code=code)


def of_identity(reason: str, code: int) -> JourneyRefused:
    """Translate what the sign-in's own answers say (shared.identity.IdentityError)."""
    own = reason if reason in OWN else _BY_REASON.get(reason, OTHER)
    return JourneyRefused(_BY_CODE.get(code, own), code=code)


def see_consent(query: Mapping[str, str], tenant_id: str) -> None:
    """See that a redirect says yes, for the tenant whose admin signed in. Raises JourneyRefused.

    It is an unsigned query that anybody can write: it is believed for nothing, and only compared.
    """
    see_error(query)
    if query.get("admin_consent", "").lower() != "true":
        raise JourneyRefused("consent_incomplete")
    if query.get("tenant", "").lower() != tenant_id:
        raise JourneyRefused("tenant_mismatch")


def choices(names: tuple[str, ...], *, sandbox: str, has_sandbox: bool) -> tuple[str, ...]:
    """Return the clouds to choose from, the usual one first; the sandbox where this deployment has one."""
    real = tuple(name for name in names if name != sandbox)
    return (sandbox, *real) if has_sandbox else real


Kind = Literal["sign_in", "consent"]
