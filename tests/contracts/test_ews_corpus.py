"""Every real calendar is the same through EWS as through Graph: each instance, and all that is published of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from deploy.sandbox.calendar import Item, Person
from deploy.sandbox.ews.expansions import placed
from deploy.sandbox.rendering import IMMUTABLE_ID, View, event_id
from shared.clock import moment
from shared.contracts.values import DAY, Window
from tests.unit.sandbox.asking import NOW
from tests.unit.sandbox.asking_ews import NAMES, EwsCaller, ews_caller, texts

CORPUS = Path(__file__).parents[2] / ".." / "shared" / "data" / "corpus"
MIDNIGHT = NOW - NOW % DAY
VIEW = View(prefix=IMMUTABLE_ID)
LISTED = ("item:Subject", "calendar:Start", "calendar:End", "calendar:Location")
SAID = ("item:Preview", "calendar:Organizer", "calendar:RequiredAttendees", "calendar:JoinOnlineMeetingUrl")
MOST = 50  # items of each calendar that are asked for one by one

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CORPUS.is_dir(), reason="needs ../shared/data/corpus")]


@pytest.fixture
def caller(tmp_path: Path) -> EwsCaller:
    made = ews_caller(tmp_path, calendars=CORPUS)
    made.state.ews_seen = None  # compared with the schema elsewhere: this is much
    return made


def shape(*fields: str) -> str:
    more = "".join(f'<t:FieldURI FieldURI="{field}"/>' for field in fields)
    return (
        "<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>"
        f"<t:AdditionalProperties>{more}</t:AdditionalProperties></m:ItemShape>"
    )


async def view(caller: EwsCaller, mailbox: str, window: Window) -> dict[str, tuple[str, ...]]:
    """Return what a mailbox shows in a window, by the ids; a view that is cut is asked for in halves."""
    body = (
        f'<m:FindItem Traversal="Shallow">{shape(*LISTED)}'
        f'<m:CalendarView StartDate="{moment(window.start)}" EndDate="{moment(window.end)}" MaxEntriesReturned="1000"/>'
        '<m:ParentFolderIds><t:DistinguishedFolderId Id="calendar"/></m:ParentFolderIds></m:FindItem>'
    )
    root = (await caller.get(body, impersonated=mailbox)).find(".//m:RootFolder", NAMES)
    if root.get("IncludesLastItemInRange") == "false":
        middle = (window.start + window.end) // 2
        first = await view(caller, mailbox, Window(window.start, middle))
        return first | await view(caller, mailbox, Window(middle, window.end))
    names = ("Start", "End", "Subject", "Location")
    return {
        item.find("t:ItemId", NAMES).get("Id"): tuple(
            item.findtext(f"t:{name}", default="", namespaces=NAMES) for name in names
        )
        for item in root.iterfind(".//t:CalendarItem", NAMES)
    }


async def said(caller: EwsCaller, mailbox: str, ids: list[str]) -> list[Any]:
    named = "".join(f'<t:ItemId Id="{each}"/>' for each in ids)
    response = await caller.get(
        f"<m:GetItem>{shape(*SAID)}<m:ItemIds>{named}</m:ItemIds></m:GetItem>", impersonated=mailbox
    )
    return [told(item) for item in response.iterfind(".//t:CalendarItem", NAMES)]


def told(item: etree._Element) -> tuple[Any, ...]:
    organizer = next(map(person, item.iterfind("t:Organizer/t:Mailbox", NAMES)), "")
    attendees = [person(each) for each in item.iterfind("t:RequiredAttendees/t:Attendee/t:Mailbox", NAMES)]
    return organizer, attendees, "".join(texts(item, "t:Preview")), "".join(texts(item, "t:JoinOnlineMeetingUrl"))


def person(mailbox: etree._Element) -> str:
    return str(next(iter(texts(mailbox, "t:EmailAddress")), "") or mailbox.findtext("t:Name", namespaces=NAMES) or "")


def shown(person: Person | None) -> str:
    return "" if person is None else person.address or person.name


def mailboxes(caller: EwsCaller, window: Window) -> Iterator[tuple[str, dict[str, Item], dict[str, tuple[str, ...]]]]:
    """Yield each mailbox with the items Graph shows in a window, and how they are printed."""
    for each in caller.tenant.people.values():
        book = caller.state.book(caller.tenant, each)
        items = {event_id(item.item_id, VIEW): item for item in book.items(window)}
        yield (
            each.address,
            items,
            {
                name: (*map(moment, placed(item, book.zone)), item.subject, item.location)
                for name, item in items.items()
            },
        )


@pytest.mark.timeout(400)
async def test_both_doors_show_the_same_of_every_real_calendar(caller: EwsCaller) -> None:
    window = Window(MIDNIGHT - 42 * DAY, MIDNIGHT + 201 * DAY)
    compared = 0
    for mailbox, items, expected in mailboxes(caller, window):
        seen = await view(caller, mailbox, window)
        begins = moment(window.start)
        touching = {name for name, printed in seen.items() if printed[1] == begins and printed[0] != begins}
        assert {name: printed for name, printed in seen.items() if name not in touching} == expected, mailbox
        ids = list(items)[:MOST]
        if ids:
            assert await said(caller, mailbox, ids) == [
                (shown(item.organizer), [shown(each) for each in item.attendees], item.body[:255], item.join_url)
                for item in (items[name] for name in ids)
            ], mailbox
        compared += len(ids)
    assert compared > 1000
