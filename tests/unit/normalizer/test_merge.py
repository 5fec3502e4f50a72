"""One line of blocks, the highest status winning at every instant."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.normalizer.merge import RANKED, merge
from shared.contracts.values import Block, Status, Window
from tests.unit.normalizer.events import blocks

WINDOW = Window(0, 100)
many = st.lists(blocks(), max_size=30)


def by_the_second(given_blocks: list[Block], window: Window) -> list[Status | None]:
    """Return the oracle's answer: the highest status at each second of the window."""
    line = []
    for second in range(window.start, window.end):
        here = [block.status for block in given_blocks if block.start <= second < block.end]
        line.append(max(here, key=RANKED.index, default=None))
    return line


@given(many)
def test_every_second_has_the_highest_status_of_its_blocks(given_blocks: list[Block]) -> None:
    merged = list(merge(given_blocks, WINDOW))
    assert by_the_second(merged, WINDOW) == by_the_second(given_blocks, WINDOW)


@given(many)
def test_merging_twice_is_merging_once(given_blocks: list[Block]) -> None:
    once = merge(given_blocks, WINDOW)
    assert merge(once, WINDOW) == once


@given(many, st.randoms(use_true_random=False))
def test_the_order_of_the_blocks_does_not_matter(given_blocks: list[Block], chance: random.Random) -> None:
    shuffled = list(given_blocks)
    chance.shuffle(shuffled)
    assert merge(shuffled, WINDOW) == merge(given_blocks, WINDOW)


@given(many)
def test_blocks_are_sorted_never_overlap_and_are_joined_where_they_touch(given_blocks: list[Block]) -> None:
    merged = merge(given_blocks, WINDOW)
    assert all(block.start < block.end for block in merged)
    assert all(one.end <= other.start for one, other in pairwise(merged))
    assert all(one.end < other.start or one.status is not other.status for one, other in pairwise(merged))


@given(many)
def test_nothing_lies_outside_the_window(given_blocks: list[Block]) -> None:
    assert all(block.start >= 0 and block.end <= 100 for block in merge(given_blocks, WINDOW))


def test_statuses_rank_from_oof_down_to_free() -> None:
    ranked = [Status.OOF, Status.BUSY, Status.TENTATIVE, Status.UNKNOWN, Status.ELSEWHERE, Status.FREE]
    for higher, lower in pairwise(ranked):
        assert merge([Block(0, 9, lower), Block(0, 9, higher)], WINDOW) == (Block(0, 9, higher),)


def test_touching_blocks_of_different_status_stay_apart() -> None:
    touching = (Block(0, 10, Status.BUSY), Block(10, 20, Status.OOF))
    assert merge(touching, WINDOW) == touching


def test_a_lower_block_shows_on_both_sides_of_a_higher_one() -> None:
    merged = merge([Block(0, 30, Status.TENTATIVE), Block(10, 20, Status.BUSY)], WINDOW)
    assert merged == (
        Block(0, 10, Status.TENTATIVE),
        Block(10, 20, Status.BUSY),
        Block(20, 30, Status.TENTATIVE),
    )


def test_instants_before_1970_are_drawn_alike() -> None:
    assert merge([Block(-90, -50, Status.BUSY)], Window(-80, -10)) == (Block(-80, -50, Status.BUSY),)
