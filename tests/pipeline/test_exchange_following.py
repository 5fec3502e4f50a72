"""Changes in Exchange calendars are followed by polling: the server says whether anything changed, and is read then."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from deploy.sandbox.calendar import Item
from services.fetcher import polling
from shared import clock
from shared.contracts.values import DAY
from shared.tables import mailboxes
from tests.pipeline.exchange import DETAILS, FREE_BUSY, HOUR, meeting, organisation

OFTEN = 1  # seconds between two polls
WATCHED = replace(DETAILS, poll_seconds=OFTEN)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "INTERVAL", 0.1)


async def test_an_event_added_moved_and_deleted_is_told_soon(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=WATCHED) as made:
        address = made.addresses()[0]
        added = made.sandbox.add_event(address, meeting(30, show_as="oof"))
        await made.scene.agrees(within=60)
        made.sandbox.move_event(address, added, seconds=3 * HOUR)
        await made.scene.agrees(within=60)
        made.sandbox.delete_event(address, added)
        await made.scene.agrees(within=60)
        assert await made.broker.parked() == []


async def test_an_occurrence_that_is_deleted_is_told_soon(tmp_path: Path) -> None:
    (tmp_path / "calendars").mkdir()
    series = "BEGIN:VEVENT\r\nUID:s\r\nDTSTART:20240101T090000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY\r\nEND:VEVENT\r\n"
    (tmp_path / "calendars" / "daily.ics").write_text(f"BEGIN:VCALENDAR\r\n{series}END:VCALENDAR\r\n")
    async with organisation(tmp_path, policy=WATCHED, calendars=tmp_path / "calendars") as made:
        (address,) = made.addresses()
        soon = [item for item in made.sandbox.events(address) if item.start > clock.now() + DAY]
        before = len((await made.scene.told())[address].line)
        made.sandbox.delete_event(address, min(soon, key=_start).item_id)
        await made.scene.agrees(within=60)
        assert len((await made.scene.told())[address].line) == before - 1


async def test_a_poll_that_finds_nothing_new_asks_for_changes_and_nothing_else(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=DETAILS) as made:
        read = {address: row.read_at for address, row in (await made.rows()).items()}
        made.sandbox.forget_requests()
        await made.read_again()
        await made.read_again()
        assert made.asked() == {"SyncFolderItems": 2 * len(made.addresses())}
        assert {address: row.read_at for address, row in (await made.rows()).items()} == read  # which still hold


async def test_of_many_mailboxes_only_the_one_that_changed_is_read(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=DETAILS) as made:
        made.sandbox.forget_requests()
        made.sandbox.add_event(made.addresses()[2], meeting(30))
        await made.read_again()
        await made.settled()
        assert made.asked()["FindItem"] == 1
        assert made.asked()["SyncFolderItems"] == len(made.addresses())


async def test_a_server_that_cannot_tell_changes_is_followed_by_whole_readings(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=DETAILS, ews_without=("SyncFolderItems",)) as made:
        made.sandbox.forget_requests()
        made.sandbox.add_event(made.addresses()[0], meeting(30))
        await made.read_again()
        await made.settled()
        assert made.asked()["FindItem"] == len(made.addresses())
        assert made.asked()["SyncFolderItems"] == 0  # it was asked once, at first


async def test_a_word_on_changes_that_the_server_no_longer_knows_heals(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=DETAILS) as made:
        async with made.store.write() as connection:
            await connection.execute(update(mailboxes).values(sync_state="bm8tc3VjaC1zdGF0ZQ=="))
        made.sandbox.add_event(made.addresses()[0], meeting(30))
        await made.read_again()
        await made.settled()
        made.sandbox.forget_requests()
        await made.read_again()
        assert made.asked() == {"SyncFolderItems": len(made.addresses())}
        assert {bucket for bucket, _ in (await made.buckets()).values()} == {"active"}


async def test_free_and_busy_time_is_followed_by_a_few_requests_for_all(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=FREE_BUSY, mailboxes=40) as made:
        made.sandbox.forget_requests()
        made.sandbox.add_event(made.addresses()[0], meeting(30))
        await made.read_again()
        await made.settled()
        spans = -(-(FREE_BUSY.days_back + FREE_BUSY.days_ahead) // 42)
        assert made.asked().keys() == {"GetUserAvailability"}
        assert spans <= made.asked()["GetUserAvailability"] <= 2 * spans
        assert made.sandbox.requests.mailboxes.keys() == {"svc-busyline@sandbox.example"}


def _start(item: Item) -> Any:
    return item.start
