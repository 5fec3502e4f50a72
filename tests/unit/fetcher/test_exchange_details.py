from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.fetcher.exchange_details import MEANWHILE, followed, lacks_following, read_details
from services.fetcher.failure import TOO_LARGE
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import DAY, Window
from shared.ews.envelopes import Envelope
from shared.ews.errors import EwsError
from tests.unit.fetcher.exchange_town import Exchange, event

DAYS = 244
WINDOW = Window(1_790_000_000 // DAY * DAY, (1_790_000_000 // DAY + DAYS) * DAY)
A = "a@example.org"
DETAILS = Policy(detail=Detail.DETAILS)


def filled(*hours: int, **fields: object) -> Exchange:
    exchange = Exchange()
    exchange.books[A] = [
        event(WINDOW.start + hour * 3600, WINDOW.start + hour * 3600 + 1800, f"e{place}", **fields)
        for place, hour in enumerate(hours)
    ]
    return exchange


async def test_a_quiet_calendar_is_one_view_and_one_look_at_its_items() -> None:
    exchange = filled(1, 2, 3)
    found = await read_details(exchange, A, WINDOW, policy=DETAILS)
    assert [each.details and each.details.organizer for each in found] == [f"e{n}@example.org" for n in range(3)]
    assert [each.details and each.details.subject for each in found] == [f"subject of e{n}" for n in range(3)]
    assert exchange.operations == {"FindItem": 1, "GetItem": 1}
    assert {envelope.mailbox for envelope in exchange.asked} == {A}, "everything is charged to the mailbox"


@given(st.lists(st.integers(0, DAYS * 24 - 1), min_size=1, max_size=80), st.integers(4, 30))
async def test_a_view_that_is_cut_is_asked_for_in_halves_until_nothing_is_missing(hours: list[int], items: int) -> None:
    exchange = filled(*dict.fromkeys(hours))  # one event an hour
    exchange.items = items
    found = await read_details(exchange, A, WINDOW, policy=DETAILS)
    assert sorted(each.start for each in found) == sorted(each.start for each in exchange.books[A])


async def test_a_full_view_counts_as_cut_whatever_the_server_says_of_it() -> None:
    exchange = filled(*range(1000))
    exchange.items = 5000  # it would say that the thousand were all
    found = await read_details(exchange, A, WINDOW, policy=DETAILS)
    assert len(found) == 1000
    assert exchange.operations["FindItem"] > 1


async def test_what_no_halving_makes_smaller_is_too_large_and_no_endless_loop() -> None:
    exchange = filled(*([5] * 40))
    exchange.items = 20
    with pytest.raises(EwsError) as raised:
        await read_details(exchange, A, WINDOW, policy=DETAILS)
    assert raised.value.code == TOO_LARGE


@pytest.mark.parametrize("sensitivity", ["private", "confidential", "anything else"])
async def test_nothing_more_is_asked_of_a_private_event_and_nothing_of_it_goes_on(sensitivity: str) -> None:
    exchange = filled(1, 2, sensitivity=sensitivity)
    found = await read_details(exchange, A, WINDOW, policy=replace(DETAILS, conferencing=True))
    assert [each.details for each in found] == [None, None]
    assert exchange.operations == {"FindItem": 1}


@pytest.mark.parametrize("fields", [{"cancelled": True}, {"response": "declined"}, {"show_as": "free"}])
async def test_nothing_more_is_asked_of_an_event_that_takes_no_time(fields: dict[str, object]) -> None:
    exchange = filled(1, 2, **fields)
    assert await read_details(exchange, A, WINDOW, policy=DETAILS) == ()
    assert exchange.operations == {"FindItem": 1}


async def test_free_events_are_read_where_the_policy_shows_them() -> None:
    exchange = filled(1, show_as="free")
    assert len(await read_details(exchange, A, WINDOW, policy=replace(DETAILS, show_free=True))) == 1


async def test_an_item_that_vanishes_while_it_is_read_makes_the_reading_none() -> None:
    exchange = filled(1, 2)
    exchange.vanished.add("e1")
    with pytest.raises(EwsError) as raised:
        await read_details(exchange, A, WINDOW, policy=DETAILS)
    assert raised.value.code == MEANWHILE


@pytest.mark.parametrize("conferencing", [True, False])
async def test_join_links_are_asked_for_only_where_the_policy_publishes_them(conferencing: bool) -> None:
    exchange = filled(1)
    await read_details(exchange, A, WINDOW, policy=replace(DETAILS, conferencing=conferencing))
    asked = b"".join(envelope.body for envelope in exchange.asked)
    assert (b"JoinOnlineMeetingUrl" in asked) is conferencing


async def test_a_longer_window_than_a_view_may_be_is_cut() -> None:
    exchange = filled(1)
    century = Window(WINDOW.start - 20 * 365 * DAY, WINDOW.start + 20 * 365 * DAY)
    found = await read_details(exchange, A, century, policy=DETAILS)
    assert len(found) == 1
    assert exchange.operations["FindItem"] == -(-40 * 365 // 700)


async def test_following_begins_with_everything_and_goes_on_with_what_changed() -> None:
    exchange = filled(*range(1200))
    state, changed = await followed(exchange, A, "")
    assert changed
    assert exchange.operations == {"SyncFolderItems": 3}, "512 changes a call"
    assert await followed(exchange, A, state) == (state, False)
    exchange.states[A] = 1
    assert (await followed(exchange, A, state))[1]


async def test_a_state_the_server_does_not_know_any_more_begins_anew() -> None:
    exchange = filled(1)
    state, changed = await followed(exchange, A, "99")
    assert changed
    assert await followed(exchange, A, state) == (state, False)


async def test_a_server_that_never_comes_to_an_end_is_given_up() -> None:
    exchange = filled(1)
    exchange.page = 0
    with pytest.raises(EwsError):
        await followed(exchange, A, "0" if exchange.states.setdefault(A, 5) else "")


async def test_instances_that_a_server_gives_one_id_are_all_read() -> None:
    exchange = filled(1, 25, 49)
    exchange.books[A] = [replace(each, details=exchange.books[A][0].details) for each in exchange.books[A]]
    found = await read_details(exchange, A, WINDOW, policy=DETAILS)
    assert [each.start for each in found] == [each.start for each in exchange.books[A]]
    assert {each.details and each.details.organizer for each in found} == {"e0@example.org"}


async def test_a_server_that_knows_none_of_its_own_states_is_not_asked_for_ever() -> None:
    exchange = filled(*range(600))

    async def ask(envelope: Envelope, decode: Any) -> Any:
        if b"SyncState" in envelope.body:
            exchange.asked.append(envelope)
            raise EwsError("ErrorInvalidSyncStateData", charged="mailbox")
        return await Exchange.ask(exchange, envelope, decode)

    exchange.ask = ask  # type: ignore[method-assign]  # this server alone
    with pytest.raises(EwsError) as raised:
        await followed(exchange, A, "1")
    assert len(exchange.asked) == 3
    assert lacks_following(raised.value.code)
