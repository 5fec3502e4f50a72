"""What a change of a policy would do to what is published: every block is counted, nothing is guessed."""

from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from deploy.command.failures import Wrong
from deploy.command.policies import change_options, changed
from deploy.command.preview import Line, of_timelines, shown_as
from services.authorizer import policy_preview
from services.normalizer.merge import merge
from services.normalizer.privacy import status_of
from shared.contracts.messages import RawEvent
from shared.contracts.policy import Detail, Policy, Scope
from shared.contracts.values import DAY, Block, Status, Window

WINDOW = Window(0, 100 * DAY)
STATUSES = st.sampled_from(list(Status))
POLICIES = st.builds(Policy, show_free=st.booleans(), tentative=STATUSES, oof=STATUSES, elsewhere=STATUSES)
EVENTS = st.lists(
    st.builds(
        RawEvent,
        start=st.integers(0, 50),
        end=st.integers(51, 99),
        show_as=st.sampled_from(["free", "busy", "tentative", "oof", "workingElsewhere"]),
    ),
    max_size=1,
)


def blocks(events: list[RawEvent], policy: Policy) -> tuple[Block, ...]:
    shown = [(event, status_of(event, policy)) for event in events]
    return merge((Block(event.start, event.end, status) for event, status in shown if status), WINDOW)


@given(POLICIES, POLICIES, EVENTS)
def test_what_is_said_of_a_block_is_what_a_reading_would_show(old: Policy, new: Policy, events: list[RawEvent]) -> None:
    stored = blocks(events, old)
    known, unsure = shown_as(old, new, stored)
    assert len(known) + len(unsure) <= len(stored)
    if stored and not unsure:
        assert tuple(known) == blocks(events, new)


@given(POLICIES, EVENTS)
def test_no_change_changes_no_block(policy: Policy, events: list[RawEvent]) -> None:
    stored = blocks(events, policy)
    known, unsure = shown_as(policy, policy, stored)
    assert sorted(known + unsure, key=lambda block: block.start) == list(stored)


def test_blocks_are_counted_by_status_inside_the_new_window() -> None:
    line = Line(
        blocks=(
            Block(0, DAY, Status.BUSY),
            Block(DAY, 2 * DAY, Status.TENTATIVE),
            Block(3 * DAY, 4 * DAY, Status.FREE),
            Block(9 * DAY, 10 * DAY, Status.OOF),
        ),
        events=4,
    )
    old = Policy(show_free=True, window=Window(0, 20 * DAY))
    new = Policy(tentative=Status.BUSY, window=Window(0, 5 * DAY))
    found = of_timelines(old, new, [line], now=0, stricter=True)
    assert found == {
        ("before", "busy"): 1,
        ("before", "tentative"): 1,
        ("before", "free"): 1,
        ("before", "oof"): 1,
        ("after", "busy"): 1,  # the tentative block touches the busy one and joins it
        ("outside", "blocks"): 1,
        ("events", "deleted"): 4,
    }


def options(*arguments: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}

    @click.command()
    @change_options
    def command(**given: Any) -> None:
        kept.update(given)

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return kept


OLD = Policy(
    detail=Detail.DETAILS, show_free=True, conferencing=True, days_back=3, scope=Scope(groups=("g",), exclude=("a@x",))
)


def test_no_option_changes_nothing() -> None:
    assert changed(OLD, options()) == OLD


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (("--policy", "free-busy"), "detail", Detail.FREE_BUSY),
        (("--no-show-free",), "show_free", False),
        (("--no-conferencing",), "conferencing", False),
        (("--tentative", "busy"), "tentative", Status.BUSY),
        (("--days-back", "0"), "days_back", 0),
        (("--poll-seconds", "60"), "poll_seconds", 60),
        (("--window", "1970-01-01..1970-01-02"), "window", Window(0, DAY)),
    ],
)
def test_an_option_changes_its_field_alone(arguments: tuple[str, ...], field: str, value: object) -> None:
    new = changed(OLD, options(*arguments))
    assert getattr(new, field) == value
    assert list(policy_preview.changed_fields(OLD, new)) == [field]


def test_a_list_is_replaced_and_an_empty_one_given_as_nothing() -> None:
    assert changed(OLD, options("--exclude", "B@x", "--exclude", "c@x")).scope.exclude == ("b@x", "c@x")
    assert changed(OLD, options("--group", "")).scope == Scope(exclude=("a@x",))
    assert not changed(OLD, options("--no-rooms")).scope.rooms


def test_a_fixed_window_rolls_again() -> None:
    fixed = changed(OLD, options("--window", "1970-01-01..1970-01-02"))
    assert changed(fixed, options("--rolling")) == OLD
    with pytest.raises(Wrong, match="--rolling"):
        changed(fixed, options("--rolling", "--window", "1970-01-01..1970-01-02"))


def test_what_no_policy_may_be_is_refused() -> None:
    with pytest.raises(Wrong, match="policy"):
        changed(OLD, options("--exclude", "x"))
