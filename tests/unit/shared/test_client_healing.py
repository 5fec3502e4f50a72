"""Whatever a queue loses and repeats, a replica that catches up over HTTP ends at exactly what is published."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.client.ledger import Ledger
from shared.client.replica import Replica
from shared.client.updates import Update
from tests.unit.shared.client_history import History, happen, state, steps


class Reader:
    """A replica over a queue that loses and repeats, read beside HTTP; it can be closed and opened anew."""

    def __init__(self, history: History, path: Path, chance: Random) -> None:
        self.history, self.path, self.chance = history, path, chance
        self.replica, self.ledger = Replica(path), Ledger()
        self.queue: list[Update] = []
        self.sent = 0

    def announce(self) -> None:
        for update in self.history.told_after(self.sent):
            self.queue += [update] * self.chance.choice([0, 1, 1, 1, 2])
        self.sent = self.history.last()

    def take(self) -> None:
        count = self.chance.randrange(len(self.queue) + 1)
        came, self.queue = self.queue[:count], self.queue[count:]
        self.replica.brought(came)
        for update in came:
            self.ledger.brought(update.position)

    def catch_up(self) -> None:
        position = self.replica.position
        assert position is not None
        told = self.history.told_after(position)
        cut = self.chance.randrange(len(told) + 1)
        for page in (told[:cut], told[cut:]):
            last = self.history.last() if page == told[cut:] else page[-1].position if page else position
            self.replica.told(self.ledger.lacking(page), last)
        self.ledger.caught_up(self.history.last())

    def begin(self) -> None:
        self.replica.lay_aside("acme", self.history.snapshot())
        self.replica.begin("acme", self.history.last())
        self.replica.go_on_from(self.history.last())

    def restart(self) -> None:
        self.replica.close()
        self.replica, self.ledger = Replica(self.path), Ledger()

    def move(self) -> None:
        self.chance.choice([self.take, self.take, self.catch_up, self.restart])()


@settings(max_examples=25, deadline=None)
@given(steps(), st.randoms(use_true_random=False))
def test_what_a_queue_loses_and_repeats_is_healed_over_http(
    tmp_path_factory: pytest.TempPathFactory, happened: list[object], chance: Random
) -> None:
    history = History()
    reader = Reader(history, tmp_path_factory.mktemp("replica") / "replica.db", chance)
    reader.begin()
    for step in happened:
        happen(history, step)
        reader.announce()
        reader.move()
    reader.take()
    reader.catch_up()
    assert state(reader.replica.mailboxes()) == state(tuple(entry.held for entry in history.snapshot()))
    reader.queue += history.told_after(0)  # everything is delivered once more
    reader.take()
    assert state(reader.replica.mailboxes()) == state(tuple(entry.held for entry in history.snapshot()))
    reader.replica.close()


def test_every_gap_of_a_queue_is_counted_once() -> None:
    ledger = Ledger()
    told = [Update(position=n, org_id="acme", mailbox_id=f"m-{n}", data=None) for n in range(1, 7)]  # type: ignore[arg-type]
    ledger.brought(1)
    assert [each.position for each in ledger.lacking(told)] == [2, 3, 4, 5, 6]
    ledger.caught_up(6)
    for position in (2, 4, 6, 9):
        ledger.brought(position)
    assert ledger.gaps == 2
    ledger.brought(3)
    assert ledger.gaps == 2
