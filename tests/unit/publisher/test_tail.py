"""The end of the log in memory: parts that are not too heavy, written once for all, and never more than a moment's."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.publisher import tail
from services.publisher.bell import Bell
from services.publisher.envelope import Told
from services.publisher.log import LogPage, Scope
from services.publisher.tail import Batch, Tail, frame, split
from shared.store import open_store

ORGS = ("acme", "beta", "gamma")


def told(position: int, org_id: str, weight: int = 10) -> Told:
    body = b'{"a":"%s"}' % (b"x" * weight)
    return Told(
        position=position, org_id=org_id, mailbox_id="m", type="availability.updated.v1", created_at=0, body=body
    )


@st.composite
def rows(draw: st.DrawFn) -> tuple[Told, ...]:
    """Return rows in order, with gaps between their positions."""
    steps = draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(ORGS), st.integers(0, 900)), max_size=12))
    found, position = [], 0
    for step, org_id, weight in steps:
        position += step
        found.append(told(position, org_id, weight))
    return tuple(found)


@settings(max_examples=60, deadline=None)
@given(given_rows=rows(), beyond=st.integers(0, 3))
def test_parts_of_a_page_are_the_page_in_order_and_none_is_too_heavy(given_rows: tuple[Told, ...], beyond: int) -> None:
    position = (given_rows[-1].position if given_rows else 0) + beyond
    heaviest, tail.HEAVIEST = tail.HEAVIEST, 1000  # type: ignore[misc]
    try:
        parts = split(LogPage(given_rows, position, full=False))
    finally:
        tail.HEAVIEST = heaviest  # type: ignore[misc]
    assert tuple(each for part, _ in parts for each in part) == given_rows
    assert parts[-1][1] == position
    assert all(part[-1].position <= reached for part, reached in parts if part)
    assert [reached for _, reached in parts] == sorted({reached for _, reached in parts})
    assert all(len(part) == 1 or sum(len(each.body) for each in part) <= 1000 for part, _ in parts)


@settings(max_examples=60, deadline=None)
@given(
    given_rows=rows(),
    orgs=st.none() | st.frozensets(st.sampled_from(ORGS)),
    words=st.frozensets(st.integers(1, 20), max_size=2),
)
def test_everybody_hears_what_lies_within_its_scope_and_nothing_else(
    given_rows: tuple[Told, ...], orgs: frozenset[str] | None, words: frozenset[int]
) -> None:
    scope = Scope(orgs, words)
    batch = Batch(given_rows, after=0, position=99, read_at=0.0)
    wanted = [each for each in given_rows if orgs is None or each.org_id in orgs or each.position in words]
    assert batch.heard(scope) == wanted
    assert batch.frames(scope) == b"".join(map(frame, wanted))
    assert batch.frames(scope) is batch.frames(Scope(orgs, words))  # written once for all


def test_an_event_is_one_frame_whatever_its_text_holds() -> None:
    lines = frame(told(7, "acme")).split(b"\n")
    assert [line.partition(b":")[0] for line in lines] == [b"id", b"event", b"data", b"", b""]


async def test_what_is_kept_in_memory_is_bounded_in_bytes_and_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"sqlite:///{tmp_path}/never-opened.db")
    kept = Tail(store, Bell())
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(tail, "KEPT", 1000)
    for place in range(50):
        kept._keep(Batch((told(place + 1, "acme", 200),), after=place, position=place + 1, read_at=now))
        assert sum(batch.weight for batch in kept._batches.values()) == kept._weight <= 1000
    assert kept.batch(0) is None
    assert kept.batch(49) is not None
    kept._keep(Batch((), after=50, position=51, read_at=now + 2))
    monkeypatch.setattr(tail, "FRESH", -60.0)
    kept._forget()
    assert (kept._batches, kept._weight) == ({}, 0)
    await store.close()


async def test_one_heavy_batch_is_kept_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"sqlite:///{tmp_path}/never-opened.db")
    kept = Tail(store, Bell())
    monkeypatch.setattr(tail, "KEPT", 10)
    kept._keep(Batch((told(1, "acme"),), after=0, position=1, read_at=asyncio.get_running_loop().time()))
    assert kept.batch(0) is not None
    await store.close()
