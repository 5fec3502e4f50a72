from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.exchange_batches import Events, Told
from services.fetcher.exchange_free_busy import FreeBusy
from services.fetcher.failure import TOO_LARGE
from shared.contracts.messages import RawEvent
from shared.contracts.values import DAY, Window, WorkPeriod
from shared.ews.envelopes import Envelope
from shared.ews.errors import EwsError
from shared.ews.time_zone import Turn, ZoneRules
from tests.unit.fetcher.exchange_town import Exchange, event

WINDOW = Window(1_790_000_000 // DAY * DAY - 42 * DAY, 1_790_000_000 // DAY * DAY + 202 * DAY)
A, B = "a@example.org", "b@example.org"


def plain(events: list[RawEvent]) -> set[RawEvent]:
    return {RawEvent(each.start, each.end, each.show_as) for each in events}


def events(found: Mapping[str, Told | EwsError], address: str) -> Events:
    told = found[address]
    assert isinstance(told, Told)
    return told.events


async def test_a_hundred_mailboxes_and_the_default_window_are_four_requests() -> None:
    exchange = Exchange()
    names = [f"{number}@example.org" for number in range(100)]
    await FreeBusy(exchange)(names, WINDOW)
    assert exchange.operations == {"GetUserAvailability": 4}
    assert all(envelope.charged == "account" for envelope in exchange.asked), "no impersonation is needed"


@pytest.mark.parametrize("tells_limit", [True, False])
async def test_a_server_that_allows_42_days_is_asked_for_62_once(tells_limit: bool) -> None:
    exchange = Exchange()
    exchange.days, exchange.tells_limit = 42, tells_limit
    free_busy = FreeBusy(exchange)
    await free_busy([A], WINDOW)
    assert exchange.operations == {"GetUserAvailability": 1 + 6}
    await free_busy([A], WINDOW)
    assert exchange.operations == {"GetUserAvailability": 1 + 6 + 6}, "what was learned is remembered"


async def test_a_server_that_refuses_even_42_days_is_an_error_and_no_endless_loop() -> None:
    exchange = Exchange()
    exchange.days, exchange.tells_limit = 1, False
    with pytest.raises(EwsError) as raised:
        await FreeBusy(exchange)([A], WINDOW)
    assert raised.value.code == "ErrorTimeIntervalTooBig"


@given(
    st.lists(st.tuples(st.integers(0, 243 * 24), st.integers(1, 900)), max_size=60), st.sampled_from([2, 17, 42, 62])
)
async def test_however_the_window_is_cut_every_event_is_there_once(drawn: list[tuple[int, int]], days: int) -> None:
    exchange = Exchange()
    exchange.days = days
    start = WINDOW.start
    exchange.books[A] = [
        event(start + hour * 3600, start + (hour + length) * 3600, str(place))
        for place, (hour, length) in enumerate(drawn)
    ]
    found = events(await FreeBusy(exchange)([A], WINDOW), A)
    assert len(found) == len(set(found))
    assert set(found) == plain(exchange.books[A])


async def test_a_dense_calendar_is_asked_for_in_halves_and_the_others_are_not() -> None:
    exchange = Exchange()
    exchange.entries = 50
    exchange.books = {
        A: [event(WINDOW.start + hour * 3600, WINDOW.start + hour * 3600 + 900, str(hour)) for hour in range(400)],
        B: [event(WINDOW.start, WINDOW.start + 60, "one")],
    }
    found = await FreeBusy(exchange)([A, B], WINDOW)
    assert set(events(found, A)) == plain(exchange.books[A])
    assert set(events(found, B)) == plain(exchange.books[B])
    assert sum(b"b@example.org" in envelope.body for envelope in exchange.asked) == 4


async def test_a_day_with_more_than_a_server_gives_is_too_large_and_says_so() -> None:
    exchange = Exchange()
    exchange.entries = 10
    exchange.books[A] = [
        event(WINDOW.start + each * 60, WINDOW.start + each * 60 + 30, str(each)) for each in range(20)
    ]
    found = (await FreeBusy(exchange)([A], WINDOW))[A]
    assert isinstance(found, EwsError)
    assert found.code == TOO_LARGE


async def test_one_bad_mailbox_keeps_its_own_error_and_is_not_asked_for_again() -> None:
    exchange = Exchange()
    exchange.failing[A] = EwsError("ErrorNoFreeBusyAccess")
    exchange.books[B] = [event(WINDOW.start, WINDOW.start + 60, "one")]
    found = await FreeBusy(exchange)([A, B], WINDOW)
    assert isinstance(found[A], EwsError)
    assert len(events(found, B)) == 1
    assert sum(b"a@example.org" in envelope.body for envelope in exchange.asked) == 1


async def test_a_server_that_takes_fewer_mailboxes_is_given_fewer() -> None:
    exchange = Exchange()
    exchange.together = 30
    names = [f"{number}@example.org" for number in range(100)]
    found = await FreeBusy(exchange)(names, Window(WINDOW.start, WINDOW.start + DAY))
    assert sorted(found) == sorted(names)
    assert all(isinstance(told, Told) for told in found.values())


async def test_the_rules_of_the_owners_zone_are_told_with_the_events() -> None:
    exchange = Exchange()
    exchange.zone = ZoneRules(-60, Turn(0, 10_800, 5, 10, 6), Turn(-60, 7200, 5, 3, 6))
    told = (await FreeBusy(exchange)([A], WINDOW))[A]
    assert isinstance(told, Told)
    assert told.zone == exchange.zone


async def test_an_answer_for_fewer_mailboxes_than_asked_is_no_answer() -> None:
    class Forgetful(Exchange):
        async def ask(self, envelope: Envelope, decode: Any) -> Any:
            return (await super().ask(envelope, decode))[:-1]

    with pytest.raises(EwsError) as raised:
        await FreeBusy(Forgetful())([A, B], WINDOW)
    assert raised.value.code == "malformed"


class Spoilt(Exchange):
    """One mailbox among those asked for spoils the answer for all."""

    def __init__(self, *codes: str) -> None:
        super().__init__()
        self.codes = codes

    async def ask(self, envelope: Envelope, decode: Any) -> Any:
        answer = await super().ask(envelope, decode)
        for number, code in enumerate(self.codes):
            if f">{number}@example.org<".encode() in envelope.body:
                raise EwsError(code)
        return answer


@pytest.mark.parametrize("code", ["malformed", "too_large", "fault", "ErrorInternalServerError"])
async def test_a_mailbox_that_spoils_the_answer_for_a_hundred_fails_alone(code: str) -> None:
    exchange = Spoilt(code)
    names = [f"{number}@example.org" for number in range(100)]
    found = await FreeBusy(exchange)(names, Window(WINDOW.start, WINDOW.start + DAY))
    assert [name for name, told in found.items() if isinstance(told, EwsError)] == ["0@example.org"]
    assert exchange.operations["GetUserAvailability"] <= 15


async def test_two_that_spoil_it_are_found_and_a_server_that_only_fails_is_given_up() -> None:
    exchange = Spoilt("fault", "malformed")
    names = [f"{number}@example.org" for number in (0, *range(2, 100), 1)]
    found = await FreeBusy(exchange)(names, Window(WINDOW.start, WINDOW.start + DAY))
    assert sorted(name for name, told in found.items() if isinstance(told, EwsError)) == [
        "0@example.org",
        "1@example.org",
    ]
    exchange = Spoilt(*["fault"] * 100)
    with pytest.raises(EwsError, match="fault"):
        await FreeBusy(exchange)(names, Window(WINDOW.start, WINDOW.start + DAY))
    assert exchange.operations["GetUserAvailability"] <= 33


@pytest.mark.parametrize("code", ["ErrorServerBusy", "sign_in_refused", "network", "ErrorImpersonateUserDenied"])
async def test_what_no_mailbox_brings_about_is_not_asked_again_in_parts(code: str) -> None:
    exchange = Spoilt(code)
    with pytest.raises(EwsError, match=code):
        await FreeBusy(exchange)(["0@example.org", B], Window(WINDOW.start, WINDOW.start + DAY))
    assert exchange.operations == {"GetUserAvailability": 1}


@pytest.mark.parametrize("many", [99, 2000])
async def test_zone_and_hours_are_known_though_days_or_all_of_them_are_dense(many: int) -> None:
    exchange = Exchange()
    exchange.entries = 50
    exchange.work = (WorkPeriod(0, 480, 1020),)
    exchange.zone = ZoneRules(-60, Turn(0, 10_800, 5, 10, 6), Turn(-60, 7200, 5, 3, 6))
    exchange.books[A] = [
        event(WINDOW.end - hour * 3600, WINDOW.end - hour * 3600 + 60, str(hour)) for hour in range(many)
    ]
    told = (await FreeBusy(exchange)([A], WINDOW))[A]
    assert isinstance(told, Told)
    assert (told.zone, told.work) == (exchange.zone, exchange.work)
