"""When people are busy as GetUserAvailability tells it: whom, in which zone, how much of it, within which limits."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from deploy.sandbox.calendar import Item, Person
from deploy.sandbox.directory import Hours
from deploy.sandbox.ews.zone_rules import Rules, rules_of, wall_of
from deploy.sandbox.ews.zones_printing import serialized
from shared.contracts.values import DAY
from shared.zones import resolve
from tests.unit.sandbox.asking import NOW
from tests.unit.sandbox.asking_ews import NAMES, PERSON, EwsCaller, ews_caller, texts

MIDNIGHT = NOW - NOW % DAY
HOUR = 3600


@pytest.fixture
def caller(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, mailboxes=25, events=0)


def printed(wall: int) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def asking(  # one argument for each part of the request
    *people: str,
    start: int = MIDNIGHT,
    end: int = MIDNIGHT + 7 * DAY,
    view: str = "FreeBusy",
    zone: Rules = Rules(),  # noqa: B008 -- frozen
    interval: int | None = None,
) -> str:
    mailboxes = "".join(
        f"<t:MailboxData><t:Email><t:Address>{each}</t:Address></t:Email><t:AttendeeType>Required</t:AttendeeType>"
        "</t:MailboxData>"
        for each in people or (PERSON,)
    )
    step = (
        "" if interval is None else f"<t:MergedFreeBusyIntervalInMinutes>{interval}</t:MergedFreeBusyIntervalInMinutes>"
    )
    return (
        f"<m:GetUserAvailabilityRequest>{serialized(zone)}<m:MailboxDataArray>{mailboxes}</m:MailboxDataArray>"
        f"<t:FreeBusyViewOptions><t:TimeWindow><t:StartTime>{printed(wall_of(zone, start))}</t:StartTime>"
        f"<t:EndTime>{printed(wall_of(zone, end))}</t:EndTime></t:TimeWindow>{step}"
        f"<t:RequestedView>{view}</t:RequestedView></t:FreeBusyViewOptions></m:GetUserAvailabilityRequest>"
    )


async def events(caller: EwsCaller, body: str) -> list[tuple[str, ...]]:
    """Return the events of the first person asked for: start, end and word."""
    response = await caller.get(body)
    assert texts(response, ".//m:ResponseCode")[0] == "NoError"
    return [tuple(child.text for child in event[:3]) for event in response.iterfind(".//t:CalendarEvent", NAMES)]


def put(caller: EwsCaller, name: str, start: int, end: int, **fields: object) -> None:
    caller.changes.add_event(PERSON, Item(item_id=name, start=start, end=end, **fields))  # type: ignore[arg-type]  # fields of Item


async def test_times_and_words_are_given_and_what_is_cancelled_or_declined_is_not(caller: EwsCaller) -> None:
    words = {
        "free": "Free", "tentative": "Tentative", "busy": "Busy", "oof": "OOF",
        "workingElsewhere": "WorkingElsewhere", "unknown": "NoData",
    }  # fmt: skip
    for number, show_as in enumerate(words):
        put(caller, show_as, NOW + number * HOUR, NOW + number * HOUR + 60, show_as=show_as, subject="secret")
    put(caller, "cancelled", NOW, NOW + 60, cancelled=True)
    put(caller, "declined", NOW, NOW + 60, response="declined")
    expected = [
        (printed(NOW + number * HOUR), printed(NOW + number * HOUR + 60), word)
        for number, word in enumerate(words.values())
    ]
    assert await events(caller, asking()) == expected
    assert b"secret" not in (await caller.ask(asking())).body


@pytest.mark.parametrize(
    ("start", "end", "seen"),
    [(-60, 0, False), (-60, 1, True), (7 * DAY, 8 * DAY, False), (7 * DAY - 1, 8 * DAY, True), (-DAY, 9 * DAY, True)],
)
async def test_what_overlaps_the_window_is_given_whole(caller: EwsCaller, start: int, end: int, *, seen: bool) -> None:
    put(caller, "one", MIDNIGHT + start, MIDNIGHT + end)
    expected = [(printed(MIDNIGHT + start), printed(MIDNIGHT + end), "Busy")] if seen else []
    assert await events(caller, asking()) == expected


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Calcutta"])
async def test_times_are_read_and_written_in_the_zone_of_the_request(caller: EwsCaller, name: str) -> None:
    zone = resolve(name)
    assert zone is not None
    put(caller, "one", NOW, NOW + HOUR)
    there = [printed(int(NOW + datetime.fromtimestamp(NOW, zone).utcoffset().total_seconds()))]  # type: ignore[union-attr]  # a zone has an offset
    found = await events(caller, asking(zone=rules_of(zone, 2026)))
    assert [start for start, _, _ in found] == there


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00", "9999-12-30T00:00:00"])
@pytest.mark.parametrize("name", ["America/New_York", "Australia/Sydney"])
async def test_the_edges_of_time_are_no_danger(caller: EwsCaller, name: str, edge: str) -> None:
    zone = resolve(name)
    assert zone is not None
    before, _, rest = asking(zone=rules_of(zone, 2026)).partition("<t:StartTime>")
    end = edge.replace("-01T", "-03T").replace("-30T00:00:00", "-31T23:59:59")
    body = f"{before}<t:StartTime>{edge}</t:StartTime><t:EndTime>{end}{rest[rest.index('</t:EndTime>') :]}"
    assert (await caller.ask(body)).status in {200, 500}


async def test_an_all_day_event_is_placed_by_the_mailboxs_zone(caller: EwsCaller) -> None:
    caller.changes.change_user(PERSON, time_zone="Asia/Tokyo")
    put(caller, "day", MIDNIGHT, MIDNIGHT + DAY, all_day=True)
    assert await events(caller, asking()) == [(printed(MIDNIGHT - 9 * HOUR), printed(MIDNIGHT + 15 * HOUR), "Busy")]


async def test_each_person_fails_alone(caller: EwsCaller) -> None:
    people = (
        "nobody@sandbox.example", PERSON, "guest.0001@visitor.example", "premises.0001@sandbox.example",
        "denied.0001@sandbox.example",
    )  # fmt: skip
    response = await caller.get(asking(*people))
    assert texts(response, ".//m:ResponseCode") == [
        "ErrorMailRecipientNotFound",
        "NoError",
        "ErrorMailRecipientNotFound",
        "ErrorProxyRequestProcessingFailed",
        "ErrorNoFreeBusyAccess",
    ]
    views = texts(response, ".//t:FreeBusyViewType")
    assert views == ["None", "FreeBusy", "None", "None", "None"]


async def test_too_many_entries_are_refused_for_that_person_only(tmp_path: Path) -> None:
    caller = ews_caller(tmp_path, events=0, ews_items=3)
    for number in range(4):
        put(caller, f"n{number}", NOW + number, NOW + number + 1)
    response = await caller.get(asking(PERSON, "person.0002@sandbox.example"))
    assert texts(response, ".//m:ResponseCode") == ["ErrorResultSetTooBig", "NoError"]


@pytest.mark.parametrize(
    ("length", "expected"),
    [(DAY - 1, "ErrorInvalidTimeInterval"), (DAY, ""), (42 * DAY, ""), (42 * DAY + 1, "ErrorTimeIntervalTooBig")],
)
async def test_a_window_is_a_day_long_at_least_and_as_long_as_the_server_allows(
    caller: EwsCaller, length: int, expected: str
) -> None:
    body = asking(end=MIDNIGHT + length)
    if expected:
        assert await caller.fault(body) == (500, expected)
    else:
        await caller.get(body)


async def test_the_longest_window_is_an_option(tmp_path: Path) -> None:
    caller = ews_caller(tmp_path, ews_days=62)
    await caller.get(asking(end=MIDNIGHT + 62 * DAY))
    answer = await caller.ask(asking(end=MIDNIGHT + 63 * DAY))
    assert b"The allowed limit = 62 days; the actual limit = 63 days." in answer.body


async def test_more_people_than_the_limit_are_refused_together(caller: EwsCaller) -> None:
    await caller.get(asking(*[PERSON] * 100))
    assert await caller.fault(asking(*[PERSON] * 101)) == (500, "ErrorIndividualMailboxLimitReached")


@pytest.mark.parametrize(
    ("view", "given"),
    [
        ("MergedOnly", {"MergedFreeBusy"}),
        ("FreeBusy", {"CalendarEventArray"}),
        ("FreeBusyMerged", {"MergedFreeBusy", "CalendarEventArray"}),
        ("Detailed", {"CalendarEventArray"}),
        ("DetailedMerged", {"MergedFreeBusy", "CalendarEventArray"}),
    ],
)
async def test_a_view_gives_what_it_is_named_for(caller: EwsCaller, view: str, given: set[str]) -> None:
    response = await caller.get(asking(view=view))
    assert texts(response, ".//t:FreeBusyViewType") == [view]
    children = {child.tag.rpartition("}")[2] for child in response.find(".//m:FreeBusyView", NAMES)}
    assert children == given | {"FreeBusyViewType", "WorkingHours"}
    assert caller.state.counts.selects["EWS GetUserAvailability"] == {view: 1}


async def test_details_are_for_who_may_impersonate_and_never_of_what_is_private(caller: EwsCaller) -> None:
    colleague = (Person("A", "a@b.example"),)
    put(caller, "open", NOW, NOW + 60, subject="shown", location="here", attendees=colleague)
    put(caller, "shut", NOW + 60, NOW + 120, subject="secret", location="secret", sensitivity="private")
    response = await caller.get(asking(view="Detailed"))
    assert texts(response, ".//t:Subject") == ["shown"]
    assert texts(response, ".//t:Location") == ["here"]
    assert texts(response, ".//t:IsPrivate") == ["false", "true"]
    assert texts(response, ".//t:IsMeeting") == ["true", "false"]
    caller.orders.change_account(scope="")
    response = await caller.get(asking(view="Detailed"))
    assert texts(response, ".//t:FreeBusyViewType") == ["FreeBusy"]
    assert len(response.findall(".//t:CalendarEvent", NAMES)) == 2
    assert not response.findall(".//t:CalendarEventDetails", NAMES)


async def test_merged_times_are_digits_of_the_highest_status(caller: EwsCaller) -> None:
    for name, show_as, start, minutes in (
        ("a", "tentative", 0, 90), ("b", "busy", 60, 30), ("c", "oof", 1380, 600), ("d", "workingElsewhere", 120, 30),
        ("e", "unknown", 150, 1), ("f", "free", 180, 30),
    ):  # fmt: skip
        put(caller, name, MIDNIGHT + start * 60, MIDNIGHT + (start + minutes) * 60, show_as=show_as)
    response = await caller.get(asking(view="MergedOnly", end=MIDNIGHT + DAY, interval=30))
    assert texts(response, ".//t:MergedFreeBusy") == ["112045" + "0" * 40 + "33"]


@pytest.mark.parametrize("interval", [4, 1441])
async def test_an_interval_out_of_bounds_is_refused(caller: EwsCaller, interval: int) -> None:
    assert await caller.fault(asking(interval=interval)) == (500, "ErrorInvalidMergedFreeBusyInterval")


async def test_working_hours_tell_the_rules_of_the_mailboxs_zone(caller: EwsCaller) -> None:
    caller.changes.change_user(PERSON, time_zone="America/New_York")
    hours = (await caller.get(asking())).find(".//t:WorkingHours", NAMES)
    assert hours.findtext("t:TimeZone/t:Bias", namespaces=NAMES) == "300"
    turns = [
        tuple(child.text for child in hours.find(f"t:TimeZone/t:{name}", NAMES))
        for name in ("StandardTime", "DaylightTime")
    ]
    assert turns == [("0", "02:00:00", "1", "11", "Sunday"), ("-60", "02:00:00", "2", "3", "Sunday")]
    assert [texts(hours, f".//t:{name}InMinutes") for name in ("StartTime", "EndTime")] == [["480"], ["1020"]]


async def test_working_hours_are_those_that_were_set_in_a_zone_of_their_own_or_none(caller: EwsCaller) -> None:
    week = Hours(days=("sunday", "monday"), start=600, end=0, time_zone="Asia/Tokyo")
    caller.changes.change_user(PERSON, working_hours=week)
    hours = (await caller.get(asking())).find(".//t:WorkingHours", NAMES)
    assert texts(hours, "./t:TimeZone/t:Bias") == ["-540"]
    assert [texts(hours, f".//t:WorkingPeriod/t:{name}") for name in ("DayOfWeek", "StartTimeInMinutes")] == [
        ["Sunday Monday"], ["600"],
    ]  # fmt: skip
    caller.changes.change_user(PERSON, working_hours=None)
    assert (await caller.get(asking())).find(".//t:WorkingHours", NAMES) is None


@pytest.mark.parametrize("lacking", ["t:TimeZone", "m:MailboxDataArray", "t:FreeBusyViewOptions", "t:TimeWindow"])
async def test_a_request_that_lacks_a_part_breaks_the_schema(caller: EwsCaller, lacking: str) -> None:
    before, _, rest = asking().partition(f"<{lacking}>")
    body = before + rest.partition(f"</{lacking}>")[2]
    assert await caller.fault(body) == (500, "ErrorSchemaValidation")


async def test_a_view_nobody_knows_is_refused(caller: EwsCaller) -> None:
    assert await caller.fault(asking(view="Everything")) == (500, "ErrorInvalidFreeBusyViewType")


async def test_no_impersonation_is_needed_and_every_person_is_counted(caller: EwsCaller) -> None:
    response = await caller.get(asking(PERSON, "person.0002@sandbox.example"))
    assert isinstance(response, etree._Element)
    assert caller.state.counts.views == {PERSON: 1, "person.0002@sandbox.example": 1}
    assert caller.state.counts.mailboxes == {"svc-busyline@sandbox.example": 1}
