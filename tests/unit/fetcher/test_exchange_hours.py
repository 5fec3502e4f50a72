"""The working hours of mailboxes read with details: told by the free and busy times of a day, or kept as they were."""

from collections.abc import Mapping, Sequence

import pytest

from services.fetcher.exchange_batches import Told
from services.fetcher.exchange_hours import Hours
from shared.contracts.messages import RawEvent
from shared.contracts.values import DAY, Window, WorkingHours, WorkPeriod
from shared.ews.errors import EwsError
from shared.ews.time_zone import Turn, ZoneRules
from shared.identity import IdentityError

NOW = 1_790_000_000
BERLIN = ZoneRules(-60, Turn(0, 10_800, 5, 10, 6), Turn(-60, 7200, 5, 3, 6))
WEEK = (WorkPeriod(0, 480, 1020), WorkPeriod(1, 480, 1020))
MANY = {f"{number}@example.org": "" for number in range(250)}


class Server:
    """Tells everybody's times of a day but of those in `failing`, or fails as a whole."""

    def __init__(self, failing: Sequence[str] = (), fails: EwsError | IdentityError | None = None) -> None:
        self.failing = failing
        self.fails = fails
        self.asked: list[tuple[int, Window]] = []

    async def __call__(self, addresses: Sequence[str], window: Window) -> Mapping[str, Told | EwsError]:
        self.asked.append((len(addresses), window))
        if self.fails is not None:
            raise self.fails
        told = Told((RawEvent(window.start, window.end, "busy"),), BERLIN, WEEK)
        refused = EwsError("ErrorNoFreeBusyAccess")
        return {name: refused if name in self.failing else told for name in addresses}


async def test_a_hundred_are_asked_about_together_for_one_day() -> None:
    server = Server()
    found = await Hours(server).of(MANY, now=NOW)
    assert found == dict.fromkeys(MANY, WorkingHours(time_zone="W. Europe Standard Time", periods=WEEK))
    assert [count for count, _ in server.asked] == [100, 100, 50]
    assert {window.end - window.start for _, window in server.asked} == {DAY}


async def test_the_zone_a_mailbox_is_known_to_have_goes_before_others_with_the_same_clock() -> None:
    zones = {"a@x": "Romance Standard Time", "b@x": "Tokyo Standard Time", "c@x": ""}
    found = await Hours(Server()).of(zones, now=NOW)
    assert {name: hours.time_zone for name, hours in found.items()} == {
        "a@x": "Romance Standard Time",
        "b@x": "W. Europe Standard Time",
        "c@x": "W. Europe Standard Time",
    }


async def test_whoever_is_not_told_of_is_left_out() -> None:
    assert (await Hours(Server(failing=["a@x"])).of({"a@x": "", "b@x": ""}, now=NOW)).keys() == {"b@x"}


@pytest.mark.parametrize("error", [EwsError("ErrorServerBusy"), IdentityError("sign_in_refused")])
async def test_a_server_that_does_not_tell_fails_nothing_and_is_soon_left_alone(
    error: EwsError | IdentityError,
) -> None:
    server = Server(fails=error)
    hours = Hours(server)
    assert await hours.of(MANY, now=NOW) == await hours.of(MANY, now=NOW) == {}
    assert len(server.asked) == 2
