from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.fetcher import times
from shared.contracts.policy import Policy
from shared.contracts.values import DAY

NOW = 1_790_000_000
POLICY = Policy(poll_seconds=300, poll_seconds_subscribed=21_600)


@given(st.integers(0, 4 * 10**9), st.integers(1, DAY), st.text(max_size=40))
def test_a_mailbox_is_due_within_its_interval_and_soon_after_midnight(now: int, interval: int, name: str) -> None:
    at = times.next_due(now, interval, name)
    midnight = now - now % DAY + DAY
    assert now < at <= now + interval
    assert at < midnight + max(1, min(interval, times.SPREAD))


def test_every_mailbox_read_once_a_day_is_read_soon_after_the_day_rolls() -> None:
    midnight = NOW - NOW % DAY + DAY
    ats = [times.next_due(midnight - 60, DAY, f"id-{number}") for number in range(2000)]
    assert all(midnight <= at < midnight + times.SPREAD for at in ats)
    quarters = [sum(1 for at in ats if (at - midnight) // 900 == quarter) for quarter in range(4)]
    assert min(quarters) > 400, "the roll is spread evenly"


def test_without_promised_hints_a_mailbox_is_polled() -> None:
    assert times.interval(NOW, POLICY, None) == 300
    assert times.interval(NOW, POLICY, NOW) == 300


def test_while_hints_are_promised_it_is_read_seldom_and_no_later_than_the_promise_ends() -> None:
    assert times.interval(NOW, POLICY, NOW + DAY) == 21_600
    assert times.interval(NOW, POLICY, NOW + 7200) == 7200
    assert times.interval(NOW, POLICY, NOW + 5) == 300


@given(st.integers(1, DAY), st.integers(1, DAY), st.integers(-DAY, 7 * DAY))
def test_a_mailbox_is_read_again_within_the_longer_interval(polled: int, subscribed: int, promised: int) -> None:
    policy = replace(POLICY, poll_seconds=polled, poll_seconds_subscribed=subscribed)
    assert 1 <= times.interval(NOW, policy, NOW + promised) <= max(polled, subscribed)


@given(st.integers(0, 10**6))
def test_a_failing_mailbox_is_tried_again_in_bounded_time(failures: int) -> None:
    assert NOW + times.FIRST_PAUSE <= times.next_try(NOW, failures) <= NOW + times.LONGEST_PAUSE


def test_the_pauses_of_a_failing_mailbox_grow() -> None:
    pauses = [times.next_try(NOW, failures) - NOW for failures in range(7)]
    assert pauses == [900, 1800, 3600, 7200, 14_400, 21_600, 21_600]
