"""What users of calendar synchronisation complain about, each as a promise kept here: one town lives through all.

The numbers are those of the field report, in the order of importance. What is proven elsewhere or is not syncing:

| complaint | where |
| --- | --- |
| 1 nothing but free/busy is asked for | tests/unit/fetcher/test_selection.py, tests/pipeline/test_embedded.py |
| 2 rights narrowed to some mailboxes | setting up, not syncing: docs/microsoft.md |
| 8, 9 lost, late, forged, repeated notifications | also tests/pipeline/test_faults_notifications.py |
| 11, 23 Exchange Web Services | not spoken here |
| 25 reading availability is slow | tests/bench |
| 26 nothing is left, on real engines, killed midway | also tests/pipeline/test_leaving.py |
| 27 friction of setting up | tests/unit/authorizer/test_sentences.py |
"""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.sandbox import REMOVED, Fault, FaultKind, NoticeFault, NoticeFaultKind
from deploy.sandbox.calendars import CANARY, canaries_of
from deploy.sandbox.rendering import IMMUTABLE_ID
from shared import clock
from shared.contracts.messages import OrgDisconnected
from shared.contracts.policy import Policy
from shared.contracts.values import DAY, Status
from tests.pipeline.complaints import (
    DETAILS,
    HOUR,
    MOVED,
    SPIES,
    ZONES,
    Town,
    address,
    at,
    days,
    item,
    pass_time,
    today,
    town,
)
from tests.pipeline.oracle import Line
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Give the town."""
    folder = tmp_path_factory.mktemp("town")
    with (folder / "log").open("w") as log:  # noqa: ASYNC230 -- it never blocks
        async with town(folder, log) as made:
            yield made


def soon(number: int) -> date:
    return today() + timedelta(number)




def daily(*without: date) -> Line:
    """Return what the daily meeting at nine must be published as: the one of MOVED is at eleven, out of office."""
    found: Line = []
    for day in days(DETAILS.window_at(clock.now())):
        hour, status = (11, "oof") if day == MOVED else (9, "busy")
        found += [(at(day, hour), at(day, hour + 1), status)] if day not in without else []
    return found


async def test_3_every_occurrence_of_a_recurring_meeting_blocks(here: Town) -> None:
    assert len(daily()) > 200
    await here.shows("series", daily())


async def test_4_a_deleted_occurrence_disappears_at_once(here: Town) -> None:
    before = len(here.told("series"))
    gone = next(each for each in here.sandbox.events(address("series")) if each.start == at(soon(5), 9))
    here.sandbox.delete_event(address("series"), gone.item_id)
    await here.shows("series", daily(soon(5)))  # by a hint: it is polled every six hours
    await until(lambda: len(here.told("series")) > before)
    (told,) = [each["data"] for each in here.told("series")[before:]]
    assert told["busy"] == []


@pytest.mark.parametrize("spy", SPIES[1:], ids=["5-delta", "22-getSchedule"])
async def test_no_delta_token_can_die_and_no_schedule_can_surprise_for_neither_is_asked_for(here: Town, spy: str) -> None:
    await here.search()
    assert here.seen(SPIES[0]) >= len(here.sandbox.mailboxes())
    assert here.seen(spy) == 0
    assert here.sandbox.requests.kinds.keys() <= {
        "users", "mailboxSettings", "places", "organization", "calendarView", "batch", "subscriptions", "subscription",
    }  # fmt: skip
    assert "*" not in here.sandbox.requests.selects["calendarView"]


async def test_7_one_change_in_a_long_series_costs_one_reading_and_tells_that_day_alone(here: Town) -> None:
    await here.quiet()
    read, told = here.sandbox.requests.views[address("heavy")], len(here.told("heavy"))
    changed = next(each for each in here.sandbox.events(address("heavy")) if each.start == at(soon(9), 9))
    here.sandbox.change_event(address("heavy"), changed.item_id, show_as="tentative")
    await until(lambda: len(here.told("heavy")) > told)
    await here.quiet()
    assert here.sandbox.requests.views[address("heavy")] == read + 1
    (update,) = [each["data"] for each in here.told("heavy")[told:]]
    assert f"{soon(9)}T00:00:00Z" <= update["from"] <= update["to"] <= f"{soon(10)}T00:00:00Z"
    assert [block["status"] for block in update["busy"]] == ["tentative"]


async def test_9_a_notification_repeated_twenty_times_causes_one_update(here: Town) -> None:
    await here.quiet()
    read = here.sandbox.requests.views[address("repeated")]
    here.sandbox.notifications.order(
        NoticeFault(kind=NoticeFaultKind.DUPLICATE, mailbox=address("repeated"), copies=20)
    )
    delivered = here.sandbox.notifications.counts.delivered
    told = len(here.told("repeated"))
    here.add("repeated", item(soon(1), 9))
    await here.shows("repeated", [(at(soon(1), 9), at(soon(1), 10), "busy")])
    await here.quiet()
    assert here.sandbox.notifications.counts.delivered >= delivered + 21
    assert 1 <= here.sandbox.requests.views[address("repeated")] - read <= 2
    assert len(here.told("repeated")) == told + 1


async def test_10_every_mailbox_that_is_read_has_one_subscription_made_in_batches(here: Town) -> None:
    subscribed = Counter(each.mailbox for each in here.sandbox.subscriptions())
    read = [each["mailbox"] for each in await here.api.mailboxes() if each["bucket"] == "active"]
    assert subscribed == Counter(read)
    assert 1 <= here.sandbox.requests.kinds["batch"] < len(read)


async def test_12_at_most_one_reading_of_a_mailbox_is_in_flight_so_microsoft_never_throttles_it(here: Town) -> None:
    await here.quiet()
    here.sandbox.forget_requests()
    slow = here.sandbox.order(Fault(kind=FaultKind.SLOW, match="calendarView", mailbox=address("storm"), seconds=0.5))
    for hour in range(20):
        here.add("storm", item(soon(1), hour, show_as=("busy", "tentative")[hour % 2]))
    await until(lambda: here.sandbox.requests.in_flight[address("storm")] > 0)
    for hour in range(20, 24):
        here.add("storm", item(soon(1), hour, show_as=("busy", "tentative")[hour % 2]))
    statuses = [("busy", "tentative")[hour % 2] for hour in range(24)]
    await here.shows("storm", [(at(soon(1), hour), at(soon(1), hour + 1), each) for hour, each in enumerate(statuses)])
    await here.quiet()
    here.sandbox.clear_faults(slow)
    assert here.sandbox.requests.peaks[address("storm")] == 1
    assert here.sandbox.requests.statuses[429] == 0


@pytest.mark.parametrize("name", ZONES)
async def test_13_an_all_day_event_keeps_its_day_where_its_owner_is_even_when_clocks_change(
    here: Town, name: str
) -> None:
    zone = ZONES[name]
    window = days(DETAILS.window_at(clock.now()))[1:-1]
    odd = next((day for day in window if at(day, 24, zone) - at(day, 0, zone) != DAY), soon(3))
    assert odd != soon(3) or name == "tokyo"  # where clocks never change
    for day in (odd, soon(20)):
        here.add(name, item(day, 0, "oof", all_day=True, start=at(day, 0), end=at(day, 24)))
    line = [(at(day, 0, zone), at(day, 24, zone), "oof") for day in sorted((odd, soon(20)))]
    await here.shows(name, line)


@pytest.mark.parametrize(("name", "zone"), [("berlin", "Europe/Berlin"), ("customized", "America/New_York")])
async def test_14_a_series_stays_at_its_hour_in_its_own_zone_on_both_sides_of_a_clock_change(
    here: Town, name: str, zone: str
) -> None:
    mondays = [day for day in days(DETAILS.window_at(clock.now())) if day.weekday() == 0]
    assert len({at(day, 9, zone) % DAY for day in mondays}) == 2  # or nothing is proven
    await here.shows(name, [(at(day, 9, zone), at(day, 10, zone), "busy") for day in mondays])


async def test_15_working_elsewhere_is_told_apart_from_free(here: Town) -> None:
    await here.under(DETAILS)
    here.add("elsewhere", item(soon(1), 9, "workingElsewhere"))
    here.add("elsewhere", item(soon(1), 11, "free"))
    await here.shows("elsewhere", [(at(soon(1), 9), at(soon(1), 10), "elsewhere")])


async def test_17_what_is_declined_or_cancelled_does_not_block_and_what_is_accepted_after_all_does(here: Town) -> None:
    declined = here.add("declined", item(soon(1), 9, response="declined"))
    here.add("declined", item(soon(1), 11, cancelled=True))
    here.add("declined", item(soon(1), 13))
    other = (at(soon(1), 13), at(soon(1), 14), "busy")
    await here.shows("declined", [other])
    here.sandbox.change_event(address("declined"), declined, response="accepted")
    await here.shows("declined", [(at(soon(1), 9), at(soon(1), 10), "busy"), other])


async def test_18_a_private_event_is_busy_and_nothing_else_of_it_is_told(here: Town) -> None:
    await here.under(DETAILS)
    hidden = [here.add("private", item(soon(1), 9, sensitivity=word)) for word in ("private", "confidential")]
    shown = here.add("private", item(soon(1), 11))
    await here.shows("private", [(at(soon(1), hour), at(soon(1), hour + 1), "busy") for hour in (9, 11)])
    await until(lambda: shown_in(here, shown))
    everything = f"{await here.availability('private')}{here.told()}{await here.kept()}"
    private = [each for each in here.sandbox.events(address("private")) if each.item_id in hidden]
    assert [word for each in private for word in canaries_of(each) if word in everything] == []
    assert not any(item_id in everything for item_id in hidden)


def shown_in(here: Town, item_id: str) -> bool:
    """Say whether consumers were told of an event by its id: details are told at all."""
    return f"{IMMUTABLE_ID}{item_id}" in str(here.told("private"))


@pytest.mark.parametrize("name", ["room", "shared"])
async def test_19_rooms_and_shared_mailboxes_are_read_like_people(here: Town, name: str) -> None:
    entry = await here.entry(name)
    assert (entry["kind"], entry["bucket"]) == (name, "active")
    nine = at(today(), 9), at(today(), 10), "busy"
    await here.shows(name, [nine])
    here.add(name, item(soon(1), 15, "tentative"))
    await here.shows(name, [nine, (at(soon(1), 15), at(soon(1), 16), "tentative")])


OBJECTS = {
    "guest": "guest",
    "unlicensed": "no_mailbox",
    "deleted": "no_mailbox",
    "premises": "on_premises",
    "denied": "denied",
}


@pytest.mark.parametrize("name", OBJECTS)
async def test_20_what_is_no_mailbox_to_read_has_a_bucket_and_a_reason_and_stops_nothing(here: Town, name: str) -> None:
    entry, status = await here.entry(name), await here.status()
    assert (entry["bucket"], entry["coverage"]) == (OBJECTS[name], "unknown")
    assert entry["reason"]
    assert await here.availability(name) is None  # unknown, never free
    assert sum(status["buckets"].values()) == len(await here.api.mailboxes())
    assert status["coverage"]["full"] == status["buckets"]["active"] == len(here.sandbox.mailboxes())


async def test_21_a_mailbox_that_fails_says_why_and_when_it_is_tried_again_and_heals(here: Town) -> None:
    failing = here.sandbox.order(Fault(kind=FaultKind.ERROR, match="calendarView", mailbox=address("failing")))
    here.add("failing", item(soon(1), 9))
    await here.said("failing", waiting="server_error")
    entry, status = await here.entry("failing"), await here.status()
    assert entry["next_try_at"] > clock.moment(clock.now() - 1)
    assert entry["as_of"] < clock.moment(clock.now() + 1)  # it is said how old what is known is
    assert status["waiting"] == {"server_error": 1}
    assert status["oldest_as_of"] <= entry["as_of"]
    here.sandbox.clear_faults(failing)
    await here.shows("failing", [(at(soon(1), 9), at(soon(1), 10), "busy")], seconds=12)
    entry = await here.entry("failing")
    assert entry.keys().isdisjoint({"waiting", "next_try_at", "reason"})
    assert (await here.status())["waiting"] == {}


async def test_24_an_event_that_moves_keeps_its_id_and_ids_are_immutable_everywhere(here: Town) -> None:
    await here.under(DETAILS)
    moved = here.add("immutable", item(soon(1), 9))
    await here.shows("immutable", [(at(soon(1), 9), at(soon(1), 10), "busy")])
    before = await here.availability("immutable")
    here.sandbox.move_event(address("immutable"), moved, seconds=2 * HOUR)
    await here.shows("immutable", [(at(soon(1), 11), at(soon(1), 12), "busy")])
    after = await here.availability("immutable")
    assert before is not None
    assert after is not None
    (old,), (new,) = before["events"], after["events"]
    assert old["event_id"] == new["event_id"] == f"{IMMUTABLE_ID}{moved}AA="
    assert all(each.immutable for each in here.sandbox.subscriptions())


MEANINGS = {
    "as Microsoft says": (DETAILS, ["tentative", "oof", "elsewhere"]),
    "all of it busy": (Policy(tentative=Status.BUSY, oof=Status.BUSY, elsewhere=Status.BUSY), ["busy"] * 3),
    "none of it": (Policy(tentative=Status.FREE, oof=Status.FREE, elsewhere=Status.FREE), []),
}


@pytest.mark.parametrize("meaning", MEANINGS)
async def test_16_the_organisation_decides_what_tentative_and_away_mean(here: Town, meaning: str) -> None:
    policy, statuses = MEANINGS[meaning]
    if not here.told("words") or not (await here.line("words") or here.policy != DETAILS):
        for hour, word in enumerate(("tentative", "oof", "workingElsewhere")):
            here.add("words", item(soon(1), 9 + 2 * hour, word))
    await here.under(policy)
    line = [(at(soon(1), 9 + 2 * hour), at(soon(1), 10 + 2 * hour), each) for hour, each in enumerate(statuses)]
    await here.shows("words", line)


async def test_26_switching_to_free_busy_removes_every_detail_everywhere(here: Town) -> None:
    await here.under(DETAILS)
    here.add("switched", item(soon(1), 9))
    await here.shows("switched", [(at(soon(1), 9), at(soon(1), 10), "busy")])
    canary = CANARY.encode()
    holding = {name for name, rows in (await here.kept()).items() if canary in rows}
    assert holding >= {"timelines", "updates"}
    await here.under(Policy())
    told = len(here.told())
    assert [name for name, rows in (await here.kept()).items() if canary in rows] == []
    found = await here.availability("switched")
    assert found is not None
    assert "events" not in found
    here.add("switched", item(soon(1), 11))
    await until(lambda: len(here.told()) > told)
    assert CANARY not in str(here.told()[told:])


async def test_26_a_renamed_person_leaves_nothing_under_the_old_address(here: Town) -> None:
    here.add("married", item(soon(1), 9))
    line = [(at(soon(1), 9), at(soon(1), 10), "busy")]
    await here.shows("married", line)
    here.sandbox.change_user(address("married"), mail=address("anew"), upn=address("anew"))
    await here.search()
    await here.shows("anew", line)
    assert await here.availability("married") is None
    await until(lambda: bool(here.told("anew")))
    kept = await here.kept()
    assert [name for name, rows in kept.items() if address("married").encode() in rows] == []


async def test_26_a_removed_person_disappears_and_consumers_are_told(here: Town) -> None:
    gone = next(each for each in here.sandbox.mailboxes() if each.address == address("leaver"))
    here.sandbox.remove_user(gone.address)
    await here.search()
    await until(lambda: here.told("leaver")[-1]["type"] == "mailbox.removed.v1")
    assert here.told("leaver")[-1]["data"]["mailbox_id"] == gone.user_id
    assert await here.availability("leaver") is None
    assert (await here.entry("leaver"))["bucket"] == "removed"


async def test_8_notifications_that_cannot_be_had_are_said_and_polling_takes_over(here: Town) -> None:
    await here.under(Policy(poll_seconds=1))
    broken = here.sandbox.order(Fault(kind=FaultKind.ERROR, match="subscriptions"))
    here.sandbox.notifications.lifecycle(address("silent"), REMOVED)
    await until(lambda: _says(here, {"server_error": 1}))
    assert not (await here.entry("silent")).get("subscribed")
    here.add("silent", item(soon(1), 9))
    await here.shows("silent", [(at(soon(1), 9), at(soon(1), 10), "busy")])
    here.sandbox.clear_faults(broken)
    pass_time(60)
    await until(lambda: _says(here, {}))
    await here.said("silent", subscribed=True)


async def _says(here: Town, reasons: dict[str, int]) -> bool:
    said = (await here.status())["subscriptions"]
    return said["reasons"] == reasons and said["wanted"] - said["live"] == sum(reasons.values())


async def test_8_a_subscription_that_vanished_without_a_word_is_missed_within_the_hour(here: Town) -> None:
    await here.under(Policy())
    here.sandbox.notifications.drop(address("vanished"))
    here.add("vanished", item(soon(1), 9))  # of which nobody is told
    pass_time(HOUR)
    await here.shows("vanished", [(at(soon(1), 9), at(soon(1), 10), "busy")])
    assert address("vanished") in {each.mailbox for each in here.sandbox.subscriptions()}


async def test_6_the_window_rolls_with_the_day_and_what_enters_it_is_told(here: Town) -> None:
    before = days(DETAILS.window_at(clock.now()))
    await here.shows("rolling", daily())
    pass_time(DAY + HOUR)
    after = days(DETAILS.window_at(clock.now()))
    await here.shows("rolling", daily())
    assert (before[0] in after, after[-1] in before) == (False, False)
    entered = f"{after[-1]}T09:00:00Z"
    await until(lambda: any(block["start"] == entered for told in here.told("rolling") for block in told["data"]["busy"]))


async def test_26_disconnecting_leaves_nothing(here: Town) -> None:
    await here.trial.broker.publish([OrgDisconnected(org_id=here.trial.org_id)])
    await until(lambda: any(each["type"] == "org.removed.v1" for each in here.told()))
    await until(lambda: _left(here))
    kept = await here.kept()
    assert here.sandbox.subscriptions() == ()
    assert await here.trial.parked() == []
    holding = {name for name, rows in kept.items() if here.trial.org_id.encode() in rows}
    assert holding <= {"audit", "purges", "updates", "consumers"}  # the receipt, and the last word to consumers
    assert [name for name, rows in kept.items() if b"@sandbox.example" in rows] == []


async def _left(here: Town) -> bool:
    return await here.api.status() is None and b"ended" not in b"" and not (await here.kept())["credentials"]
