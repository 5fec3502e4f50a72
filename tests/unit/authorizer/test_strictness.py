"""What counts as stricter: everything that takes something away from what may be seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.authorizer.strictness import changed, stricter
from shared.contracts.policy import Detail, Policy, Scope
from shared.contracts.values import DAY, Status, Window

NOW = 1_800_000_000
PEOPLE = ("a@x.example", "b@x.example", "c@x.example")
GROUPS = ("g1", "g2")
WIDE = Policy(
    detail=Detail.DETAILS, conferencing=True, show_free=True, scope=Scope(groups=("g1",), include=("a@x.example",))
)

scopes = st.builds(
    Scope,
    groups=st.lists(st.sampled_from(GROUPS), unique=True).map(tuple),
    include=st.lists(st.sampled_from(PEOPLE), unique=True).map(tuple),
    exclude=st.lists(st.sampled_from(PEOPLE), unique=True).map(tuple),
    rooms=st.booleans(),
)
windows = st.builds(
    lambda start, length: Window(NOW + start * DAY, NOW + (start + length) * DAY), st.integers(-9, 9), st.integers(1, 9)
)
policies = st.builds(
    Policy,
    detail=st.sampled_from(Detail),
    show_free=st.booleans(),
    conferencing=st.booleans(),
    tentative=st.sampled_from([Status.TENTATIVE, Status.BUSY]),
    scope=scopes,
    days_back=st.integers(0, 3),
    days_ahead=st.integers(1, 3),
    window=st.none() | windows,
    poll_seconds=st.sampled_from([60, 300]),
)


def scoped(**changes: object) -> Policy:
    return replace(WIDE, scope=replace(WIDE.scope, **changes))


@pytest.mark.parametrize(
    "new",
    [
        replace(WIDE, detail=Detail.FREE_BUSY),
        replace(WIDE, conferencing=False),
        replace(WIDE, show_free=False),
        replace(WIDE, days_back=41),
        replace(WIDE, days_ahead=200),
        replace(WIDE, window=Window(NOW - 9_000 * DAY, NOW + 9_000 * DAY)),
        replace(WIDE, tentative=Status.BUSY),
        replace(WIDE, tentative=Status.FREE),
        replace(WIDE, oof=Status.BUSY),
        replace(WIDE, elsewhere=Status.FREE),
        scoped(rooms=False),
        scoped(exclude=("b@x.example",)),
        scoped(include=()),
        scoped(groups=("g2",)),
    ],
)
def test_what_takes_something_away_is_stricter(new: Policy) -> None:
    assert stricter(WIDE, new)


@pytest.mark.parametrize(
    "new",
    [
        replace(WIDE, days_back=43, days_ahead=300),
        replace(WIDE, poll_seconds=60, poll_seconds_subscribed=60),
        scoped(groups=("g1", "g2")),
        scoped(groups=(), include=()),
        scoped(include=("a@x.example", "b@x.example")),
    ],
)
def test_what_adds_something_is_not(new: Policy) -> None:
    assert not stricter(WIDE, new)


def test_a_fixed_window_moved_is_stricter_and_widened_is_not() -> None:
    old = replace(WIDE, window=Window(100 * DAY, 200 * DAY))
    assert stricter(old, replace(WIDE, window=Window(101 * DAY, 300 * DAY)))
    assert stricter(old, replace(WIDE, window=Window(100 * DAY, 199 * DAY)))
    assert stricter(old, WIDE)
    assert not stricter(old, replace(WIDE, window=Window(99 * DAY, 201 * DAY)))
    assert not stricter(old, replace(old, days_back=1, days_ahead=1))  # a fixed window ignores them


def test_a_first_group_narrows_even_though_it_is_added() -> None:
    assert stricter(Policy(), Policy(scope=Scope(groups=("g1",))))


@given(policies)
def test_no_policy_is_stricter_than_itself(policy: Policy) -> None:
    assert not stricter(policy, policy)
    assert changed(policy, policy) == ()


@given(policies, policies)
def test_what_is_not_stricter_shows_everything_that_was_shown(old: Policy, new: Policy) -> None:
    if stricter(old, new):
        return
    assert all(getattr(new, name) or not getattr(old, name) for name in ("show_free", "conferencing"))
    assert new.detail is Detail.DETAILS or old.detail is Detail.FREE_BUSY
    for now in (NOW - 5 * DAY, NOW, NOW + 5 * DAY):
        before, after = old.window_at(now), new.window_at(now)
        assert after.start <= before.start
        assert before.end <= after.end
    for address in PEOPLE:
        for groups in ((), ("g1",), ("g2",), GROUPS):
            for room in (False, True):
                assert is_read(new.scope, address, groups, room) or not is_read(old.scope, address, groups, room)


def is_read(scope: Scope, address: str, groups: tuple[str, ...], room: bool) -> bool:
    """Say who is read, as contracts.policy.Scope describes it."""
    if address in scope.exclude or (room and not scope.rooms):
        return False
    return not scope.groups or bool(set(groups) & set(scope.groups)) or address in scope.include


def test_changed_fields_are_named_and_never_quoted() -> None:
    assert changed(WIDE, scoped(exclude=("b@x.example",))) == ("scope",)
    assert changed(WIDE, replace(WIDE, days_back=1, conferencing=False)) == ("conferencing", "days_back")
