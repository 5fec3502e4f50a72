"""What users of calendar synchronisation complain about, each as a promise kept here: one town lives through all.

The numbers are those of the field report, in the order of importance. What is not syncing, or is proven elsewhere:

| complaint | where |
| --- | --- |
| 1 only free/busy is asked for | tests/unit/fetcher/test_selection.py, tests/pipeline/test_embedded.py |
| 2 rights narrowed to some mailboxes | not syncing: tests/unit/sandbox/test_consent.py, docs/microsoft.md |
| 8, 9 lost, late, forged, repeated notifications | also tests/pipeline/test_faults_notifications.py |
| 11, 23 Exchange Web Services | not spoken |
| 25 reading availability is slow | tests/bench |
| 26 nothing is left, on real engines, killed midway | also tests/pipeline/test_leaving.py, test_policy.py |
| 27 setting up is hard | not syncing: tests/unit/authorizer/test_sentences.py |
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.sandbox.calendars import canaries_of
from deploy.sandbox.rendering import IMMUTABLE_ID
from shared.contracts.values import DAY
from tests.pipeline.complaints import (
    DELTA,
    DETAILS,
    HOUR,
    READINGS,
    SCHEDULES,
    ZONES,
    Town,
    address,
    at,
    block,
    daily,
    days,
    item,
    soon,
    town,
)
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with (folder / "log").open("w") as log:
        async with town(folder, log) as made:
            yield made


async def test_3_every_occurrence_of_a_recurring_meeting_blocks(here: Town) -> None:
    assert len(daily()) > 200
    await here.shows("series", daily())


async def test_4_a_deleted_occurrence_disappears_at_once(here: Town) -> None:
    await here.shows("series", daily())
    before = len(here.told("series"))
    here.sandbox.delete_event(address("series"), here.occurrence("series", 5))
    await here.shows("series", daily(soon(5)))  # by a hint: it is polled every six hours
    await until(lambda: len(here.told("series")) > before)
    assert [each["data"]["busy"] for each in here.told("series")[before:]] == [[]]


@pytest.mark.parametrize("spy", [DELTA, SCHEDULES], ids=["5", "22"])
async def test_no_delta_token_dies_and_no_schedule_surprises_for_neither_is_asked_for(here: Town, spy: str) -> None:
    await here.search()
    assert here.seen(READINGS) >= len(here.sandbox.mailboxes())
    assert here.seen(spy) == 0
    assert here.sandbox.requests.kinds["other"] == 0
    assert here.sandbox.requests.selects["calendarView"]["*"] == 0


async def test_7_one_change_in_a_long_series_costs_one_reading_and_tells_that_day_alone(here: Town) -> None:
    await here.quiet()
    read, told = here.sandbox.requests.views[address("heavy")], len(here.told("heavy"))
    here.sandbox.change_event(address("heavy"), here.occurrence("heavy", 9), show_as="tentative")
    await until(lambda: len(here.told("heavy")) > told)
    await here.quiet()
    assert here.sandbox.requests.views[address("heavy")] == read + 1
    (update,) = [each["data"] for each in here.told("heavy")[told:]]
    assert f"{soon(9)}T00:00:00Z" <= update["from"] < update["to"] <= f"{soon(10)}T00:00:00Z"
    assert [each["status"] for each in update["busy"]] == ["tentative"]


@pytest.mark.parametrize("name", ZONES)
async def test_13_an_all_day_event_keeps_its_day_even_one_on_which_clocks_change(here: Town, name: str) -> None:
    zone = ZONES[name]
    changes = [day for day in days()[1:-1] if at(day, 24, zone) - at(day, 0, zone) != DAY]
    assert bool(changes) == (name != "tokyo")
    wanted = sorted({*changes, soon(20)})
    for day in wanted:
        number = (day - soon(0)).days
        here.add(name, item(number, 0, "oof", all_day=True, lasting=24))
    await here.shows(name, [(at(day, 0, zone), at(day, 24, zone), "oof") for day in wanted])


@pytest.mark.parametrize(("name", "zone"), [("berlin", "Europe/Berlin"), ("customized", "America/New_York")])
async def test_14_a_series_stays_at_its_hour_on_both_sides_of_a_clock_change(here: Town, name: str, zone: str) -> None:
    mondays = [day for day in days() if day.weekday() == 0]
    assert len({at(day, 9, zone) % DAY for day in mondays}) == 2  # or nothing is proven
    await here.shows(name, [(at(day, 9, zone), at(day, 10, zone), "busy") for day in mondays])


async def test_15_working_elsewhere_is_told_apart_from_free(here: Town) -> None:
    await here.under(DETAILS)
    here.add("elsewhere", item(1, 9, "workingElsewhere"))
    here.add("elsewhere", item(1, 11, "free"))
    await here.shows("elsewhere", [block(1, 9, "elsewhere")])


async def test_17_what_is_declined_or_cancelled_does_not_block_and_what_is_accepted_after_all_does(here: Town) -> None:
    declined = here.add("declined", item(1, 9, response="declined"))
    here.add("declined", item(1, 11, cancelled=True))
    here.add("declined", item(1, 13))
    await here.shows("declined", [block(1, 13)])
    here.sandbox.change_event(address("declined"), declined, response="accepted")
    await here.shows("declined", [block(1, 9), block(1, 13)])


async def test_18_a_private_event_is_busy_and_nothing_else_of_it_is_told(here: Town) -> None:
    await here.under(DETAILS)
    hidden = [here.add("private", item(1, 9 + 2 * place, sensitivity=word))
              for place, word in enumerate(("private", "confidential"))]  # fmt: skip
    open_one = here.add("private", item(1, 13))
    found = await here.shows("private", [block(1, 9), block(1, 11), block(1, 13)])
    await until(lambda: open_one in str(here.told("private")))  # consumers are told details, but not of these
    private = [each for each in here.sandbox.events(address("private")) if each.item_id in hidden]
    secrets = [word for each in private for word in (each.item_id, *canaries_of(each))]
    assert [word for word in secrets if word in f"{found}{here.told()}" or await here.holding(word)] == []


async def test_24_an_event_that_moves_keeps_its_id_and_ids_are_immutable_everywhere(here: Town) -> None:
    await here.under(DETAILS)
    moved = here.add("immutable", item(1, 9))
    (before,) = (await here.shows("immutable", [block(1, 9)]))["events"]
    here.sandbox.move_event(address("immutable"), moved, seconds=2 * HOUR)
    (after,) = (await here.shows("immutable", [block(1, 11)]))["events"]
    assert before["event_id"] == after["event_id"] == f"{IMMUTABLE_ID}{moved}AA="
    assert all(each.immutable for each in here.sandbox.subscriptions())
