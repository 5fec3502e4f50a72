"""What users complain about that concerns a whole organisation, each as a promise kept here; see test_complaints.py.

The tests go from one to the next: time passes in the last ones, and in the very last the organisation leaves.
"""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.sandbox import REMOVED, Fault, FaultKind, NoticeFault, NoticeFaultKind
from deploy.sandbox.calendars import CANARY
from shared import clock
from shared.contracts.messages import OrgDisconnected
from shared.contracts.policy import Policy
from shared.contracts.values import DAY, Status
from tests.pipeline.complaints import (
    DETAILS,
    HOUR,
    Town,
    address,
    block,
    daily,
    days,
    item,
    pass_time,
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


async def test_9_a_notification_repeated_twenty_times_causes_one_update(here: Town) -> None:
    await here.quiet()
    read, told = here.sandbox.requests.views[address("repeated")], len(here.told("repeated"))
    before = here.sandbox.notifications.counts.delivered
    fault = NoticeFault(kind=NoticeFaultKind.DUPLICATE, mailbox=address("repeated"), copies=20)
    here.sandbox.notifications.order(fault)
    here.add("repeated", item(1, 9))
    await here.shows("repeated", [block(1, 9)])
    await here.quiet()
    assert here.sandbox.notifications.counts.delivered == before + 21
    assert 1 <= here.sandbox.requests.views[address("repeated")] - read <= 2
    assert len(here.told("repeated")) == told + 1


async def test_10_every_mailbox_that_is_read_has_one_subscription_made_in_batches(here: Town) -> None:
    read = [each["mailbox"] for each in await here.api.mailboxes() if each["bucket"] == "active"]
    assert Counter(each.mailbox for each in here.sandbox.subscriptions()) == Counter(read)
    assert 1 <= here.sandbox.requests.kinds["batch"] < len(read)


async def test_12_one_reading_of_a_mailbox_at_a_time_so_microsoft_never_throttles_it(here: Town) -> None:
    await here.quiet()
    here.sandbox.forget_requests()
    slow = here.sandbox.order(Fault(kind=FaultKind.SLOW, match="calendarView", mailbox=address("storm"), seconds=1.2))
    for hour in range(0, 24, 2):
        here.add("storm", item(1, hour))
        await until(lambda: here.sandbox.requests.in_flight[address("storm")] > 0)
    await here.quiet()
    here.sandbox.clear_faults(slow)
    await here.shows("storm", [block(1, hour) for hour in range(0, 24, 2)])
    assert here.sandbox.requests.peaks[address("storm")] == 1
    assert here.sandbox.requests.statuses[429] == 0


@pytest.mark.parametrize("name", ["room", "shared"])
async def test_19_rooms_and_shared_mailboxes_are_read_like_people(here: Town, name: str) -> None:
    entry = await here.entry(name)
    assert (entry["kind"], entry["bucket"]) == (name, "active")
    here.add(name, item(1, 15, "tentative"))
    await here.shows(name, [block(0, 9), block(1, 15, "tentative")])


@pytest.mark.parametrize(("name", "bucket"), [("guest", "guest"), ("unlicensed", "no_mailbox"), ("denied", "denied"),
                                              ("deleted", "no_mailbox"), ("premises", "on_premises")])  # fmt: skip
async def test_20_what_cannot_be_read_has_a_reason_and_stops_nothing(here: Town, name: str, bucket: str) -> None:
    entry, status = await here.entry(name), await here.status()
    assert (entry["bucket"], entry["coverage"], bool(entry["reason"])) == (bucket, "unknown", True)
    assert await here.availability(name) is None  # unknown, never free
    assert sum(status["buckets"].values()) == len(await here.api.mailboxes())
    assert status["coverage"]["full"] == status["buckets"]["active"] == len(here.sandbox.mailboxes())


async def test_21_a_mailbox_that_fails_says_why_and_when_it_is_tried_again_and_heals(here: Town) -> None:
    fault = Fault(kind=FaultKind.THROTTLE, match="calendarView", mailbox=address("failing"), seconds=2)
    failing = here.sandbox.order(fault)
    here.add("failing", item(1, 9))
    await until(lambda: _waits(here, {"throttled": 1}))
    entry = await here.entry("failing")
    assert entry["waiting"] == "throttled"
    assert entry["as_of"] <= clock.moment(clock.now()) <= entry["next_try_at"]  # and how old is what is known
    here.sandbox.clear_faults(failing)
    await here.shows("failing", [block(1, 9)])
    await until(lambda: _waits(here, {}))
    assert (await here.entry("failing")).keys().isdisjoint({"waiting", "next_try_at", "reason"})


async def _waits(here: Town, reasons: dict[str, int]) -> bool:
    return bool((await here.status())["waiting"] == reasons)


@pytest.mark.parametrize(("meant", "shown"), [(None, ["tentative", "oof", "elsewhere"]), (Status.BUSY, ["busy"] * 3),
                                              (Status.FREE, [])])  # fmt: skip
async def test_16_the_organisation_decides_what_tentative_and_away_mean(
    here: Town, meant: Status | None, shown: list[str]
) -> None:
    if not here.sandbox.events(address("words")):
        for place, word in enumerate(("tentative", "oof", "workingElsewhere")):
            here.add("words", item(1, 9 + 2 * place, word))
    await here.under(Policy(tentative=meant, oof=meant, elsewhere=meant) if meant else DETAILS)
    await here.shows("words", [block(1, 9 + 2 * place, word) for place, word in enumerate(shown)])


async def test_26_switching_to_free_busy_removes_every_detail_everywhere(here: Town) -> None:
    await here.under(DETAILS)
    here.add("switched", item(1, 9))
    assert CANARY in str(await here.shows("switched", [block(1, 9)]))
    assert await here.holding(CANARY) == ["timelines", "updates"]
    await here.under(Policy())
    told = len(here.told())
    assert await here.holding(CANARY) == []
    here.add("switched", item(1, 11))
    assert "events" not in await here.shows("switched", [block(1, 9), block(1, 11)])
    await until(lambda: len(here.told()) > told)
    assert CANARY not in str(here.told()[told:])


async def test_26_a_renamed_person_is_told_anew_and_found_under_the_new_address_alone(here: Town) -> None:
    here.add("married", item(1, 9))
    before = await here.shows("married", [block(1, 9)])
    here.sandbox.change_user(address("married"), mail=address("anew"), upn=address("anew"))
    await here.search()
    await until(lambda: bool(here.told("anew")))
    after = await here.shows("anew", [block(1, 9)])
    assert await here.availability("married") is None
    told = here.told("anew")[-1]["data"]
    assert told["mailbox_id"] == before["mailbox_id"] == after["mailbox_id"]  # what consumers know it by
    assert (told["from"], told["to"]) == (told["window"]["start"], told["window"]["end"])
    assert await here.holding(address("married")) == []


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
    await until(lambda: _subscribed(here, but={"server_error": 1}))
    assert not (await here.entry("silent")).get("subscribed")
    here.add("silent", item(1, 9))
    await here.shows("silent", [block(1, 9)])
    here.sandbox.clear_faults(broken)
    pass_time(60)
    await until(lambda: _subscribed(here, but={}))
    assert (await here.entry("silent"))["subscribed"]


async def _subscribed(here: Town, *, but: dict[str, int]) -> bool:
    said = (await here.status())["subscriptions"]
    return bool(said["reasons"] == but and said["wanted"] - said["live"] == sum(but.values()))


async def test_8_a_subscription_that_vanished_without_a_word_is_missed_within_the_hour(here: Town) -> None:
    await here.under(Policy())
    here.sandbox.notifications.drop(address("vanished"))
    here.add("vanished", item(1, 9))  # of which nobody is told
    pass_time(HOUR)
    await here.shows("vanished", [block(1, 9)])
    await until(lambda: address("vanished") in {each.mailbox for each in here.sandbox.subscriptions()})


async def test_6_the_window_rolls_with_the_day_and_what_enters_it_is_told(here: Town) -> None:
    await here.shows("rolling", daily())
    before = days()
    pass_time(DAY + HOUR)
    assert before[0] < days()[0]
    await here.shows("rolling", daily())
    entered = f"{days()[-1]}T09:00:00Z"
    await until(lambda: entered in str(here.told("rolling")))


async def test_26_disconnecting_leaves_nothing(here: Town) -> None:
    await here.trial.broker.publish([OrgDisconnected(org_id=here.trial.org_id)])
    await until(lambda: any(each["type"] == "org.removed.v1" for each in here.told()))
    await until(lambda: _left(here))
    assert here.sandbox.subscriptions() == ()
    assert await here.trial.parked() == []
    assert await here.holding("@sandbox.example") == []
    # the receipt, the last word to consumers, and the position at which each consumer heard it
    assert set(await here.holding(here.trial.org_id)) <= {"audit", "purges", "updates", "consumers"}


async def _left(here: Town) -> bool:
    return await here.api.status() is None and "orgs" not in await here.holding(here.trial.org_id)
