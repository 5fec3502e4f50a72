"""The parts that finding time is made of: sets of starts, counts, a part of a stored line, gaps."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.publisher.finding.counting import at_least, by_count, counted, members
from services.publisher.finding.grid import gaps, grid_of, joined, marked
from services.publisher.finding.line import blocks_within
from shared.zones import resolve


@given(st.lists(st.integers(0, 255), max_size=9), st.integers(0, 10))
def test_counts_are_those_of_counting(sets: list[int], number: int) -> None:
    digits = counted(sets)
    each = {start: sum(one >> start & 1 for one in sets) for start in range(8)}
    assert set(members(at_least(digits, number, among=255))) == {at for at, count in each.items() if count >= number}
    ranked = [start for equal in by_count(digits, among=255) for start in members(equal)]
    assert ranked == sorted(range(8), key=lambda start: each[start])


@st.composite
def lines(draw: st.DrawFn) -> list[tuple[int, int, str]]:
    cuts = sorted(draw(st.sets(st.integers(1_000_000_000, 1_000_100_000), max_size=60)))
    spans = zip(cuts[::2], cuts[1::2], strict=False)
    return [(start, end, draw(st.sampled_from(["busy", "free"]))) for start, end in spans]


@settings(deadline=None, max_examples=40)
@given(lines(), st.integers(-5000, 105_000), st.integers(1, 60_000), st.integers(0, 60))
def test_reading_a_part_of_a_line_finds_every_block_that_shares_time_with_it(
    line: list[tuple[int, int, str]], begin: int, length: int, repeated: int
) -> None:
    many = [  # the same line again and again: one long enough to be read in part
        (start + turn * 200_000, end + turn * 200_000, status)
        for turn in range(repeated)
        for start, end, status in line
    ]
    start = 1_000_000_000 + (repeated // 2) * 200_000 + begin
    found = blocks_within(_stored(many), start, start + length)
    expected = [block for block in many if block[0] < start + length and start < block[1]]
    assert [block for block in found if block in expected] == expected
    assert len(found) <= len(expected) + 120
    assert set(found) <= set(many)


def test_no_block_of_a_long_line_is_passed_over() -> None:
    line = [(1_000_000_000 + 60 * n, 1_000_000_060 + 60 * n, "busy") for n in range(500)]
    stored = _stored(line)
    for block in line:
        assert block in blocks_within(stored, block[1] - 1, block[1])
        assert block in blocks_within(stored, block[0] - 3000, block[0] + 1)


def _stored(blocks: list[tuple[int, int, str]]) -> bytes:
    return b"[" + b",".join(f'[{start},{end},"{status}"]'.encode() for start, end, status in blocks) + b"]"


@settings(deadline=None, max_examples=40)
@given(lines(), st.sampled_from([300, 900, 1800]), st.integers(60, 9000), st.integers(0, 4000), st.integers(0, 4000))
def test_a_start_is_marked_where_it_shares_a_second_with_what_blocks(
    line: list[tuple[int, int, str]], step: int, length: int, before: int, after: int
) -> None:
    zone = resolve("UTC")
    assert zone is not None
    grid = grid_of((1_000_010_000, 1_000_060_000), step=step, length=length, zone=zone)
    found = marked(grid, line, {"busy"}, before=before, after=after)
    for number in range(grid.count):
        start = grid.start(number)
        met = [s for s, e, status in line if status == "busy" and start - before < e and s < start + length + after]
        assert bool(found >> number & 1) == bool(met)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)).map(lambda span: (span[0], sum(span)))))
def test_gaps_are_what_joined_spans_leave(spans: list[tuple[int, int]]) -> None:
    left = gaps(joined(spans), (0, 60))
    inside = {second for start, end in spans for second in range(start, end)}
    assert [second for start, end in left for second in range(start, end)] == [
        second for second in range(60) if second not in inside
    ]
