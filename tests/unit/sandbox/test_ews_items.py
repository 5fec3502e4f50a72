"""What a calendar view lists, what GetItem says of each item, and what both refuse."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from deploy.sandbox.calendar import Item, Person
from shared.contracts.values import DAY
from tests.unit.sandbox.asking import NOW, Caller
from tests.unit.sandbox.asking_ews import NAMES, PERSON, EwsCaller, ews_caller, texts

MIDNIGHT = NOW - NOW % DAY
OTHER = "person.0002@sandbox.example"
EVERYTHING = "<t:BaseShape>AllProperties</t:BaseShape>"
IDS = "<t:BaseShape>IdOnly</t:BaseShape>"


@pytest.fixture
def caller(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, mailboxes=10, events=60, canaries=True)


@pytest.fixture
def empty(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, mailboxes=10, events=0)


def printed(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def view(start: int, end: int, *, most: int | None = None, shape: str = IDS, folder: str = "calendar") -> str:
    limit = "" if most is None else f' MaxEntriesReturned="{most}"'
    return (
        f'<m:FindItem Traversal="Shallow"><m:ItemShape>{shape}</m:ItemShape>'
        f'<m:CalendarView StartDate="{printed(start)}" EndDate="{printed(end)}"{limit}/>'
        f'<m:ParentFolderIds><t:DistinguishedFolderId Id="{folder}"/></m:ParentFolderIds></m:FindItem>'
    )


def items(*ids: str, shape: str = EVERYTHING) -> str:
    named = "".join(f'<t:ItemId Id="{each}"/>' for each in ids)
    return f"<m:GetItem><m:ItemShape>{shape}</m:ItemShape><m:ItemIds>{named}</m:ItemIds></m:GetItem>"


async def found(caller: EwsCaller, body: str, mailbox: str = PERSON) -> list[etree._Element]:
    response = await caller.get(body, impersonated=mailbox)
    assert texts(response, ".//m:ResponseCode") == ["NoError"]
    return list(response.iterfind(".//t:CalendarItem", NAMES))


async def code(caller: EwsCaller, body: str) -> str:
    response = await caller.get(body, impersonated=PERSON)
    return texts(response, ".//m:ResponseCode")[0]


def said(item: etree._Element, name: str) -> str | None:
    text = item.findtext(f"t:{name}", namespaces=NAMES)
    return None if text is None else str(text)


def id_of(item: etree._Element) -> str:
    return str(item.find("t:ItemId", NAMES).get("Id"))


async def graph_rows(caller: EwsCaller) -> dict[str, dict[str, Any]]:
    """Return everything that Graph says of the same events, by the ids both doors print."""
    asking = Caller(caller.state)
    window = f"startDateTime={printed(NOW - 60 * DAY)}&endDateTime={printed(NOW + 300 * DAY)}"
    rows = await asking.all(f"/users/{asking.user()}/calendarView?{window}&$top=100", prefer='IdType="ImmutableId"')
    return {row["id"]: row for row in rows}


async def test_both_doors_show_the_same_events_under_the_same_ids(caller: EwsCaller) -> None:
    listed = await found(caller, view(NOW - 60 * DAY, NOW + 300 * DAY, shape=EVERYTHING))
    rows = await graph_rows(caller)
    assert len(rows) == 60
    assert {id_of(item): (said(item, "Subject"), said(item, "Location")) for item in listed} == {
        name: (row["subject"], row["location"]["displayName"]) for name, row in rows.items()
    }
    timed = {id_of(item): item for item in listed if said(item, "IsAllDayEvent") == "false"}
    assert 0 < len(timed) < 60
    assert {name: (said(item, "Start"), said(item, "End")) for name, item in timed.items()} == {
        name: (f"{row['start']['dateTime'][:19]}Z", f"{row['end']['dateTime'][:19]}Z")
        for name, row in rows.items()
        if not row["isAllDay"]
    }


async def test_an_item_says_what_graph_says_of_the_event(caller: EwsCaller) -> None:
    rows = await graph_rows(caller)
    for item in await found_items(caller, list(rows)):
        row = rows[id_of(item)]
        organizer = row["organizer"]["emailAddress"]
        assert texts(item, "t:Organizer/t:Mailbox/t:Name") == [organizer["name"]]
        assert texts(item, "t:Organizer/t:Mailbox/t:EmailAddress") == [organizer["address"]]
        assert texts(item, "t:RequiredAttendees/t:Attendee/t:Mailbox/t:EmailAddress") == [
            each["emailAddress"]["address"] for each in row["attendees"]
        ]
        assert said(item, "Preview") == row["bodyPreview"]
        assert said(item, "Body") == row["body"]["content"]
        assert said(item, "JoinOnlineMeetingUrl") == row["onlineMeeting"]["joinUrl"]
        assert texts(item, "t:Categories/t:String") == row["categories"]
        assert said(item, "UID") == row["iCalUId"]


async def found_items(caller: EwsCaller, ids: list[str]) -> list[etree._Element]:
    response = await caller.get(items(*ids), impersonated=PERSON)
    assert set(texts(response, ".//m:ResponseCode")) == {"NoError"}
    return list(response.iterfind(".//t:CalendarItem", NAMES))


async def test_a_view_gives_neither_bodies_nor_people_but_the_organizers_name(caller: EwsCaller) -> None:
    for item in await found(caller, view(NOW - 60 * DAY, NOW + 300 * DAY, shape=EVERYTHING)):
        assert not any(said(item, name) for name in ("Body", "TextBody", "JoinOnlineMeetingUrl"))
        assert item.find("t:RequiredAttendees", NAMES) is None
        assert [child.tag.rpartition("}")[2] for child in item.find("t:Organizer/t:Mailbox", NAMES)] == ["Name"]


@pytest.mark.parametrize(
    ("field", "element"),
    [("calendar:Start", "Start"), ("item:Sensitivity", "Sensitivity"), ("calendar:MyResponseType", "MyResponseType")],
)
async def test_exactly_what_was_asked_for_is_given(caller: EwsCaller, field: str, element: str) -> None:
    shape = f'{IDS}<t:AdditionalProperties><t:FieldURI FieldURI="{field}"/></t:AdditionalProperties>'
    for item in await found(caller, view(NOW - 60 * DAY, NOW + 300 * DAY, shape=shape)):
        assert [child.tag.rpartition("}")[2] for child in item] == ["ItemId", element]


async def test_a_plain_body_is_given_to_who_asks_for_text(empty: EwsCaller) -> None:
    item_id = empty.changes.add_event(PERSON, Item(item_id="", start=NOW, end=NOW + 60, body="a < b"))
    (item,) = await found(empty, view(NOW, NOW + 60))
    assert item_id in id_of(item)
    response = await empty.get(
        items(id_of(item), shape=f"{EVERYTHING}<t:BodyType>Text</t:BodyType>"), impersonated=PERSON
    )
    assert texts(response, ".//t:Body") == ["a < b"]


@pytest.mark.parametrize(
    ("start", "end", "seen"),
    [(-3600, 0, True), (-3600, -1, False), (3600, 7200, False), (3599, 7200, True), (0, 0, True), (-60, 9000, True)],
)
async def test_a_view_holds_what_overlaps_it_and_what_ends_where_it_begins(
    empty: EwsCaller, start: int, end: int, *, seen: bool
) -> None:
    empty.changes.add_event(PERSON, Item(item_id="one", start=NOW + start, end=NOW + end))
    assert len(await found(empty, view(NOW, NOW + 3600))) == seen


async def test_an_all_day_item_lasts_from_midnight_to_midnight_on_the_mailboxs_clock(empty: EwsCaller) -> None:
    empty.changes.change_user(PERSON, time_zone="Australia/Sydney")
    empty.changes.add_event(PERSON, Item(item_id="day", start=MIDNIGHT, end=MIDNIGHT + DAY, all_day=True))
    (item,) = await found(empty, view(NOW - DAY, NOW + DAY, shape=EVERYTHING))
    assert said(item, "Start") == "2026-11-17T13:00:00Z"
    assert said(item, "End") == "2026-11-18T13:00:00Z"
    assert said(item, "IsAllDayEvent") == "true"


@pytest.mark.parametrize(
    ("changes", "name", "word"),
    [
        ({"show_as": "workingElsewhere"}, "LegacyFreeBusyStatus", "WorkingElsewhere"),
        ({"show_as": "oof"}, "LegacyFreeBusyStatus", "OOF"),
        ({"show_as": "unknown"}, "LegacyFreeBusyStatus", "NoData"),
        ({"sensitivity": "confidential"}, "Sensitivity", "Confidential"),
        ({"response": "declined"}, "MyResponseType", "Decline"),
        ({"response": "none"}, "MyResponseType", "Unknown"),
        ({"cancelled": True}, "IsCancelled", "true"),
        ({"cancelled": True, "attendees": (Person("A", "a@b.c"),)}, "AppointmentState", "5"),
        ({"series_id": "s", "type": "exception"}, "CalendarItemType", "Exception"),
        ({"series_id": "s", "type": "occurrence"}, "RecurrenceId", printed(NOW)),
    ],
)
async def test_words_are_exchanges_own(empty: EwsCaller, changes: dict[str, Any], name: str, word: str) -> None:
    empty.changes.add_event(PERSON, Item(**({"item_id": "one", "start": NOW, "end": NOW + 60} | changes)))
    (item,) = await found(empty, view(NOW, NOW + 60, shape=EVERYTHING))
    assert said(item, name) == word


async def test_the_limit_of_a_view_is_kept_with_and_without_a_number(tmp_path: Path) -> None:
    caller = ews_caller(tmp_path, events=60, ews_items=50)
    everything = (NOW - 60 * DAY, NOW + 300 * DAY)
    assert await code(caller, view(*everything)) == "ErrorExceededFindCountLimit"
    response = await caller.get(view(*everything), impersonated=PERSON)
    assert texts(response, ".//t:Value") == ["50"]
    for most, given in ((59, 50), (50, 50), (7, 7)):
        response = await caller.get(view(*everything, most=most), impersonated=PERSON)
        root = response.find(".//m:RootFolder", NAMES)
        assert root.get("IncludesLastItemInRange") == "false"
        assert len(root.findall(".//t:CalendarItem", NAMES)) == given


async def test_a_full_view_that_is_complete_says_so(caller: EwsCaller) -> None:
    response = await caller.get(view(NOW - 60 * DAY, NOW + 300 * DAY, most=60), impersonated=PERSON)
    assert response.find(".//m:RootFolder", NAMES).get("IncludesLastItemInRange") == "true"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2024-02-29T00:00:00Z", "2026-02-28T00:00:00Z", "NoError"),
        ("2024-02-29T00:00:00Z", "2026-02-28T00:00:01Z", "ErrorCalendarViewRangeTooBig"),
        ("2026-01-01T00:00:00Z", "2028-01-01T00:00:00Z", "NoError"),
        ("2026-01-01T00:00:00Z", "2028-01-01T00:00:00.1Z", "ErrorCalendarViewRangeTooBig"),
        ("9999-01-01T00:00:00Z", "9999-12-31T23:59:59.5Z", "NoError"),
        ("0001-01-01T00:00:00+01:00", "0001-02-01T00:00:00Z", "NoError"),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "ErrorCalendarEndDateIsEarlierThanStartDate"),
        ("2026-01-02T00:00:00+02:00", "2026-01-01T23:00:00Z", "NoError"),
    ],
)
async def test_a_view_is_two_years_long_at_most(caller: EwsCaller, start: str, end: str, expected: str) -> None:
    made = view(0, 1).replace(printed(0), start).replace(printed(1), end)
    assert await code(caller, made) == expected


async def test_a_view_needs_a_calendar_and_a_number_that_counts(caller: EwsCaller) -> None:
    assert await code(caller, view(NOW, NOW + 60, folder="root")) == "ErrorCalendarFolderIsInvalidForCalendarView"
    assert await code(caller, view(NOW, NOW + 60, folder="inbox")) == "ErrorFolderNotFound"
    assert await code(caller, view(NOW, NOW + 60, most=0)) == "ErrorInvalidPagingMaxRows"
    plain = view(NOW, NOW + 60).partition("<m:CalendarView")
    assert await code(caller, plain[0] + plain[2].partition("/>")[2]) == "ErrorInvalidOperation"


@pytest.mark.parametrize("moment", ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01", ""])
async def test_a_moment_that_is_none_breaks_the_schema(caller: EwsCaller, moment: str) -> None:
    made = view(NOW, NOW + 60).replace(printed(NOW), moment)
    assert await caller.fault(made, impersonated=PERSON) == (500, "ErrorSchemaValidation")


async def test_items_are_found_through_their_own_mailbox_only_and_each_fails_alone(caller: EwsCaller) -> None:
    own = id_of((await found(caller, view(NOW - 60 * DAY, NOW + 300 * DAY)))[0])
    foreign = id_of((await found(caller, view(NOW - 60 * DAY, NOW + 300 * DAY), OTHER))[0])
    response = await caller.get(items(own, foreign, "nonsense"), impersonated=PERSON)
    codes = ["NoError", "ErrorItemNotFound", "ErrorInvalidIdMalformed"]
    assert texts(response, ".//m:ResponseCode") == codes
    assert [id_of(item) for item in response.iterfind(".//t:CalendarItem", NAMES)] == [own]


async def test_an_item_no_view_has_shown_is_found_as_well(caller: EwsCaller) -> None:
    item = caller.changes.events(PERSON)[0]
    printed_id = f"AAkALgAAAAAAHYQDEapmEc2byACqAC-E{item.item_id}AA="
    assert [id_of(each) for each in await found_items(caller, [printed_id])] == [printed_id]


async def test_a_series_is_found_by_its_own_id_and_through_an_instance(caller: EwsCaller) -> None:
    item = next(item for item in caller.changes.events(PERSON) if item.series_id)
    instance, series = (f"AAkALgAAAAAAHYQDEapmEc2byACqAC-E{each}AA=" for each in (item.item_id, item.series_id))
    (found_series,) = await found_items(caller, [series])
    assert said(found_series, "CalendarItemType") == "RecurringMaster"
    through = items("x").replace('<t:ItemId Id="x"/>', f'<t:RecurringMasterItemId OccurrenceId="{instance}"/>')
    response = await caller.get(through, impersonated=PERSON)
    assert [id_of(each) for each in response.iterfind(".//t:CalendarItem", NAMES)] == [series]


async def test_a_change_is_seen_at_once_and_changes_the_key(empty: EwsCaller) -> None:
    empty.changes.add_event(PERSON, Item(item_id="one", start=NOW, end=NOW + 60, subject="before"))
    keys = []
    for subject in ("before", "after"):
        empty.changes.change_event(PERSON, "one", subject=subject)
        (item,) = await found(empty, view(NOW, NOW + 60, shape=EVERYTHING))
        assert said(item, "Subject") == subject
        keys.append(item.find("t:ItemId", NAMES).get("ChangeKey"))
    assert keys[0] != keys[1]
    empty.changes.delete_event(PERSON, "one")
    assert await found(empty, view(NOW, NOW + 60)) == []
