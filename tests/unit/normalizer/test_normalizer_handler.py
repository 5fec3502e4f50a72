"""From a raw snapshot to a public one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.normalizer.handler import handle, normalize
from shared.broker import Delivery
from shared.contracts.messages import AvailabilitySnapshot, MailboxRead, RawEvent
from shared.contracts.policy import Policy
from shared.contracts.values import DAY, LATEST, Block, Status, Window
from shared.errors import Reject
from tests.unit.normalizer.events import DETAILS, HOUR, MONDAY, WINDOW, details, policies, raw_events, reading, timed

ONCE = Delivery("id", 1, redelivered=False, published_at=MONDAY)


async def test_a_raw_snapshot_becomes_one_public_snapshot() -> None:
    done = await handle(reading(timed(0, HOUR)), ONCE)
    (snapshot,) = done.messages
    assert isinstance(snapshot, AvailabilitySnapshot)
    assert (snapshot.version, snapshot.generation, snapshot.window) == (7, 1, WINDOW)
    assert snapshot.blocks == (Block(MONDAY, MONDAY + HOUR, Status.BUSY),)


async def test_any_other_message_is_refused() -> None:
    with pytest.raises(Reject) as refusal:
        await handle(MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=0), ONCE)
    assert refusal.value.reason == "unexpected_type"


@given(st.lists(raw_events(), max_size=10), policies)
def test_the_same_reading_always_gives_the_same_bytes(events: list[RawEvent], policy: Policy) -> None:
    one = msgspec.json.encode(normalize(reading(*events, policy=policy)))
    other = msgspec.json.encode(normalize(reading(*reversed(events), policy=policy)))
    assert one == other


@given(st.lists(raw_events(), max_size=10), policies)
def test_a_public_snapshot_decodes_under_its_contract(events: list[RawEvent], policy: Policy) -> None:
    public = normalize(reading(*events, policy=policy))
    assert msgspec.json.decode(msgspec.json.encode(public), type=AvailabilitySnapshot) == public


def test_an_event_shown_keeps_its_own_times_while_its_block_is_clipped() -> None:
    public = normalize(reading(timed(-HOUR, HOUR, details=details("open")), policy=DETAILS))
    assert public.blocks == (Block(MONDAY, MONDAY + HOUR, Status.BUSY),)
    assert public.events is not None
    assert public.events[0].start == MONDAY - HOUR


def test_an_event_outside_the_window_is_not_shown() -> None:
    public = normalize(reading(timed(-HOUR, 0), timed(7 * DAY, 7 * DAY + HOUR), policy=DETAILS))
    assert (public.blocks, public.events) == ((), ())


def test_an_all_day_event_lies_in_the_mailboxs_zone() -> None:
    public = normalize(reading(timed(DAY, 2 * DAY, all_day=True), time_zone="Russian Standard Time"))
    assert public.blocks == (Block(MONDAY + DAY - 3 * HOUR, MONDAY + 2 * DAY - 3 * HOUR, Status.BUSY),)
    assert public.time_zone == "Europe/Moscow"


@pytest.mark.parametrize("name", ["", "Customized Time Zone", "nowhere"])
def test_a_zone_nobody_knows_is_utc(name: str) -> None:
    public = normalize(reading(timed(DAY, 2 * DAY, all_day=True), time_zone=name))
    assert public.blocks == (Block(MONDAY + DAY, MONDAY + 2 * DAY, Status.BUSY),)
    assert (public.time_zone, public.mailbox.time_zone) == ("UTC", "UTC")


def test_an_all_day_event_on_the_night_the_clocks_change_lasts_as_long_as_the_day() -> None:
    march_29 = 1_774_742_400  # 2026-03-29: 23 hours long in Berlin
    event = RawEvent(march_29, march_29 + DAY, "oof", all_day=True)
    window = Window(march_29 - DAY, march_29 + 3 * DAY)
    (block,) = normalize(reading(event, window=window, time_zone="Europe/Berlin")).blocks
    assert block.end - block.start == 23 * HOUR


def test_times_of_day_in_an_all_day_event_are_rounded_outward() -> None:
    public = normalize(reading(timed(DAY + HOUR, 2 * DAY - HOUR, all_day=True)))
    assert public.blocks == (Block(MONDAY + DAY, MONDAY + 2 * DAY, Status.BUSY),)


@pytest.mark.parametrize("time_zone", ["America/Los_Angeles", "Asia/Tokyo"])
def test_an_all_day_event_at_the_end_of_the_calendar_is_no_error(time_zone: str) -> None:
    event = RawEvent(MONDAY, LATEST, "busy", all_day=True)
    public = normalize(reading(event, policy=DETAILS, time_zone=time_zone))
    assert public.blocks[-1].end == WINDOW.end
    msgspec.json.decode(msgspec.json.encode(public), type=AvailabilitySnapshot)


def test_a_snapshot_without_events_is_an_empty_line() -> None:
    assert normalize(reading(policy=Policy())).blocks == ()


@pytest.mark.parametrize("live", [True, False])
def test_what_a_hint_brought_about_stays_live(live: bool) -> None:
    assert normalize(msgspec.structs.replace(reading(), live=live)).live is live
