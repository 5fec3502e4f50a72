"""That faults on notifications strike as often as ordered, and losses can be counted."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox import NoticeFault, NoticeFaultKind
from deploy.sandbox.calendar import Item
from deploy.sandbox.notice_faults import NoticeFaults
from tests.unit.sandbox.asking import NOW, Caller, caller
from tests.unit.sandbox.listening import ONE, TWO, Listener, subscribed

LOSE, DUPLICATE = NoticeFaultKind.LOSE, NoticeFaultKind.DUPLICATE
DELAY, REORDER = NoticeFaultKind.DELAY, NoticeFaultKind.REORDER


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=5, events=2)


@pytest.fixture
async def listener(asking: Caller) -> AsyncIterator[Listener]:
    made = Listener(asking)
    yield made
    await made.close()


def add(asking: Caller, mailbox: str = ONE, *, times: int = 1) -> None:
    for _ in range(times):
        asking.changes.add_event(mailbox, Item(item_id="", start=NOW, end=NOW + 60))


async def test_the_next_ones_are_lost_and_counted(asking: Caller, listener: Listener) -> None:
    await subscribed(asking)
    asking.changes.notifications.order(NoticeFault(kind=LOSE, times=2))
    add(asking, times=5)
    await listener.settled()
    counts = listener.counts
    assert (counts.due, counts.lost, counts.sent, counts.delivered) == (5, 2, 3, 3)


async def test_copies_are_the_same_notification(asking: Caller, listener: Listener) -> None:
    await subscribed(asking)
    asking.changes.notifications.order(NoticeFault(kind=DUPLICATE, times=1, copies=3))
    add(asking, times=2)
    await listener.settled()
    ids = [note["id"] for note in listener.notes]
    assert sorted(ids.count(each) for each in set(ids)) == [1, 4]
    assert (listener.counts.due, listener.counts.duplicated, listener.counts.delivered) == (2, 3, 5)


async def test_a_fault_may_be_of_one_mailbox(asking: Caller, listener: Listener) -> None:
    await subscribed(asking)
    await subscribed(asking, mailbox=TWO)
    number = asking.changes.notifications.order(NoticeFault(kind=LOSE, mailbox=TWO.upper()))
    add(asking)
    add(asking, TWO)
    await listener.settled()
    assert (listener.counts.lost, len(listener.notes)) == (1, 1)
    asking.changes.notifications.clear(number)
    add(asking, TWO)
    await listener.settled()
    assert len(listener.notes) == 2


async def test_a_late_one_is_overtaken(asking: Caller, listener: Listener) -> None:
    await subscribed(asking)
    asking.changes.notifications.order(NoticeFault(kind=DELAY, seconds=0.05, times=1))
    add(asking)
    asking.changes.add_event(ONE, Item(item_id="second", start=NOW, end=NOW + 60))
    await listener.settled()
    assert len(listener.deliveries) == 2
    assert "second" in listener.notes[0]["resource"]


def treated(*faults: NoticeFault, times: int = 1, seed: int = 1) -> list[tuple[float, ...]]:
    made = NoticeFaults(seed)
    for fault in faults:
        made.order(fault)
    return [made.treat(ONE, "an id").pauses for _ in range(times)]


def test_without_faults_one_is_sent_at_once() -> None:
    assert treated() == [(0.0,)]


def test_a_share_is_lost_the_same_for_the_same_seed() -> None:
    lost = [treated(NoticeFault(kind=LOSE, share=0.3), times=1000, seed=seed).count(()) for seed in (1, 1, 2)]
    assert lost[0] == lost[1] != lost[2]
    assert all(250 < each < 350 for each in lost)


def test_faults_add_up() -> None:
    pauses = treated(NoticeFault(kind=DELAY, seconds=5), NoticeFault(kind=DUPLICATE, copies=2))
    assert pauses == [(5.0, 5.0, 5.0)]
    assert treated(NoticeFault(kind=DUPLICATE), NoticeFault(kind=LOSE, mailbox="an id")) == [()]


def test_reordering_scatters_within_its_time() -> None:
    pauses = [each for (each,) in treated(NoticeFault(kind=REORDER, seconds=2), times=100)]
    assert all(0 <= each < 2 for each in pauses)
    assert pauses != sorted(pauses)


FAULTS = st.builds(
    NoticeFault,
    kind=st.sampled_from(NoticeFaultKind),
    mailbox=st.sampled_from(["", ONE, TWO]),
    copies=st.integers(1, 5),
    seconds=st.floats(0, 100),
)


@given(st.lists(FAULTS, max_size=6))
def test_a_notification_is_lost_or_sent_so_often_and_so_late(faults: list[NoticeFault]) -> None:
    (pauses,) = treated(*faults)
    struck = [fault for fault in faults if fault.mailbox in {"", ONE}]
    if any(fault.kind is LOSE for fault in struck):
        assert pauses == ()
        return
    late = sum(fault.seconds for fault in struck if fault.kind is DELAY)
    most = late + sum(fault.seconds for fault in struck if fault.kind is REORDER)
    assert len(pauses) == 1 + sum(fault.copies for fault in struck if fault.kind is DUPLICATE)
    assert all(late <= each <= most for each in pauses)
