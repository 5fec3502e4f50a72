"""Whatever the order of hints, polls, readings, failures, crashes, redeliveries: no hint is lost, storms coalesce."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.fetcher import due
from tests.unit.fetcher.hinted import START, Mailbox

numbers = st.integers(0, 7)


class Schedules(RuleBasedStateMachine):
    """Everything that can befall a mailbox, one step at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.mailbox = Mailbox()

    @initialize(wait=st.integers(0, 2000))
    def begin(self, wait: int) -> None:
        self.mailbox.now_ms += wait

    @rule(milliseconds=st.sampled_from([1, 10, 300, 999, 1000, 5000, 400_000, 700_000]))
    def passes(self, milliseconds: int) -> None:
        self.mailbox.now_ms += milliseconds

    @rule(live=st.booleans())
    def asked(self, live: bool) -> None:
        self.mailbox.ask(live=live)

    @precondition(lambda self: self.mailbox.queue)
    @rule(number=numbers, skew=st.sampled_from([0, 0, 0, -300_000, -3000, -400, 400, 3000, 300_000]))
    def handled(self, number: int, skew: int) -> None:
        held = self._holders()
        before = len(self.mailbox.starts)
        self.mailbox.handle(number, skew)
        self._nobody_else_reads(held, skew, started=len(self.mailbox.starts) > before)

    @precondition(lambda self: self.mailbox.waiting)
    @rule(number=numbers)
    def woken(self, number: int) -> None:
        self.mailbox.wake(number)

    @precondition(lambda self: self.mailbox.reading)
    @rule(number=numbers, good=st.booleans(), readable=st.booleans())
    def ended(self, number: int, good: bool, readable: bool) -> None:
        self.mailbox.end(number, good=good, readable=readable)

    @precondition(lambda self: self.mailbox.reading)
    @rule(number=numbers, how=st.sampled_from(["retry", "turned_away", "lose"]))
    def failed(self, number: int, how: str) -> None:
        getattr(self.mailbox, how)(number)

    @rule()
    def crashed(self) -> None:
        self.mailbox.crash()

    @precondition(lambda self: self.mailbox.done)
    @rule(number=numbers)
    def delivered_again(self, number: int) -> None:
        self.mailbox.repeat(number)

    @rule(dies=st.booleans())
    def polled(self, dies: bool) -> None:
        self.mailbox.look(dies=dies)

    def _holders(self) -> int:
        row = self.mailbox.row
        return row.lease_until or 0 if row.lease_id in self.mailbox.reading else 0

    def _nobody_else_reads(self, held_until: int, skew: int, *, started: bool) -> None:
        if started and held_until * 1000 > self.mailbox.now_ms + skew + 1000:
            assert self.mailbox.starts[-1][2], "two readings in flight under one generation while a lease holds"

    @invariant()
    def no_hint_is_forgotten(self) -> None:
        row = self.mailbox.row
        if self.mailbox.hinted_at > self.mailbox.started_at:
            assert row.dirty
            assert row.due_at is not None

    @invariant()
    def versions_rise_strictly(self) -> None:
        versions = self.mailbox.versions
        assert all(earlier < later for earlier, later in pairwise(versions))

    def teardown(self) -> None:
        self.mailbox.settle()
        assert self.mailbox.started_at > self.mailbox.hinted_at


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)

steps = st.lists(
    st.tuples(st.sampled_from(["hint", "hint", "handle", "end", "look", "wake"]), st.integers(0, 300)), max_size=80
)


def carry_out(mailbox: Mailbox, step: str) -> None:
    match step:
        case "handle" if mailbox.queue:
            mailbox.handle()
        case "end" if mailbox.reading:
            mailbox.end()
        case "wake" if mailbox.waiting:
            mailbox.wake()
        case "look":
            mailbox.look()


@settings(max_examples=300, deadline=None)
@given(steps)
def test_hints_handled_within_a_second_cause_two_readings_at_most(plan: list[tuple[str, int]]) -> None:
    mailbox = Mailbox(due_in=3600)
    for step, pause in plan:
        if step == "hint" and mailbox.now_ms < START + due.SPACING:
            mailbox.ask(live=True)
            mailbox.handle(len(mailbox.queue) - 1)
        carry_out(mailbox, step)
        mailbox.now_ms += pause
    if mailbox.hints:
        mailbox.settle()
        assert 1 <= len(mailbox.starts) <= 2
        assert mailbox.started_at > mailbox.hinted_at


@settings(max_examples=300, deadline=None)
@given(steps)
def test_readings_that_hints_bring_about_start_a_second_apart(plan: list[tuple[str, int]]) -> None:
    mailbox = Mailbox(due_in=3600)
    for step, pause in plan:
        if step == "hint":
            mailbox.ask(live=True)
        carry_out(mailbox, step)
        mailbox.now_ms += 3 * pause
    times = [at for at, live, again in mailbox.starts if live and not again]
    assert all(later - earlier >= due.SPACING for earlier, later in pairwise(times))


@pytest.mark.parametrize("hints", [2, 1000])
def test_a_storm_is_one_reading_and_one_more(hints: int) -> None:
    mailbox = Mailbox()
    for _ in range(hints):
        mailbox.ask(live=True)
    mailbox.settle()
    assert len(mailbox.starts) == 2
