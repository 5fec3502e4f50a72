"""What follows an attempt: pauses grow, endpoints are spared, and nothing is given up before three days are over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.webhooks.retries import (
    DELIVERED,
    LONGEST,
    MANY,
    MOST_ORDERED,
    MOST_PAUSE,
    PAUSES,
    THROTTLED,
    Attempt,
    Endpoint,
    Wait,
    endpoint_after,
    given_up,
    outcome_of,
    wait_after,
)
from shared.contracts.values import DAY

NOW = 1_767_571_200
FAILED = Attempt(outcome="failed", status=500)
lucks = st.floats(0, 1, exclude_max=True)
attempts = st.builds(
    Attempt,
    outcome=st.sampled_from(["failed", "timeout", "refused", THROTTLED, DELIVERED]),
    retry_after=st.none() | st.integers(0, 10**9),
)
waits = st.none() | st.builds(
    Wait, attempts=st.integers(0, 30), first_at=st.integers(NOW - 10 * DAY, NOW), next_at=st.just(NOW)
)
endpoints = st.builds(
    Endpoint,
    failures=st.integers(0, 10**6),
    failing_since=st.none() | st.integers(NOW - 10 * DAY, NOW),
    next_try_at=st.none() | st.integers(NOW - DAY, NOW + DAY),
)


def test_without_luck_or_orders_the_pauses_are_those_of_the_specification() -> None:
    wait, now, pauses = None, NOW, []
    while (following := wait_after(wait, FAILED, now=now, luck=0.5)) is not None:
        pauses.append(following.next_at - now)
        wait, now = following, following.next_at
    assert pauses == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert sum(pauses) == LONGEST == 272_105


@given(waits, attempts.filter(lambda each: each.outcome != DELIVERED), lucks)
def test_the_next_try_lies_ahead_within_bounds_and_no_attempt_is_uncounted(
    wait: Wait | None, attempt: Attempt, luck: float
) -> None:
    following = wait_after(wait, attempt, now=NOW, luck=luck)
    if following is None:
        assert wait is not None
        assert NOW - wait.first_at >= LONGEST * 0.9
        return
    assert NOW <= following.next_at <= NOW + max(1.1 * max(PAUSES), MOST_ORDERED)
    assert following.next_at - NOW >= min(attempt.retry_after or 0, MOST_ORDERED)
    counted = following.attempts - (wait.attempts if wait else 0)
    assert counted == (0 if attempt.outcome == THROTTLED else 1)
    assert following.first_at == (wait.first_at if wait else NOW)


@given(st.integers(0, len(PAUSES) - 2), lucks, lucks)
def test_pauses_grow_whatever_the_luck(made: int, luck: float, other: float) -> None:
    pauses = [
        following.next_at - NOW
        for attempts_made, fortune in ((made, luck), (made + 1, other))
        if (
            following := wait_after(
                Wait(attempts=attempts_made, first_at=NOW, next_at=NOW), FAILED, now=NOW, luck=fortune
            )
        )
    ]
    assert pauses[0] < pauses[1] or made >= 6  # the last ones differ by less than their jitter


@given(endpoints, attempts, lucks)
def test_an_endpoint_is_spared_within_bounds_and_well_after_one_success(
    before: Endpoint, attempt: Attempt, luck: float
) -> None:
    after = endpoint_after(before, attempt, now=NOW, luck=luck)
    if attempt.outcome == DELIVERED:
        assert (after.failures, after.failing_since) == (0, None)
        assert after.paused(NOW) is before.paused(NOW)  # a pause that it asked for
        return
    assert after.failures == before.failures + 1
    assert after.failing_since is not None
    assert not after.paused(max(NOW + max(int(1.1 * MOST_PAUSE), MOST_ORDERED), before.next_try_at or 0))
    if attempt.outcome == THROTTLED or before.failures >= MANY - 1:
        assert after.paused(NOW)
    if before.paused(NOW):
        assert (after.next_try_at or 0) >= (before.next_try_at or 0)


def test_an_endpoint_that_always_fails_is_asked_a_few_times_an_hour_and_given_up_after_three_days() -> None:
    endpoint, now, asked = Endpoint(), NOW, 0
    while given_up(endpoint, FAILED, Wait(attempts=1, first_at=now, next_at=now), now=now) is None:
        endpoint = endpoint_after(endpoint, FAILED, now=now, luck=0.5)
        now, asked = max(now, endpoint.next_try_at or 0), asked + 1
    assert LONGEST < now - NOW <= LONGEST + MOST_PAUSE
    assert asked <= 4 * 77 + 20


@pytest.mark.parametrize(
    ("attempt", "wait", "reason"),
    [(Attempt(outcome="gone", status=410), Wait(attempts=1, first_at=NOW, next_at=NOW), "gone"),
     (FAILED, None, "retries_exhausted"), (FAILED, Wait(attempts=1, first_at=NOW, next_at=NOW), None)],
)  # fmt: skip
def test_a_webhook_is_given_up_for_a_reason(attempt: Attempt, wait: Wait | None, reason: str | None) -> None:
    assert given_up(Endpoint(failures=1, failing_since=NOW), attempt, wait, now=NOW) == reason


@given(st.integers(100, 599))
def test_only_2xx_is_a_delivery(status: int) -> None:
    assert (outcome_of(status) == DELIVERED) is (200 <= status < 300)
