"""What of the log is delivered next: everything, once, in order within a mailbox, an org's last word alone."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from services.publisher.webhooks.order import Ahead, Key, laid_out


@st.composite
def logs(draw: st.DrawFn) -> list[Ahead]:
    """Return rows of a log ahead of a cursor; of an org whose last word waits every row says so."""
    waiting = draw(st.sets(st.sampled_from("ab")))
    positions = sorted(draw(st.sets(st.integers(1, 99), max_size=20)))
    return [
        Ahead(
            position=position,
            org_id=(org := draw(st.sampled_from("abc"))),
            mailbox_id=draw(st.sampled_from(["m1", "m2", "m3"] if org in waiting else ["m1", "m2", ""])),
            org_waits=org in waiting,
        )
        for position in positions
    ]


@given(logs())
def test_going_through_a_log_delivers_all_of_it_in_order(log: list[Ahead]) -> None:
    came: dict[Key, list[int]] = defaultdict(list)
    behind: dict[Key, int] = {}
    whole: list[int] = []
    cursor = 0
    while rows := [row for row in log if row.position > cursor and row.key not in behind]:
        laid = laid_out(rows, reached=100, idle=True)
        assert laid is not None
        assert laid.reached > cursor
        assert not set(laid.lanes) & set(behind)
        for key, positions in laid.lanes.items():
            came[key] += positions
            if key.mailbox_id == "":
                assert len(laid.lanes) == 1
                whole += positions
                assert all(p < positions[0] for k, ps in came.items() if k.org_id == key.org_id for p in ps[:-1])
        behind |= laid.behind
        cursor = laid.reached
    for row in log:
        waits = row.key in behind and row.position >= behind[row.key]
        assert waits or row.position in came[row.key]
        assert waits is row.org_waits
    assert all(positions == sorted(set(positions)) for positions in came.values())


def test_the_word_that_an_org_left_waits_for_deliveries_under_way() -> None:
    word = Ahead(position=7, org_id="a", mailbox_id="")
    assert laid_out([word], reached=9, idle=False) is None
    found = laid_out([word], reached=9, idle=True)
    assert found is not None
    assert (found.lanes, found.reached) == ({Key("a", ""): (7,)}, 7)
