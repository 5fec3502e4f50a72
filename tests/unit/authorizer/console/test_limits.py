"""How often something may be tried."""

from hypothesis import given
from hypothesis import strategies as st

from services.authorizer.console import limits
from services.authorizer.console.limits import Limit, Limits

THREE = Limit(name="three", most=3, seconds=60)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_and_no_more_until_the_bucket_has_filled_again() -> None:
    clock = Clock()
    kept = Limits(clock)
    assert [kept.take(THREE, "acme") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert kept.take(THREE, "acme") == 20.0
    clock.now += 20
    assert kept.take(THREE, "acme") == 0.0
    assert kept.take(THREE, "acme") == 20.0


def test_one_orgs_tries_are_not_anothers_and_one_thing_is_not_another() -> None:
    kept = Limits(Clock())
    for _ in range(3):
        kept.take(THREE, "acme")
    assert kept.take(THREE, "globex") == 0.0
    assert kept.take(Limit(name="other", most=1, seconds=60), "acme") == 0.0


def test_memory_is_bounded_however_many_come() -> None:
    kept = Limits(Clock())
    for number in range(limits.MOST_KEPT + 50):
        kept.take(THREE, str(number))
    assert len(kept._buckets) == limits.MOST_KEPT


@given(st.lists(st.floats(0, 50), max_size=60))
def test_within_any_stretch_no_more_pass_than_a_full_bucket_and_what_flows_in(pauses: list[float]) -> None:
    clock = Clock()
    kept, passed = Limits(clock), []
    for pause in pauses:
        clock.now += pause
        if not kept.take(THREE, "acme"):
            passed.append(clock.now)
    for first, start in enumerate(passed):
        for count, end in enumerate(passed[first:], 1):
            assert count <= 3 + (end - start) * 3 / 60 + 1e-6
