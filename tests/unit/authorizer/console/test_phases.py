"""Phases and progress: enabled means that nothing is missing, and nothing is promised that is not known."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.authorizer.console.phases import SETTLED, SPAN, Phase, Sample, phase, progress, sampled
from services.authorizer.orgs import OrgState
from services.authorizer.purging import Purge
from services.authorizer.standing import Cause, Search, Standing
from shared.contracts.policy import Policy
from shared.contracts.values import Bucket
from tests.unit.authorizer.acting import NOW, ONE

OVER = Search(current=True, first=True, started_at=NOW - 60, finished_at=NOW - 30)
UNDER_WAY = replace(OVER, finished_at=None)
PURGE = Purge(purge_id="0" * 32, org_id="acme", generation=2, actor="eve", started_at=NOW)


def org(state: str = "connected") -> OrgState:
    return OrgState(
        org_id="acme", generation=1, state=state, pending=False, connection=ONE, tenant_id="t", policy=Policy()
    )


def standing(active: int = 0, *, read: int = 0, search: Search | None = OVER, **counts: int) -> Standing:
    causes = [Cause(bucket=Bucket.ACTIVE, reason="", count=active)] if active else []
    causes += [Cause(bucket=Bucket(name), reason="word", count=number) for name, number in counts.items() if number]
    return Standing(now=NOW, org=org(), causes=tuple(causes), read=read, search=search)


numbers = st.integers(0, 30_000)


@given(active=numbers, missing=numbers, denied=numbers, failing=numbers)
def test_enabled_means_that_nothing_is_missing(active: int, missing: int, denied: int, failing: int) -> None:
    found = standing(active + missing, read=active, denied=denied, failing=failing)
    assert (phase(found) is Phase.ENABLED) == (missing == 0)


@given(active=numbers, missing=numbers, denied=numbers, searching=st.booleans())
def test_a_hundred_per_cent_are_said_of_nothing_less(active: int, missing: int, denied: int, searching: bool) -> None:
    far = progress(standing(active + missing, read=active, denied=denied, search=UNDER_WAY if searching else OVER))
    assert 0 <= far.percent <= 100
    assert far.done == active + denied
    assert (far.percent == 100) == (missing == 0 and not searching and active + denied > 0)


@given(reads=st.lists(st.integers(0, 100), min_size=1, max_size=300), step=st.integers(1, 10))
def test_samples_are_bounded_in_time_and_number(reads: list[int], step: int) -> None:
    samples: tuple[Sample, ...] = ()
    for n, read in enumerate(reads):
        samples = sampled(samples, replace(standing(100, read=read), now=NOW + n * step))
    assert len(samples) <= SPAN // step + 1
    assert samples[-1].at - samples[0].at <= SPAN


@given(active=st.integers(1, 30_000), share=st.floats(0.1, 0.9), seconds=st.integers(10, SPAN))
def test_the_end_is_told_by_the_rate_of_the_last_minutes(active: int, share: float, seconds: int) -> None:
    read = int(active * share)
    far = progress(standing(active, read=read), [Sample(NOW - seconds, 0, 1)])
    if read:
        assert far.ends_at is not None
        assert abs((far.ends_at - NOW) - (active - read) * seconds / read) <= 1
    else:
        assert far.ends_at is None


def test_no_end_is_promised_while_the_directory_is_being_searched() -> None:
    assert progress(standing(100, read=50, search=UNDER_WAY)).ends_at is None


def test_samples_of_an_older_generation_count_no_more() -> None:
    assert sampled((Sample(NOW - 1, 5, 9),), standing(10, read=2)) == (Sample(NOW, 2, 1),)


def test_a_later_search_takes_nothing_away_but_where_nobody_was_found() -> None:
    later = replace(UNDER_WAY, first=False)
    assert phase(standing(3, read=3, search=later)) is Phase.ENABLED
    assert phase(standing(search=later)) is Phase.SYNCING


def test_a_search_of_an_older_generation_says_nothing() -> None:
    assert phase(standing(3, read=3, search=replace(OVER, current=False))) is Phase.SYNCING
    assert phase(standing(3, read=3, search=None)) is Phase.SYNCING


def test_what_is_read_and_not_published_is_missing() -> None:
    assert phase(replace(standing(3, read=3), uncovered=True)) is Phase.SYNCING


def test_each_state_has_its_phase() -> None:
    states = ("requested", "refused", "attention", "disconnecting")
    found = [phase(replace(standing(), org=org(state))) for state in states]
    assert found == [Phase.VERIFYING, Phase.REFUSED, Phase.ATTENTION, Phase.LEAVING]


def test_a_purge_under_way_is_leaving_and_an_ended_one_has_left() -> None:
    assert phase(Standing(now=NOW, purge=PURGE)) is Phase.LEAVING
    assert phase(Standing(now=NOW, purge=replace(PURGE, ended_at=NOW))) is Phase.LEFT
    assert phase(Standing(now=NOW)) is Phase.NONE


def test_an_org_connected_anew_does_not_look_as_if_it_had_left() -> None:
    assert phase(replace(standing(1, read=1), purge=replace(PURGE, ended_at=NOW))) is Phase.ENABLED


def test_whoever_should_be_read_and_is_not_counts_as_settled() -> None:
    assert set(SETTLED) == {Bucket.DENIED, Bucket.FAILING}
