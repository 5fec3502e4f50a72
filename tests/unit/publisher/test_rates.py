"""A rate: never more than it says, and always as much."""

from hypothesis import given
from hypothesis import strategies as st

from services.publisher.rates import MOST_KEPT, SECOND, Buckets, Rate, fields, take

RATES = st.builds(Rate, per_minute=st.integers(1, 10_000), burst=st.integers(1, 50))
PAUSES = st.lists(st.integers(0, 90 * SECOND) | st.integers(0, SECOND // 100), max_size=60)


def instants(pauses: list[int]) -> list[int]:
    """Return the instants at which somebody asks, one pause after the other."""
    now, found = 7 * SECOND, []
    for pause in pauses:
        now += pause
        found.append(now)
    return found


@given(RATES, PAUSES)
def test_in_no_span_of_time_more_is_allowed_than_a_burst_and_what_the_time_gives(rate: Rate, pauses: list[int]) -> None:
    full_at, allowed = 0, list[int]()
    for now in instants(pauses):
        verdict, full_at = take(rate, full_at, now)
        allowed += [now] if verdict.allowed else []
    for first, begin in enumerate(allowed):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= rate.burst + (allowed[last] - begin) // rate.each


@given(RATES, PAUSES)
def test_who_waits_as_long_as_told_is_allowed_and_who_is_told_that_much_is_left_has_it(
    rate: Rate, pauses: list[int]
) -> None:
    full_at = 0
    for now in instants(pauses):
        verdict, full_at = take(rate, full_at, now)
        if verdict.allowed:
            answers, rest = [], full_at
            for _ in range(verdict.left + 1):
                answer, rest = take(rate, rest, now)
                answers.append(answer.allowed)
            assert answers == [True] * verdict.left + [False]
            assert take(rate, full_at, now + verdict.wait * SECOND)[0].left == rate.burst - 1
        else:
            assert verdict.wait >= 1
            assert take(rate, full_at, now + verdict.wait * SECOND)[0].allowed


@given(RATES, PAUSES)
def test_a_refusal_takes_nothing(rate: Rate, pauses: list[int]) -> None:
    full_at = 0
    for now in instants(pauses):
        verdict, after = take(rate, full_at, now)
        if not verdict.allowed:
            assert max(after, now) == max(full_at, now)
        full_at = after


def test_the_fields_are_those_of_the_draft() -> None:
    rate = Rate(per_minute=60, burst=3)
    verdict, full_at = take(rate, 0, SECOND)
    assert fields(rate, verdict) == {"RateLimit-Policy": '"requests";q=3;w=3', "RateLimit": '"requests";r=2;t=1'}
    for _ in range(3):
        verdict, full_at = take(rate, full_at, SECOND)
    assert fields(rate, verdict)["RateLimit"] == '"requests";r=0;t=1'


def test_each_key_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(Rate(per_minute=1, burst=1))
    assert [buckets.take(key, 0).allowed for key in ("a", "b", "a")] == [True, True, False]


def test_who_was_refused_is_not_forgotten_when_many_others_come() -> None:
    buckets = Buckets(Rate(per_minute=1, burst=2))
    assert [buckets.take("eager", 0).allowed for _ in range(3)] == [True, True, False]
    for stranger in range(2 * MOST_KEPT):
        buckets.take(stranger, 0)
    assert not buckets.take("eager", 0).allowed
    assert len(buckets._full_at) <= MOST_KEPT
