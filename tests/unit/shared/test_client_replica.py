"""A replica ends at exactly what is published, wherever it begins, and takes nothing unknown for free."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.publisher import news
from services.publisher.timeline import covered
from shared.client.errors import Unknown
from shared.client.over_http import Entry
from shared.client.replica import Busy, Replica
from shared.client.updates import Update
from shared.contracts.public import AvailabilityUpdated
from shared.contracts.values import Bucket, Coverage, Status
from tests.unit.publisher.readings import MONDAY, busy, erased, snapshot, unreadable
from tests.unit.shared.client_history import History, happen, known, state, steps

HOUR = timedelta(hours=1)
START = datetime.fromtimestamp(MONDAY, UTC)


@settings(max_examples=20, deadline=None)
@given(steps(), st.data())
def test_a_snapshot_taken_anytime_and_what_follows_arrive_at_what_is_published(
    happened: list[object], data: st.DataObject
) -> None:
    history = History()
    cut = data.draw(st.integers(0, len(happened)))
    for step in happened[:cut]:
        happen(history, step)
    with Replica() as replica:
        position = history.last()
        later = data.draw(st.integers(cut, len(happened)))  # the page is read later than the position
        for step in happened[cut:later]:
            happen(history, step)
        replica.lay_aside("acme", history.snapshot())
        replica.begin("acme", position)
        replica.go_on_from(position)
        for step in happened[later:]:
            happen(history, step)
        replica.told(history.told_after(position), history.last())
        assert state(replica.mailboxes()) == state(tuple(entry.held for entry in history.snapshot()))


def holding(*blocks: object, path: str | Path = ":memory:", position: int = 5) -> Replica:
    timeline = covered(snapshot(*blocks))  # type: ignore[arg-type]
    replica = Replica(path)
    replica.lay_aside("acme", [Entry(position=position, held=news.update(timeline, timeline.window))])
    replica.begin("acme", position)
    replica.go_on_from(position)
    return replica


def removal(history_of: object, position: int) -> Update:
    history = History()
    happen(history, snapshot(busy(1, 2)))
    before = history.last()
    happen(history, history_of)
    (told,) = history.told_after(before)
    return Update(position=position, org_id="acme", mailbox_id="m-0001", data=told.data)


def test_busy_time_is_answered_by_address_and_by_id_cut_to_the_time_asked_for() -> None:
    with holding(busy(9, 11), busy(12, 13, Status.OOF)) as replica:
        expected = (Busy(START + 10 * HOUR, START + 11 * HOUR, Status.BUSY),)
        for name in ("m-0001", "M-0001@Example.com"):
            assert replica.busy(name, START + 10 * HOUR, START + 12 * HOUR) == expected
        assert replica.busy("m-0001", START, START + HOUR, org="acme") == ()


def test_nothing_unknown_is_ever_free() -> None:
    with Replica() as replica, pytest.raises(Unknown, match="not_begun"):
        replica.busy("m-0001", START, START + HOUR)
    with holding(busy(9, 10)) as replica:
        with pytest.raises(Unknown, match="mailbox_unknown"):
            replica.busy("m-0002", START, START + HOUR)
        with pytest.raises(Unknown, match="mailbox_unknown"):
            replica.busy("m-0001", START, START + HOUR, org="other")
        for start, end in ((START - HOUR, START + HOUR), (START, START + timedelta(days=61))):
            with pytest.raises(Unknown, match="outside_window") as refused:
                replica.busy("m-0001", start, end)
            assert refused.value.window is not None
        failing = covered(snapshot(version=2))
        unknown = news.update(failing, failing.window)
        told = AvailabilityUpdated(
            **{name: getattr(unknown, name) for name in unknown.__struct_fields__}
            | {"coverage": Coverage.UNKNOWN, "reason": "throttled"}
        )
        replica.told([Update(position=6, org_id="acme", mailbox_id="m-0001", data=told)], 6)
        with pytest.raises(Unknown, match="throttled"):
            replica.busy("m-0001", START, START + HOUR)


@pytest.mark.parametrize("span", [(START.replace(tzinfo=None), START), (START, START), (START + HOUR, START)])
def test_a_span_needs_a_zone_and_some_time(span: tuple[datetime, datetime]) -> None:
    with holding() as replica, pytest.raises(ValueError, match=r"zone|ends"):
        replica.busy("m-0001", *span)


def test_parts_of_a_second_are_asked_for_whole() -> None:
    with holding(busy(9, 10)) as replica:
        just_before = START + 9 * HOUR - timedelta(milliseconds=1)
        assert replica.busy("m-0001", just_before, START + 9 * HOUR) == ()
        assert replica.busy("m-0001", START, START + 9 * HOUR + timedelta(milliseconds=1)) != ()


def test_state_and_position_outlast_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    with holding(busy(9, 10), path=path) as replica:
        before = state(replica.mailboxes())
    with Replica(path) as replica:
        assert (state(replica.mailboxes()), replica.position, replica.orgs()) == (before, 5, ("acme",))


def test_a_transaction_that_fails_changes_neither_state_nor_position() -> None:
    with holding(busy(9, 10)) as replica:
        broken = Update(position=7, org_id="acme", mailbox_id="m-0001", data=None)  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            replica.told([removal(unreadable(Bucket.REMOVED), 6), broken], 7)
        assert (replica.position, len(replica.mailboxes())) == (5, 1)


@pytest.mark.parametrize("how", ["removed", "erased", "org"])
def test_what_was_removed_stays_nowhere_in_the_files(tmp_path: Path, how: str) -> None:
    path = tmp_path / "replica.db"
    with holding(busy(9, 10), path=path) as replica:
        match how:
            case "removed":
                replica.told([removal(unreadable(Bucket.REMOVED), 6)], 6)
            case "erased":
                replica.brought([removal(erased(version=2), 6)])
            case _:
                replica.forget("acme")
        assert replica.mailboxes() == ()
        for file in tmp_path.iterdir():
            assert b"m-0001@example.com" not in file.read_bytes()


def test_a_repetition_from_before_a_removal_brings_nothing_back() -> None:
    with holding(busy(9, 10)) as replica:
        timeline = covered(snapshot(busy(9, 10), version=2))
        late = Update(position=6, org_id="acme", mailbox_id="m-0001", data=news.update(timeline, timeline.window))
        replica.brought([late, removal(unreadable(Bucket.REMOVED), 7), late])
        assert replica.mailboxes() == ()
        assert (replica.stats.applied, replica.stats.duplicates) == (2, 1)
        replica.told([], 7)
        replica.brought([late])
        assert replica.mailboxes() == ()


def test_an_org_that_is_not_followed_is_neither_kept_nor_counted() -> None:
    with holding() as replica:
        update = removal(unreadable(Bucket.REMOVED), 6)
        replica.told([Update(position=6, org_id="other", mailbox_id="m-1", data=update.data)], 6)
        assert (replica.stats.applied, replica.stats.duplicates, replica.position) == (0, 0, 6)
        replica.keep_only(["other"])
        assert (replica.mailboxes(), replica.orgs()) == ((), ())


def test_a_file_of_another_shape_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    holding(busy(9, 10), path=path).close()
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version=99")
    base.close()
    with Replica(path) as replica:
        assert (replica.mailboxes(), replica.position) == ((), None)


def test_half_a_snapshot_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    timeline = covered(snapshot(mailbox_id="m-2"))
    with holding(busy(9, 10), path=path) as replica:
        replica.lay_aside("acme", [Entry(position=9, held=news.update(timeline, timeline.window))])
        assert [known(held)[0] for held in replica.mailboxes()] == ["m-0001"]
    with Replica(path) as replica:
        replica.keep_only(["acme"])  # as following begins
        replica.begin("acme", 9)
        assert replica.mailboxes() == ()
