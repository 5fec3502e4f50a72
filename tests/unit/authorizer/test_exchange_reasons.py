"""Whatever an Exchange server or a directory says has a reason, which tells an admin what to do and where."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer import exchange_sentences, sentences
from services.authorizer.exchange_reasons import REASONS, UNKNOWN, failed, passes, reason_of, reason_of_ldap, verdict
from services.authorizer.refusals import Refusal
from services.authorizer.sentences import FINAL, JUDGED, sentence
from shared.errors import Retry
from shared.ews.errors import OURS, EwsError
from shared.identity import IdentityError
from shared.ldap_line import REASONS as OF_LDAP
from shared.ldap_line import LdapError

PLACE = re.compile(r"`\(?[A-Z][a-z]+-[A-Z]|Exchange admin center >|Entra admin center >|Users and Computers >")
TABLE = [  # what the client sees, impersonated or not, and the reason that its admin is told
    ("name_unknown", True, "name_unknown"),
    ("unreachable", True, "unreachable"),
    ("not_trusted", True, "not_trusted"),
    ("not_tls", True, "not_tls"),
    ("not_found", True, "not_found"),
    ("sign_in_refused", True, "sign_in_refused"),
    ("no_scheme", True, "no_scheme"),
    ("ErrorImpersonateUserDenied", True, "impersonation_denied"),
    ("ErrorImpersonationDenied", True, "impersonation_right_missing"),
    ("ErrorImpersonationFailed", True, "impersonation_failed"),
    ("ErrorNonExistentMailbox", True, "mailbox_unknown"),
    ("ErrorNonExistentMailbox", False, "account_without_mailbox"),
    ("ErrorMissingEmailAddress", False, "account_without_mailbox"),
    ("ErrorNonPrimarySmtpAddress", True, "address_not_primary"),
    ("ErrorInvalidUserPrincipalName", True, "principal_invalid"),
    ("ErrorInvalidUserSid", True, "principal_invalid"),
    ("ErrorInvalidExchangeImpersonationHeaderData", True, "impersonation_malformed"),
    ("ErrorAccessDenied", True, "calendar_denied"),
    ("ErrorItemNotFound", True, "calendar_denied"),
    ("ErrorFolderNotFound", True, "calendar_missing"),
    ("ErrorNoCalendar", True, "calendar_missing"),
    ("ErrorCalendarFolderIsInvalidForCalendarView", True, "calendar_missing"),
    ("forbidden", True, "forbidden"),
    ("ErrorMailboxMoveInProgress", True, "mailbox_moving"),
    ("ErrorMailboxStoreUnavailable", True, "mailbox_store_unavailable"),
    ("ErrorADUnavailable", True, "active_directory_unavailable"),
    ("ErrorServerBusy", True, "server_busy"),
    ("ErrorExceededConnectionCount", True, "too_many_connections"),
    ("ErrorExceededSubscriptionCount", True, "too_many_subscriptions"),
    ("ErrorExceededFindCountLimit", True, "too_many_items"),
    ("ErrorTimeoutExpired", True, "server_timeout"),
    ("ErrorNoFreeBusyAccess", False, "free_busy_denied"),
    ("ErrorFreeBusyGenerationFailed", False, "free_busy_failed"),
    ("ErrorProxyRequestProcessingFailed", False, "free_busy_elsewhere"),
    ("ErrorServiceDiscoveryFailed", False, "free_busy_elsewhere"),
    ("ErrorMailRecipientNotFound", False, "address_unknown"),
]
PASSING = {
    "mailbox_moving", "mailbox_store_unavailable", "active_directory_unavailable", "server_busy", "server_timeout",
    "too_many_connections", "too_many_subscriptions", "too_many_items",
}  # fmt: skip


@pytest.mark.parametrize(("code", "impersonated", "reason"), TABLE)
def test_what_a_server_says_is_told_as_what_it_means(code: str, impersonated: bool, reason: str) -> None:
    assert reason_of(EwsError(code), impersonated=impersonated) == reason
    assert PLACE.search(sentence(reason))
    assert passes(reason) is (reason in PASSING)


@given(st.text(max_size=60) | st.sampled_from([*OURS, *REASONS]), st.booleans(), st.booleans())
def test_every_error_has_a_reason_with_a_sentence(code: str, impersonated: bool, settled: bool) -> None:
    assert sentence(reason_of(EwsError(code), impersonated=impersonated, settled=settled))


@pytest.mark.parametrize("code", OURS)
def test_every_word_of_ours_means_something_of_its_own(code: str) -> None:
    assert reason_of(EwsError(code)) != UNKNOWN


@pytest.mark.parametrize("reason", OF_LDAP)
def test_every_word_of_the_directorys_has_a_sentence(reason: str) -> None:
    assert sentence(reason_of_ldap(LdapError(reason)))


def test_a_server_that_was_good_and_is_gone_is_waited_for() -> None:
    assert reason_of(EwsError("unreachable"), settled=True) == "server_unreachable"
    assert isinstance(verdict("server_unreachable"), Retry)
    assert isinstance(verdict("unreachable"), Refusal)


def test_an_error_of_the_server_itself_passes_and_one_of_the_request_does_not() -> None:
    assert reason_of(EwsError("http_error", status=502)) == "server_disturbed"
    assert reason_of(EwsError("http_error", status=418)) == "http_error"


def test_a_pause_that_the_server_orders_is_kept() -> None:
    step = failed("member", EwsError("ErrorServerBusy", back_off=297.749))
    told = verdict(step.reason, back_off=step.back_off)
    assert isinstance(told, Retry)
    assert (told.reason, told.after, told.counted) == ("server_busy", 297.749, False)


def test_a_disturbed_sign_in_of_the_cloud_is_waited_for_and_a_refused_one_is_a_verdict() -> None:
    busy = failed("sign_in", IdentityError("identity_throttled", transient=True, retry_after=17.0))
    assert isinstance(verdict(busy.reason, back_off=busy.back_off), Retry)
    wrong = failed("sign_in", IdentityError("secret_wrong", code=7000215))
    told = verdict(wrong.reason, code=wrong.code)
    assert isinstance(told, Refusal)
    assert (told.reason, told.code) == ("secret_wrong", 7000215)


def test_a_token_refused_is_no_password_refused() -> None:
    step = failed("sign_in", EwsError("sign_in_refused", status=401), scheme="oauth")
    assert step.reason == "bearer_refused"
    assert step.reason not in FINAL


def test_the_right_address_is_named_to_whoever_tests() -> None:
    step = failed("member", EwsError("ErrorNonPrimarySmtpAddress", value="anna@acme.example"))
    assert (step.reason, step.found) == ("address_not_primary", "anna@acme.example")


@pytest.mark.parametrize(("reason", "told"), exchange_sentences.REFUSALS.items())
def test_a_refusal_says_what_to_do_and_where(reason: str, told: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason)
    assert PLACE.search(told)
    assert told.endswith(".")
    assert "  " not in told
    assert len(told) < 600
    assert reason in JUDGED


@pytest.mark.parametrize("told", exchange_sentences.DELAYS.values())
def test_a_delay_says_that_it_is_tried_again(told: str) -> None:
    assert "tried again by itself" in told
    assert "  " not in told


@pytest.mark.parametrize("told", exchange_sentences.WARNINGS.values())
def test_a_warning_says_what_can_be_done(told: str) -> None:
    assert PLACE.search(told) or "busyline connect" in told
    assert "  " not in told


def test_every_reason_named_in_the_code_has_a_sentence() -> None:
    word = re.compile(r'(?:reason="|warning\("[a-z_]+", ")([a-z]+(?:_[a-z]+)*)"')
    folder = Path(__file__).parents[3] / "services" / "authorizer"
    modules = [*folder.glob("exchange*.py"), folder / "preflight.py", folder / "autodiscover.py"]
    named = {reason for module in modules for reason in word.findall(module.read_text(encoding="utf-8"))}
    assert len(named) >= 15
    assert not [reason for reason in named if not sentence(reason)]


def test_no_reason_stands_in_two_lists() -> None:
    lists = [sentences.REFUSALS, sentences.DELAYS, exchange_sentences.REFUSALS, exchange_sentences.DELAYS,
             exchange_sentences.WARNINGS]  # fmt: skip
    reasons = [reason for told in lists for reason in told]
    assert len(reasons) == len(set(reasons))


def test_the_retirement_of_exchange_online_is_dated() -> None:
    told = sentence("exchange_online")
    assert "1 October 2026" in told
    assert "1 April 2027" in told
