"""What the settings' form means: a policy, or each field that is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer.console.policy_form import DAYS, FIELDS, lines, read, values_of
from shared.contracts.policy import Detail, Policy, Scope
from shared.contracts.values import DAY, Status, Window

ADDRESSES = st.lists(st.sampled_from(["a@x.example", "b@x.example"]), unique=True).map(tuple)
STATUSES = st.sampled_from(list(Status))
POLICIES = st.builds(
    Policy,
    detail=st.sampled_from(list(Detail)),
    show_free=st.booleans(),
    tentative=STATUSES,
    oof=STATUSES,
    elsewhere=STATUSES,
    days_back=st.integers(*DAYS["days_back"]),
    days_ahead=st.integers(*DAYS["days_ahead"]),
    window=st.sampled_from([None, Window(0, DAY)]),
    poll_seconds=st.integers(60, 600),
    scope=st.builds(
        Scope,
        groups=st.lists(st.sampled_from(["g-1", "g-2"]), unique=True).map(tuple),
        include=ADDRESSES,
        exclude=ADDRESSES,
        rooms=st.booleans(),
    ),
)
GOOD = values_of(Policy())


def problems(**changes: str) -> dict[str, str]:
    return read({**GOOD, **changes}, Policy(), by_address=False).problems


@given(POLICIES)
def test_a_form_filled_in_from_a_policy_means_that_policy(policy: Policy) -> None:
    assert read(values_of(policy), policy, by_address=False).policy == policy


@given(POLICIES, POLICIES)
def test_what_the_form_does_not_show_stays_as_it_is(old: Policy, new: Policy) -> None:
    found = read(values_of(new), old, by_address=False).policy
    assert found is not None
    assert (found.poll_seconds, found.poll_seconds_subscribed) == (old.poll_seconds, old.poll_seconds_subscribed)


@given(st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=20), max_size=len(FIELDS)), POLICIES)
def test_any_form_is_either_good_or_says_what_is_wrong(given_values: dict[str, str], old: Policy) -> None:
    found = read({**values_of(old), **given_values}, old, by_address=True)
    assert (found.policy is None) == bool(found.problems)


@given(POLICIES)
def test_join_links_are_never_kept_on_under_free_busy_only(old: Policy) -> None:
    found = read({**values_of(old), "detail": "free-busy", "conferencing": "yes"}, old, by_address=False)
    assert found.policy is not None
    assert not found.policy.conferencing


def test_join_links_belong_to_details() -> None:
    found = read({**GOOD, "detail": "details", "conferencing": "yes"}, Policy(), by_address=False)
    assert found.policy == Policy(detail=Detail.DETAILS, conferencing=True)


def test_a_fixed_span_stays_until_it_is_let_go() -> None:
    old = Policy(window=Window(0, DAY))
    assert read({**values_of(old), "span": "rolling"}, old, by_address=False).policy == Policy()
    assert read({**GOOD, "span": "fixed"}, Policy(), by_address=False).policy == Policy()


def test_a_policy_with_more_days_than_the_form_offers_keeps_them() -> None:
    old = Policy(days_back=10_000)
    assert read(values_of(old), old, by_address=False).policy == old
    assert read({**values_of(old), "days_back": "10001"}, old, by_address=False).problems


@pytest.mark.parametrize(
    ("changes", "field", "word"),
    [
        ({"detail": "all"}, "detail", "policy.wrong.form"),
        ({"tentative": "pink"}, "tentative", "policy.wrong.form"),
        ({"days_back": "-1"}, "days_back", "policy.wrong.days_back"),
        ({"days_back": "1826"}, "days_back", "policy.wrong.days_back"),
        ({"days_ahead": "0"}, "days_ahead", "policy.wrong.days_ahead"),
        ({"days_ahead": "\u0662"}, "days_ahead", "policy.wrong.days_ahead"),
        ({"groups": "sales@x.example"}, "groups", "policy.wrong.groups_by_id"),
        ({"groups": "\n".join(f"g{n}" for n in range(51))}, "groups", "policy.wrong.many_groups"),
        ({"include": "anna"}, "include", "policy.wrong.addresses"),
        ({"exclude": "a@x.example b"}, "exclude", "policy.wrong.addresses"),
        ({"exclude": "\n".join(f"a{n}@x.example" for n in range(20_001))}, "exclude", "policy.wrong.many_addresses"),
    ],
)
def test_a_field_that_is_wrong_is_named(changes: dict[str, str], field: str, word: str) -> None:
    assert problems(**changes) == {field: word}


def test_at_an_exchange_server_groups_are_named_by_their_addresses() -> None:
    found = read({**GOOD, "groups": "Sales@x.example"}, Policy(), by_address=True)
    assert found.policy is not None
    assert found.policy.scope.groups == ("sales@x.example",)
    wrong = read({**GOOD, "groups": "g-1"}, Policy(), by_address=True)
    assert wrong.problems == {"groups": "policy.wrong.groups_by_address"}


def test_entries_may_stand_in_lines_or_between_commas_and_count_once() -> None:
    assert lines(" A@x.example,b@x.example;\n\na@x.example ") == ("a@x.example", "b@x.example")
