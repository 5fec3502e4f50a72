"""What becomes of a message whose handling failed."""

from hypothesis import given
from hypothesis import strategies as st

from shared.broker import Limits, Unroutable
from shared.broker.fates import Again, Back, Park, fate_of
from shared.errors import Halt, Reject, Retry

LIMITS = Limits(attempts=4, first_pause=5.0, longest_pause=15.0)


def test_a_halt_puts_the_message_back() -> None:
    halt = Halt("key_missing")
    assert fate_of(halt, attempt=1, limits=LIMITS) == Back(halt=halt)


def test_a_rejection_parks_on_the_first_try() -> None:
    assert fate_of(Reject("cloud_unknown", "cloud"), attempt=1, limits=LIMITS) == Park(
        reason="cloud_unknown", where="cloud"
    )


def test_a_counted_retry_raises_the_attempt_until_the_last() -> None:
    fates = [fate_of(Retry("busy", after=2), attempt=attempt, limits=LIMITS) for attempt in (1, 2, 3, 4)]
    assert fates[:3] == [Again(after=2, attempt=attempt, reason="busy") for attempt in (2, 3, 4)]
    assert fates[3] == Park(reason="busy")


@given(st.integers(min_value=1, max_value=4))
def test_an_uncounted_retry_never_parks(attempt: int) -> None:
    fate = fate_of(Retry("throttled", after=60, counted=False), attempt=attempt, limits=LIMITS)
    assert fate == Again(after=60, attempt=attempt, reason="throttled")


def test_a_bug_pauses_twice_as_long_each_time_up_to_the_longest() -> None:
    fates = [fate_of(KeyError("private"), attempt=attempt, limits=LIMITS) for attempt in (1, 2, 3)]
    assert [fate.after for fate in fates if isinstance(fate, Again)] == [5, 10, 15]
    assert fate_of(KeyError("private"), attempt=4, limits=LIMITS) == Park(reason="bug", error_type="KeyError")


def test_a_handlers_unroutable_message_is_tried_again_under_its_own_reason() -> None:
    fate = fate_of(Unroutable("x.v1"), attempt=1, limits=LIMITS)
    assert isinstance(fate, Again)
    assert (fate.reason, fate.error_type) == ("unroutable", "Unroutable")


@given(
    st.one_of(st.builds(Retry, st.just("busy"), after=st.floats()), st.builds(ValueError, st.text())),
    st.integers(min_value=1, max_value=10**9),
)
def test_every_failure_ends_in_parking_sooner_or_later(error: Exception, attempt: int) -> None:
    fate = fate_of(error, attempt=attempt, limits=LIMITS)
    assert isinstance(fate, Park) or (fate.attempt == attempt + 1 <= LIMITS.attempts and fate.after >= 0)  # type: ignore[union-attr]
