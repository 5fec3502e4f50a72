from typing import Any

import pytest
from msgspec.structs import replace

from services.fetcher.due import Row
from services.fetcher.exchange_batches import Batches
from services.fetcher.exchange_free_busy import FreeBusy
from services.fetcher.exchange_reading import Wish, may_stand, read
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import DAY, Bucket, Kind, WorkingHours, WorkPeriod
from shared.ews.errors import EwsError
from shared.ews.time_zone import Turn, ZoneRules
from tests.unit.fetcher.exchange_town import Exchange, event

NOON = 1_790_000_000 // DAY * DAY + DAY // 2
A = "a@example.org"
DETAILS = Policy(detail=Detail.DETAILS)


class Town(Exchange):
    """An Exchange server as one organisation reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.follows = True
        self.batches = Batches(FreeBusy(self))
        self.books[A] = [event(NOON, NOON + 3600, "one")]


def wish(policy: Policy = DETAILS, *, live: bool = False, **fields: Any) -> Wish:
    row = Row(
        org_id="acme",
        mailbox_id="a",
        address=A,
        kind=Kind.USER,
        generation=2,
        bucket=Bucket.ACTIVE,
        read_at=NOON - 600,
        read_generation=2,
        sync_state="0",
    )
    return Wish(row=replace(row, **fields), policy=policy, generation=2, now=NOON, live=live)


async def test_under_free_busy_only_nothing_but_times_is_ever_asked_for() -> None:
    town = Town()
    found = await read(town, wish(Policy()))  # type: ignore[arg-type]  # it stands for a Server
    assert found.events is not None
    assert [each.details for each in found.events] == [None]
    assert set(town.operations) == {"GetUserAvailability"}
    assert all(b"FreeBusy</t:RequestedView>" in envelope.body for envelope in town.asked)


async def test_a_zone_that_nobody_names_is_named_by_its_rules_and_one_that_is_known_is_kept() -> None:
    town = Town()
    town.zone = ZoneRules(-60, Turn(0, 10_800, 5, 10, 6), Turn(-60, 7200, 5, 3, 6))
    unnamed = await read(town, wish(Policy()))  # type: ignore[arg-type]  # it stands for a Server
    named = await read(town, wish(Policy(), time_zone="Romance Standard Time"))  # type: ignore[arg-type]  # as above
    assert (unnamed.time_zone, named.time_zone) == ("W. Europe Standard Time", "")


async def test_hours_are_told_with_free_and_busy_times_in_the_mailboxs_own_zone_where_its_clock_is_theirs() -> None:
    town = Town()
    town.work = (WorkPeriod(0, 480, 1020),)
    assert (await read(town, wish(Policy()))).working_hours is None  # type: ignore[arg-type]  # it stands for a Server
    town.zone = ZoneRules(-60, Turn(0, 10_800, 5, 10, 6), Turn(-60, 7200, 5, 3, 6))
    for known, named in (
        ("", "W. Europe Standard Time"),
        ("Romance Standard Time", "Romance Standard Time"),
        ("Tokyo Standard Time", "W. Europe Standard Time"),
    ):
        found = await read(town, wish(Policy(), time_zone=known))  # type: ignore[arg-type]  # as above
        assert found.working_hours == WorkingHours(time_zone=named, periods=town.work)
    town.zone = ZoneRules(-17, Turn(0, 0, 0, 0, 6), Turn(0, 0, 0, 0, 6))
    assert (await read(town, wish(Policy()))).working_hours is None  # type: ignore[arg-type]  # as above


async def test_a_calendar_in_which_nothing_changed_is_not_read_again() -> None:
    town = Town()
    found = await read(town, wish())  # type: ignore[arg-type]  # it stands for a Server
    assert (found.events, found.sync_state) == (None, "0")
    assert town.operations == {"SyncFolderItems": 1}


async def test_a_calendar_in_which_something_changed_is_read_whole_and_its_state_remembered() -> None:
    town = Town()
    town.states[A] = 3
    found = await read(town, wish())  # type: ignore[arg-type]  # it stands for a Server
    assert found.events is not None
    assert found.sync_state == "3"


async def test_a_first_reading_takes_the_state_from_before_the_view() -> None:
    town = Town()
    found = await read(town, wish(read_at=None, read_generation=None, sync_state=None))  # type: ignore[arg-type]  # as above
    assert found.events is not None
    assert [envelope.operation for envelope in town.asked] == ["SyncFolderItems", "FindItem", "GetItem"]


async def test_a_server_that_cannot_say_what_changed_is_read_whole_and_not_asked_again() -> None:
    town = Town()
    town.lacks = frozenset({"SyncFolderItems"})
    for _ in range(2):
        found = await read(town, wish())  # type: ignore[arg-type]  # it stands for a Server
        assert found.events is not None
    assert town.operations["SyncFolderItems"] == 1


async def test_trouble_while_asking_for_changes_is_trouble_and_no_reason_to_stop_asking() -> None:
    town = Town()
    town.failing[A] = EwsError("ErrorServerBusy", back_off=3.0, charged="mailbox")
    with pytest.raises(EwsError):
        await read(town, wish())  # type: ignore[arg-type]  # it stands for a Server
    assert town.follows


@pytest.mark.parametrize(
    "fields",
    [
        {"live": True},
        {"read_at": None},
        {"sync_state": None},
        {"read_generation": 1},
        {"bucket": Bucket.FAILING},
        {"failures": 1},
        {"read_at": NOON - DETAILS.poll_seconds_subscribed},
        {"read_at": NOON - DAY},
        {"read_at": NOON + 60},
    ],
)
def test_a_reading_stands_only_if_it_would_come_out_the_same(fields: dict[str, Any]) -> None:
    assert may_stand(wish())
    assert not may_stand(wish(**fields))
