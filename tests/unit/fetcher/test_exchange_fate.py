import pytest

from services.fetcher.exchange_fate import SHARED, of_exchange
from services.fetcher.failure import PAUSED, TOO_LARGE, Whose
from shared.contracts.values import Bucket
from shared.ews.errors import OURS, EwsError


@pytest.mark.parametrize(
    ("code", "bucket", "reason"),
    [
        ("ErrorImpersonateUserDenied", Bucket.DENIED, "impersonation_denied"),
        ("ErrorAccessDenied", Bucket.DENIED, "access_denied"),
        ("ErrorNoFreeBusyAccess", Bucket.DENIED, "no_free_busy_access"),
        ("forbidden", Bucket.DENIED, "ews_forbidden"),
        ("ErrorNonExistentMailbox", Bucket.NO_MAILBOX, "no_mailbox"),
        ("ErrorMailRecipientNotFound", Bucket.NO_MAILBOX, "no_mailbox"),
        ("ErrorNonPrimarySmtpAddress", Bucket.NO_MAILBOX, "not_the_primary_address"),
        ("ErrorNoCalendar", Bucket.NO_MAILBOX, "no_calendar"),
        (TOO_LARGE, Bucket.FAILING, TOO_LARGE),
    ],
)
def test_what_is_wrong_with_one_mailbox_ends_in_its_bucket(code: str, bucket: Bucket, reason: str) -> None:
    fate = of_exchange(EwsError(code), 1)
    assert (fate.whose, fate.bucket, fate.reason) == (Whose.MAILBOX, bucket, reason)


def test_a_mailbox_that_is_denied_casts_doubt_on_the_connection_first() -> None:
    assert of_exchange(EwsError("ErrorImpersonateUserDenied"), 1).doubt


@pytest.mark.parametrize("code", ["sign_in_refused", "not_trusted", "address_refused", "not_found", "no_scheme"])
def test_a_server_that_turns_the_account_away_concerns_the_whole_organisation(code: str) -> None:
    fate = of_exchange(EwsError(code, status=401), 1)
    assert (fate.whose, fate.reason) == (Whose.ORG, code)


@pytest.mark.parametrize("code", ["ErrorServerBusy", "ErrorExceededConnectionCount", "ErrorTooManyObjectsOpened"])
def test_a_busy_server_is_waited_for_as_long_as_it_asks_and_the_try_counts(code: str) -> None:
    fate = of_exchange(EwsError(code, back_off=297.7), 1)
    assert (fate.whose, fate.after, fate.counted) == (Whose.PASSING, 297.7, True), "a constant pause must have an end"


def test_what_the_account_is_charged_for_pauses_all_replicas_and_what_a_mailbox_is_charged_for_does_not() -> None:
    assert of_exchange(EwsError("ErrorServerBusy", back_off=9.0, charged="account"), 1).pause_tenant
    assert not of_exchange(EwsError("ErrorServerBusy", back_off=9.0, charged="mailbox"), 1).pause_tenant
    assert of_exchange(EwsError("ErrorServerBusy", status=503, back_off=9.0, charged="mailbox"), 1).pause_tenant


def test_a_busy_server_that_names_no_pause_is_tried_at_growing_intervals() -> None:
    waits = [of_exchange(EwsError("ErrorServerBusy"), attempt).after for attempt in (1, 2, 3)]
    assert waits == sorted(waits)
    assert waits[0] < waits[2]


@pytest.mark.parametrize("code", [PAUSED, SHARED])
def test_what_was_never_sent_counts_as_no_try(code: str) -> None:
    fate = of_exchange(EwsError(code, back_off=3.0), 1)
    assert (fate.whose, fate.after, fate.counted) == (Whose.PASSING, 3.0, False)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ErrorProxyRequestProcessingFailed", "free_busy_elsewhere"),
        ("ErrorMailboxMoveInProgress", "mailbox_moving"),
        ("ErrorQuotaExceeded", "quota_exceeded"),
        ("ErrorCASError", "caserror"),
        ("timeout", "timeout"),
    ],
)
def test_what_may_pass_is_told_in_words_and_not_in_codes(code: str, reason: str) -> None:
    assert of_exchange(EwsError(code), 1).reason == reason


@pytest.mark.parametrize("code", [*sorted(OURS), "ErrorMailboxMoveInProgress", "ErrorADUnavailable", "ErrorUnheardOf"])
def test_every_word_has_a_fate_and_a_fixed_reason(code: str) -> None:
    fate = of_exchange(EwsError(code, charged="mailbox"), 3)
    assert fate.reason == fate.reason.lower()
    assert fate.whose is not Whose.PASSING or fate.after >= 1
