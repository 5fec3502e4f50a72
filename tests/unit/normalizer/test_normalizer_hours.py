"""What the world may know of when somebody works: days and times in a zone it can name, and nothing else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.normalizer.handler import normalize
from services.normalizer.hours import public_hours
from shared.contracts.messages import CalendarSnapshot
from shared.contracts.values import Mailbox, WorkingHours, WorkPeriod
from tests.unit.normalizer.events import DETAILS, policies, reading

BERLIN = WorkingHours(time_zone="W. Europe Standard Time", periods=(WorkPeriod(0, 480, 1020),))
CANARY = "canary-7f3a"


def at_work(hours: WorkingHours | None) -> CalendarSnapshot:
    mailbox = Mailbox(mailbox_id="m", address="a@example.com", time_zone="Tokyo Standard Time", working_hours=hours)
    return msgspec.structs.replace(reading(policy=DETAILS), mailbox=mailbox)


@given(policies)
def test_hours_are_published_under_every_policy_in_a_zone_of_their_own(policy: object) -> None:
    public = normalize(msgspec.structs.replace(at_work(BERLIN), policy=policy)).mailbox
    assert public.working_hours == WorkingHours(time_zone="Europe/Berlin", periods=BERLIN.periods)
    assert public.time_zone == "Asia/Tokyo"


def test_stretches_are_sorted_and_joined() -> None:
    stretches = (WorkPeriod(4, 600, 700), WorkPeriod(0, 700, 800), WorkPeriod(0, 480, 700), WorkPeriod(4, 480, 500))
    found = public_hours(WorkingHours(time_zone="UTC", periods=stretches))
    assert found is not None
    assert found.periods == (WorkPeriod(0, 480, 800), WorkPeriod(4, 480, 500), WorkPeriod(4, 600, 700))


@pytest.mark.parametrize(
    "odd",
    [None, WorkingHours(time_zone="UTC"), WorkingHours(periods=BERLIN.periods),
     WorkingHours(time_zone="Customized Time Zone", periods=BERLIN.periods)],
)  # fmt: skip
def test_hours_that_cannot_be_placed_are_not_known(odd: WorkingHours | None) -> None:
    assert normalize(at_work(odd)).mailbox.working_hours is None


@given(st.text(max_size=20))
def test_no_word_of_the_source_is_published_for_a_zone(text: str) -> None:
    hours = WorkingHours(time_zone=f"{text}{CANARY}", periods=BERLIN.periods)
    assert CANARY.encode() not in msgspec.json.encode(normalize(at_work(hours)))
