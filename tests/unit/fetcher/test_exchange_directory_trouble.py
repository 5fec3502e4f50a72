import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.exchange_trouble import ADMINS, ONCE, exchange_enumeration_fate
from services.fetcher.failure import LONG_PAUSE, PAUSED, Whose, word
from shared.ews.errors import OURS, EwsError
from shared.identity import IdentityError
from shared.ldap_line import REASONS, LdapError

CODES = [
    "ErrorServerBusy", "ErrorAccessDenied", "ErrorNonExistentMailbox", "ErrorNameResolutionNoResults",
    "ErrorImpersonateUserDenied", "ErrorInvalidRequest", "Ünknown", PAUSED, "calendar_too_large", *OURS,
]  # fmt: skip
errors = (
    st.builds(EwsError, st.sampled_from(CODES), back_off=st.none() | st.floats(0, 3600))
    | st.builds(LdapError, st.sampled_from(sorted(REASONS)))
    | st.builds(IdentityError, st.sampled_from(["consent_missing", "throttled"]), transient=st.booleans())
)


@given(errors, st.integers(1, 12))
def test_every_failure_has_a_fate_with_a_fixed_word_and_never_a_bucket(
    error: EwsError | LdapError | IdentityError, attempt: int
) -> None:
    fate = exchange_enumeration_fate(error, attempt)
    assert fate.reason == word(fate.reason)
    assert fate.whose is not Whose.MAILBOX
    assert fate.bucket is None
    assert fate.after >= 1.0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EwsError("sign_in_refused", status=401), "sign_in_refused"),
        (EwsError("forbidden", status=403), "ews_forbidden"),
        (EwsError("not_trusted"), "not_trusted"),
        (IdentityError("secret_expired"), "secret_expired"),
        (LdapError("bind_refused"), "ldap_bind_refused"),
        (LdapError("no_password"), "ldap_no_password"),
        (LdapError("not_trusted"), "ldap_not_trusted"),
        (LdapError("address_refused"), "ldap_address_refused"),
    ],
)
def test_who_does_not_let_the_account_in_puts_the_connection_in_doubt(error: EwsError, reason: str) -> None:
    fate = exchange_enumeration_fate(error, 1)
    assert (fate.whose, fate.reason) == (Whose.ORG, reason)


def test_a_refused_bind_is_the_one_that_is_not_tried_again() -> None:
    assert {"ldap_bind_refused"} == ONCE


def test_a_busy_server_is_left_alone_for_as_long_as_it_says_and_not_for_ever() -> None:
    fate = exchange_enumeration_fate(EwsError("ErrorServerBusy", back_off=178.5), 2)
    assert (fate.whose, fate.after, fate.counted, fate.pause_tenant) == (Whose.PASSING, 178.5, True, True)


@pytest.mark.parametrize(
    "error",
    [
        EwsError("ErrorNameResolutionNoResults"),
        EwsError("ErrorNameResolutionMultipleResults"),
        *(LdapError(reason) for reason in ("base_unknown", "group_unknown", "referred", "search_refused")),
    ],
)
def test_what_only_the_admin_can_end_is_told_and_tried_at_long_intervals(error: EwsError | LdapError) -> None:
    fate = exchange_enumeration_fate(error, 1)
    assert (fate.whose, fate.after, fate.counted) == (Whose.PASSING, LONG_PAUSE, False)
    assert fate.reason in ADMINS


@pytest.mark.parametrize("reason", ["timeout", "network", "unreachable", "directory_busy", "name_unknown", "malformed"])
def test_a_directory_that_is_away_is_tried_again_a_bounded_number_of_times(reason: str) -> None:
    first, third = (exchange_enumeration_fate(LdapError(reason), attempt) for attempt in (1, 3))
    assert (first.whose, first.counted, first.reason) == (Whose.PASSING, True, f"ldap_{reason}")
    assert third.after > first.after


def test_an_account_without_a_mailbox_is_no_verdict_about_anybody() -> None:
    fate = exchange_enumeration_fate(EwsError("ErrorNonExistentMailbox"), 1)
    assert (fate.whose, fate.counted) == (Whose.PASSING, True)
