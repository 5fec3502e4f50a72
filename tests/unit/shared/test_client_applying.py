"""A mailbox's state after any updates is exactly what the publisher holds, and never free where nothing is known."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.publisher import news
from shared.client.applying import NOT_TOLD_WHOLE, applied
from shared.contracts.public import AvailabilityUpdated, Span
from shared.contracts.values import DAY, Coverage, Window
from tests.unit.publisher.readings import MONDAY, busy, covered, snapshot, snapshots
from tests.unit.shared.client_history import History, followed, happen, known, state, steps


def part(held: AvailabilityUpdated, first: int, days: int) -> AvailabilityUpdated:
    start, end = MONDAY + first * DAY, MONDAY + (first + days) * DAY
    return news.update(
        covered(snapshot(busy(24 * first, 24 * first + 1), version=held.version + 1)), Window(start, end)
    )


@settings(max_examples=35, deadline=None)
@given(steps())
def test_applying_every_update_arrives_at_exactly_what_is_published(happened: list[object]) -> None:
    history = History()
    told = []
    for step in happened:
        before = history.last()
        happen(history, step)
        told.extend(history.told_after(before))
    assert followed(tuple(told)) == state(tuple(entry.held for entry in history.snapshot()))


@settings(max_examples=25, deadline=None)
@given(snapshots(), snapshots(version=2))
def test_applying_an_update_twice_is_applying_it_once(first: object, second: object) -> None:
    history = History()
    happen(history, first)
    before = history.last()
    happen(history, second)
    held = history.snapshot()[0].held
    for update in history.told_after(before):
        assert isinstance(update.data, AvailabilityUpdated)
        held = applied(held, update.data)
    assert known(held) == known(history.snapshot()[0].held)


@given(st.integers(0, 50), st.integers(1, 9))
@example(0, 1)
def test_a_part_told_of_what_was_never_told_whole_leaves_coverage_unknown(first: int, days: int) -> None:
    update = part(news.update(covered(snapshot()), snapshot().window), first, days)
    for held in (None, replace(update, coverage=Coverage.UNKNOWN, busy=())):
        known_then = applied(held, update)
        assert (known_then.coverage, known_then.reason, known_then.busy) == (Coverage.UNKNOWN, NOT_TOLD_WHOLE, ())


def test_a_part_replaces_its_range_and_leaves_the_rest() -> None:
    held = news.update(covered(snapshot(busy(1, 2), busy(30, 40))), snapshot().window)
    after = applied(held, part(held, 1, 1))
    assert [block.start for block in after.busy] == ["2026-01-05T01:00:00Z", "2026-01-06T00:00:00Z"]
    assert Span(start=after.start, end=after.end) == after.window
