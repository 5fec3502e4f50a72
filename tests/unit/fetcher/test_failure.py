import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.failure import (
    DOUBT_OVER,
    DOUBT_PAUSE,
    PAUSED,
    Whose,
    back_off,
    of_enumeration,
    of_reading,
    word,
)
from shared.contracts.values import Bucket
from shared.graph import GraphError
from shared.identity import IdentityError


def graph(status: int, code: str = "", retry_after: float | None = None) -> GraphError:
    return GraphError(status=status, code=code, retry_after=retry_after)


errors = st.builds(
    GraphError,
    status=st.sampled_from([0, 200, 302, 400, 401, 403, 404, 409, 410, 423, 424, 429, 500, 501, 502, 503, 504, 509]),
    code=st.sampled_from(
        ["", "ErrorAccessDenied", "MailboxNotEnabledForRESTAPI", "extensionError", PAUSED, "timeout", "Ünknown!", "429"]
    ),
    retry_after=st.none() | st.floats(0, 86_400),
) | st.builds(
    IdentityError,
    st.sampled_from(["consent_missing", "throttled"]),
    transient=st.booleans(),
    retry_after=st.none() | st.floats(0, 3600),
)


@given(errors, st.integers(1, 8))
def test_every_failure_has_a_fate_with_a_fixed_word(error: GraphError | IdentityError, attempt: int) -> None:
    for fate in (of_reading(error, attempt), of_enumeration(error, attempt)):
        assert fate.reason == word(fate.reason)
        assert (fate.bucket is not None) == (fate.whose is Whose.MAILBOX)
        assert fate.whose is Whose.MAILBOX or fate.after >= 1.0
        assert not (fate.counted and fate.whose is not Whose.PASSING)


def test_a_throttled_mailbox_waits_as_long_as_it_was_told_and_no_try_is_counted() -> None:
    fate = of_reading(graph(429, "ApplicationThrottled", 7.5), 3)
    assert (fate.after, fate.counted, fate.pause_tenant) == (7.5, False, False)


def test_throttling_in_the_directory_pauses_the_tenant() -> None:
    assert of_enumeration(graph(429, "TooManyRequests", 30), 1).pause_tenant


def test_throttling_of_the_token_endpoint_pauses_the_tenant() -> None:
    fate = of_reading(IdentityError("throttled", transient=True, retry_after=20.0), 1)
    assert (fate.pause_tenant, fate.after, fate.counted) == (True, 20.0, False)


@pytest.mark.parametrize(
    ("error", "bucket"),
    [
        (graph(404, "MailboxNotEnabledForRESTAPI"), Bucket.NO_MAILBOX),
        (graph(404, "mailboxnotenabledforrestapi"), Bucket.NO_MAILBOX),
        (graph(404, "ErrorInvalidUser"), Bucket.NO_MAILBOX),
        (graph(404, "MailboxNotHostedInExchangeOnline"), Bucket.ON_PREMISES),
        (graph(403, "ErrorAccessDenied"), Bucket.DENIED),
    ],
)
def test_a_mailboxs_own_trouble_is_a_bucket(error: GraphError, bucket: Bucket) -> None:
    assert of_reading(error, 1).bucket is bucket


@pytest.mark.parametrize("error", [graph(404), graph(403), graph(404, "ErrorItemNotFound"), graph(403, "Blocked")])
def test_a_refusal_in_words_not_known_may_pass(error: GraphError) -> None:
    fate = of_reading(error, 1)
    assert (fate.whose, fate.counted) == (Whose.PASSING, True)


@pytest.mark.parametrize(
    "error",
    [
        graph(401, "InvalidAuthenticationToken"),
        graph(403, "Authorization_RequestDenied"),
        IdentityError("consent_missing"),
        IdentityError("secret_expired"),
        IdentityError("app_disabled"),
        IdentityError("credential_missing"),
    ],
)
def test_who_turns_the_whole_organisation_away_puts_its_connection_in_doubt(error: GraphError | IdentityError) -> None:
    for fate in (of_reading(error, 1), of_enumeration(error, 8)):
        assert (fate.whose, fate.counted, fate.pause_tenant) == (Whose.ORG, False, False)
        assert fate.after == DOUBT_OVER > DOUBT_PAUSE


@pytest.mark.parametrize(
    "error", [graph(403), graph(403, "Blocked"), graph(403, "ErrorAccessDenied"), graph(404), graph(502, "")]
)
def test_a_refusal_of_the_directory_that_a_proxy_may_have_made_passes(error: GraphError) -> None:
    fate = of_enumeration(error, 1)
    assert (fate.whose, fate.counted) == (Whose.PASSING, True)


def test_a_mailbox_that_refuses_is_doubted_before_it_is_denied() -> None:
    assert of_reading(graph(403, "ErrorAccessDenied"), 1).doubt
    assert not of_reading(graph(404, "MailboxNotEnabledForRESTAPI"), 1).doubt


@pytest.mark.parametrize(("retry_after", "after"), [(7.0, 7.0), (2.128, 2.128), (3600.0, 3600.0), (None, 5.0)])
def test_a_mailboxs_own_throttling_is_its_own_and_honoured_to_the_fraction(
    retry_after: float | None, after: float
) -> None:
    fate = of_reading(graph(429, "TooManyRequests", retry_after), 1)
    assert (fate.whose, fate.after, fate.pause_tenant) == (Whose.PASSING, after, False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (graph(503), "server_error"),
        (graph(0, "network"), "network"),
        (graph(200, "unexpected_shape"), "unexpected_shape"),
        (graph(400, "ErrorInvalidRequest"), "request_refused"),
    ],
)
def test_what_may_pass_is_counted_and_backs_off(error: GraphError, reason: str) -> None:
    first, third = of_reading(error, 1), of_reading(error, 3)
    assert (first.reason, first.counted) == (reason, True)
    assert third.after > first.after


def test_a_servers_own_longer_pause_is_honoured() -> None:
    assert of_reading(graph(503, "", 120), 1).after == 120


def test_a_paused_tenant_costs_no_try() -> None:
    fate = of_reading(graph(0, PAUSED, 17), 1)
    assert (fate.after, fate.counted) == (17, False)


@given(st.integers(-5, 1000))
def test_backing_off_is_bounded(attempt: int) -> None:
    assert 5.0 <= back_off(attempt) <= 300.0


def test_a_reading_that_no_broker_would_carry_makes_its_mailbox_failing_at_once() -> None:
    fate = of_reading(GraphError(status=200, code="calendar_too_large"), 1)
    assert (fate.whose, fate.bucket, fate.reason) == (Whose.MAILBOX, Bucket.FAILING, "calendar_too_large")
