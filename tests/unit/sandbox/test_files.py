"""That a folder of calendar files becomes a directory of mailboxes, with its oddities told and never fatal."""

from pathlib import Path

import pytest

from deploy.sandbox import worlds
from tests.unit.sandbox.asking import WINDOW, Caller, caller

EVENT = "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\n{lines}END:VEVENT\r\n"
WEEKLY = "DTSTART:20261102T090000Z\r\nDTEND:20261102T100000Z\r\nRRULE:FREQ=WEEKLY;COUNT=5\r\nSUMMARY:Secret plans\r\n"
DAY = "DTSTART;VALUE=DATE:20261201\r\nDTEND;VALUE=DATE:20261203\r\nTRANSP:OPAQUE\r\n"


def calendar(*events: str, zone: str = "") -> bytes:
    head = f"X-WR-TIMEZONE:{zone}\r\n" if zone else ""
    made = "".join(EVENT.format(uid=f"who@where-{number}", lines=lines) for number, lines in enumerate(events))
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\n{head}{made}END:VCALENDAR\r\n".encode()


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    folder = tmp_path / "calendars"
    (folder / "team" / "Inner").mkdir(parents=True)
    (folder / "alone.ics").write_bytes(calendar(WEEKLY, zone="Europe/Berlin"))
    (folder / "team" / "Inner" / "LOUD.ICS").write_bytes(calendar(WEEKLY, DAY, zone="Asia/Tokyo"))
    (folder / "team" / "broken.ics").write_bytes(b"\xff\xfe not a calendar")
    (folder / "notes.txt").write_text("not read")
    return caller(tmp_path, calendars=folder)


async def test_each_file_is_one_mailbox_and_nothing_else_is_there(asking: Caller) -> None:
    rows = await asking.all("/users?$select=mail")
    expected = ["alone@sandbox.example", "team.broken@sandbox.example", "team.inner.loud@sandbox.example"]
    assert [row["mail"] for row in rows] == expected


async def test_ids_follow_from_addresses(asking: Caller, tmp_path: Path) -> None:
    again = caller(tmp_path, calendars=tmp_path / "calendars")
    assert list(again.tenant.people) == list(asking.tenant.people)


async def test_instances_of_a_file_are_listed(asking: Caller) -> None:
    url = f"/users/team.inner.loud@sandbox.example/calendarView?{WINDOW}&$top=4"
    rows = await asking.all(url, prefer='IdType="ImmutableId"')
    assert len(rows) == len({row["id"] for row in rows}) == 6
    assert {row["type"] for row in rows} == {"occurrence", "singleInstance"}
    (all_day,) = [row for row in rows if row["isAllDay"]]
    assert (all_day["start"]["dateTime"], all_day["end"]["dateTime"]) == (
        "2026-12-01T00:00:00.0000000",
        "2026-12-03T00:00:00.0000000",
    )
    assert not any("who" in row["id"] for row in rows)


async def test_a_files_zone_is_its_mailboxs(asking: Caller) -> None:
    settings = await asking.get("/users/team.inner.loud@sandbox.example/mailboxSettings")
    assert settings["timeZone"] == "Tokyo Standard Time"


def test_a_files_problems_are_told_without_its_contents(asking: Caller) -> None:
    assert [problem["file"] for problem in asking.changes.problems] == ["team/broken.ics"]
    assert all(problem.keys() == {"file", "place", "reason"} for problem in asking.changes.problems)


async def test_a_files_events_can_be_changed(asking: Caller) -> None:
    mailbox = "alone@sandbox.example"
    first, *rest = asking.changes.events(mailbox)
    asking.changes.delete_event(mailbox, first.item_id)
    asking.changes.move_event(mailbox, rest[0].item_id, seconds=60)
    after = asking.changes.events(mailbox)
    assert [item.start for item in after] == [rest[0].start + 60, *(item.start for item in rest[1:])]


def test_two_files_of_one_address_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "calendars"
    (folder / "a").mkdir(parents=True)
    (folder / "a.b.ics").write_bytes(calendar(WEEKLY))
    (folder / "a" / "b.ics").write_bytes(calendar(WEEKLY))
    asking = caller(tmp_path, calendars=folder)
    assert len(asking.tenant.people) == 1
    assert [problem["reason"] for problem in asking.changes.problems] == ["address_taken"]


def test_addresses_are_words_without_spaces(tmp_path: Path) -> None:
    (tmp_path / "My Team").mkdir()
    (tmp_path / "My Team" / "Fine Room.ics").touch()
    assert [address for address, _ in worlds.files(tmp_path)] == ["my-team.fine-room@sandbox.example"]


async def test_a_file_whose_name_is_no_text_is_told_and_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / "good.ics").write_bytes(calendar(WEEKLY))
    (folder / "bad\udcff.ics").write_bytes(calendar(WEEKLY))
    asking = caller(tmp_path, calendars=folder)
    assert [row["mail"] for row in await asking.all("/users?$select=mail")] == ["good@sandbox.example"]
    assert [problem["reason"] for problem in asking.state.problems] == ["bad_name"]
