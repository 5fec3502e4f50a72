"""That with canaries every private field of every event carries one, and that all of them are listed."""

from pathlib import Path

import msgspec
import pytest

from deploy.sandbox.calendars import CANARY, CANARY_FIELDS
from deploy.sandbox.rendering import PRIVATE
from tests.unit.sandbox.asking import WINDOW, Caller, caller


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=3, events=30, canaries=True)


async def test_every_canary_listed_is_in_what_graph_shows_and_no_other(asking: Caller) -> None:
    text = ""
    for person in asking.changes.mailboxes():
        rows = await asking.all(f"/users/{person.user_id}/calendarView?{WINDOW}&$top=1000")
        text += msgspec.json.encode(rows).decode()
    listed = asking.changes.canaries
    assert len(listed) == len(set(listed)) == 3 * 30 * len(CANARY_FIELDS)
    assert all(canary in text for canary in listed)


async def test_private_events_carry_them_too(asking: Caller) -> None:
    rows = await asking.all(f"/users/{asking.user()}/calendarView?{WINDOW}&$top=1000")
    private = [row for row in rows if row["sensitivity"] == "private"]
    assert private
    for row in private:
        for name in ("subject", "body", "attendees", "organizer", "location", "categories", "onlineMeeting"):
            assert CANARY in msgspec.json.encode(row[name]).decode()


async def test_what_is_not_private_carries_none(asking: Caller) -> None:
    select = "start,end,showAs,sensitivity,isAllDay,isCancelled,type,seriesMasterId,responseStatus,iCalUId,webLink"
    assert not PRIVATE & set(select.split(","))
    answer = await asking.ask("GET", f"/users/{asking.user()}/calendarView?{WINDOW}&$select={select}&$top=1000")
    assert CANARY.encode() not in answer.body


async def test_changed_events_carry_them_once(asking: Caller) -> None:
    mailbox = "person.0001@sandbox.example"
    item = asking.changes.events(mailbox)[0]
    asking.changes.move_event(mailbox, item.item_id, seconds=60)
    rows = await asking.all(f"/users/{mailbox}/calendarView?{WINDOW}&$select=subject&$top=1000")
    assert all(row["subject"].count(CANARY) == 1 for row in rows)
    assert len(rows) == 30


def test_without_the_option_there_are_none(tmp_path: Path) -> None:
    assert caller(tmp_path, mailboxes=1).changes.canaries == ()
