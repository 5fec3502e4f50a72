"""What a disconnection needs next, and what its receipt counts."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.authorizer.purging import (
    ASK_AGAIN,
    HOLDERS,
    SERVICES,
    Ask,
    Close,
    Purge,
    Wait,
    answered,
    larger,
    step,
    totals,
)

NOW = 1_800_000_000
BEGUN = Purge(purge_id="0" * 32, org_id="acme", generation=3, actor="platform", started_at=NOW)
DONE = replace(BEGUN, asked_at=NOW, done=SERVICES)
counts = st.dictionaries(st.sampled_from(["messages", "letters", "mailboxes"]), st.integers(0, 100))


def test_every_service_is_asked_at_once() -> None:
    assert step(BEGUN, left={}, now=NOW) == Ask(SERVICES)


def test_those_that_have_not_answered_are_asked_again_after_a_while() -> None:
    asked = replace(BEGUN, asked_at=NOW, done=("normalizer",))
    assert step(asked, left={}, now=NOW + ASK_AGAIN - 1) == Wait()
    assert step(asked, left={}, now=NOW + ASK_AGAIN) == Ask(("publisher", "fetcher"))


def test_a_clock_set_back_does_not_silence_it() -> None:
    assert step(replace(BEGUN, asked_at=NOW + 10**6), left={}, now=NOW) == Ask(SERVICES)


def test_it_is_closed_once_everybody_has_answered_and_nothing_is_left() -> None:
    assert step(DONE, left=dict.fromkeys(HOLDERS, 0), now=NOW) == Close()


def test_who_says_that_nothing_is_left_while_there_is_is_asked_again() -> None:
    assert step(DONE, left={"mailboxes": 1}, now=NOW + 1) == Wait()
    assert step(DONE, left={"mailboxes": 1}, now=NOW + ASK_AGAIN) == Ask(("fetcher",))
    assert step(DONE, left={"updates": 2, "subscriptions": 1}, now=NOW + ASK_AGAIN) == Ask(("publisher", "fetcher"))


def test_the_fetcher_is_asked_once_more_at_once_when_another_answers_after_it() -> None:
    """Until it answered a service may have parked letters, and the fetcher alone forgets those."""
    early = answered(answered(replace(BEGUN, asked_at=NOW), "fetcher", {}), "publisher", {})
    assert step(early, left={}, now=NOW + ASK_AGAIN) == Ask(("normalizer",))
    late = answered(early, "normalizer", {})
    assert step(late, left={}, now=NOW) == Ask(("fetcher",))
    assert step(replace(late, asked_at=NOW), left={}, now=NOW + 1) == Wait()
    assert step(answered(late, "fetcher", {}), left={}, now=NOW) == Close()
    assert answered(answered(late, "fetcher", {}), "normalizer", {}).done == ("fetcher", "normalizer", "publisher")


def test_one_that_has_ended_needs_nothing_any_more() -> None:
    assert step(replace(BEGUN, ended_at=NOW), left={"mailboxes": 9}, now=NOW) == Wait()


@given(st.lists(st.tuples(st.sampled_from(SERVICES), counts), max_size=8), st.integers(0, 60))
def test_it_is_closed_only_when_all_have_answered(answers: list[tuple[str, dict[str, int]]], later: int) -> None:
    purge = BEGUN
    for service, told in answers:
        purge = answered(purge, service, told)
    closed = step(purge, left={}, now=NOW + later) == Close()
    assert closed == (set(purge.done) == set(SERVICES))


@given(counts, counts)
def test_an_answer_repeated_counts_once_and_the_larger_holds(one: dict[str, int], other: dict[str, int]) -> None:
    first = answered(BEGUN, "fetcher", one)
    assert answered(first, "fetcher", one) == first
    twice = answered(first, "fetcher", other)
    assert totals(twice.counts) == larger(one, other)
    assert twice == answered(answered(BEGUN, "fetcher", other), "fetcher", one)


def test_kinds_are_added_up_over_services() -> None:
    purge = answered(answered(BEGUN, "fetcher", {"messages": 2, "letters": 1}), "publisher", {"messages": 3})
    assert totals(purge.counts) == {"messages": 5, "letters": 1}


def test_what_was_counted_at_the_start_is_not_counted_twice() -> None:
    purge = answered(replace(BEGUN, counts={"mailboxes": 7, "updates": 4}), "fetcher", {"mailboxes": 6})
    assert totals(answered(purge, "publisher", {"updates": 5}).counts) == {"mailboxes": 7, "updates": 5}
