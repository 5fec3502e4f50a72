"""An org's mailboxes as they are shown, on both databases: pages, filters, the file; and what they are told as."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.authorizer import boxes
from services.authorizer.boxes import Box, Place, Wanted, inert, place, table, told, written
from shared.contracts.values import Bucket
from shared.store import Store
from tests.unit.authorizer.acting import NOW
from tests.unit.authorizer.console.town import put

ONE = Box(
    mailbox_id="m1", address="a@x.example", kind="user", bucket=Bucket.ACTIVE, reason="", waiting="", read_at=None,
    next_try=None, subscribed_until=None, failures=0, generation=1,
)  # fmt: skip


@pytest.fixture
async def town(both: Store) -> Store:
    for number in range(7):
        await put(both, number, covered=False)
    await put(both, 7, address="person00003@acme.example", covered=False)  # two of one address
    await put(both, 8, bucket="denied", reason="access_denied", covered=False)
    await put(both, 9, org_id="beta", covered=False)
    return both


async def test_pages_of_whatever_size_give_every_mailbox_once(town: Store) -> None:
    for limit in (1, 2, 5, 9, 50):
        seen, after = [], None
        while True:
            found = await boxes.page(town, "acme", Wanted(), after=after, limit=limit)
            seen += [box.mailbox_id for box in found.boxes]
            assert found.count == 9
            if (after := found.following) is None:
                break
        assert sorted(seen) == [f"m{number:05d}" for number in range(9)]


async def test_a_page_after_a_mailbox_that_is_gone_goes_on_where_it_stood(town: Store) -> None:
    after = Place("person00002@acme.example", "zzz")
    found = await boxes.page(town, "acme", Wanted(), after=after, limit=2)
    assert [box.mailbox_id for box in found.boxes] == ["m00003", "m00007"]


async def test_all_are_listed_by_their_ids(town: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "PAGE", 2)
    seen = [box.mailbox_id async for box in boxes.listed(town, "acme", Wanted())]
    assert seen == [f"m{number:05d}" for number in range(9)]


async def test_filters_hold_together(town: Store) -> None:
    wanted = Wanted(text="PERSON", bucket=Bucket.DENIED, reason="access_denied")
    assert (await boxes.page(town, "acme", wanted)).count == 1
    assert (await boxes.page(town, "acme", replace(wanted, waiting=True))).count == 0


@pytest.mark.parametrize("text", ["%", "_", "\\", "\0", "\ud800", "person0000%"])
async def test_no_text_is_a_pattern_and_none_breaks_the_database(town: Store, text: str) -> None:
    assert (await boxes.page(town, "acme", Wanted(text=text))).boxes == ()
    assert (await boxes.page(town, "acme", Wanted(reason=text))).boxes == ()
    assert await boxes.box(town, "acme", text) is None


async def test_a_mailbox_is_found_in_its_own_org_alone(town: Store) -> None:
    assert await boxes.box(town, "acme", "m00009") is None
    found = await boxes.box(town, "beta", "m00009")
    assert found is not None


async def test_one_that_waits_is_tried_next_when_its_pause_ends(both: Store) -> None:
    one = await put(both, 1, waiting="throttled", retry_at=NOW + 5, due_at=NOW + 500, covered=False)
    found = await boxes.box(both, "acme", one)
    assert found is not None
    assert (found.waiting, found.next_try) == ("throttled", NOW + 5)


@given(address=st.text(max_size=320), mailbox_id=st.text(max_size=128))
def test_a_place_comes_back_as_it_was_written_or_not_at_all(address: str, mailbox_id: str) -> None:
    where = Place(address, mailbox_id)
    plain = address.isprintable() and mailbox_id.isprintable()
    try:
        text = written(where)
    except UnicodeEncodeError:
        return
    assert place(text) == (where if plain else None)


@given(text=st.text(max_size=400))
def test_no_address_of_a_page_breaks_anything(text: str) -> None:
    found = place(text)
    assert found is None or found.address.isprintable()


@given(cell=st.text(max_size=50))
def test_no_cell_is_a_formula(cell: str) -> None:
    assert not inert(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


@given(addresses=st.lists(st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"))))
def test_the_file_reads_back(addresses: list[str]) -> None:
    rows = [told(replace(ONE, address=address), NOW) for address in addresses]
    read = list(csv.DictReader(io.StringIO(table(rows), newline="")))
    assert [row["address"] for row in read] == [inert(address) for address in addresses]


def test_a_promise_that_has_passed_is_none() -> None:
    assert told(replace(ONE, subscribed_until=NOW), NOW)["subscribed"] == ""
    assert told(replace(ONE, subscribed_until=NOW + 1), NOW)["subscribed"] != ""
