"""A client made from Microsoft's own description drives the calendar operations over the network, by the schema."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import zeep
import zeep.exceptions

from deploy.sandbox import Sandbox, SandboxOptions, start
from deploy.sandbox.ews.answering import OPERATIONS
from shared.contracts.values import DAY
from tests.ews_schema import EWS
from tests.unit.sandbox.asking import NOW
from tests.waiting import until

WSDL = EWS / "schema" / "services.wsdl"
BINDING = "{http://schemas.microsoft.com/exchange/services/2006/messages}ExchangeServiceBinding"
PERSON = "person.0001@sandbox.example"
MIDNIGHT = NOW - NOW % DAY
CALENDAR = {"DistinguishedFolderId": {"Id": "calendar"}}
NEVER = {"Bias": 0, "Time": "00:00:00", "DayOrder": 0, "Month": 0, "DayOfWeek": "Sunday"}
OF_THE_SERVER = frozenset({"GetServerTimeZones", "ConvertId"})  # their description allows nobody to be impersonated
Ask = Callable[..., Any]

pytestmark = pytest.mark.skipif(not WSDL.is_file(), reason="the folder with Microsoft's description is not here")


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    running = await start(SandboxOptions(folder=tmp_path, mailboxes=3, events=40, now=NOW), clock=lambda: NOW)
    yield running
    await until(lambda: not running._runner.server.connections)  # those the client closed a moment ago
    await running.stop()


@pytest.fixture(scope="module")
def described() -> zeep.Client:
    return zeep.Client(str(WSDL))


@pytest.fixture
def ask(sandbox: Sandbox, described: zeep.Client) -> Ask:
    """Return a function that asks for an operation in a thread, as the person."""

    def asked(operation: str, given: dict[str, Any]) -> Any:
        with requests.Session() as session:
            session.verify = str(sandbox.ca_file)
            session.trust_env = False
            session.auth = (sandbox.ews_user, sandbox.ews_password)
            described.transport.session = session
            service = described.create_service(BINDING, sandbox.ews_url)
            header = {"Impersonation": {"ConnectingSID": {"PrimarySmtpAddress": PERSON}}}
            try:
                return service[operation](**given, _soapheaders=None if operation in OF_THE_SERVER else header).body
            except zeep.exceptions.Fault as fault:
                # its frames hold the response, and that holds the connection open
                raise fault.with_traceback(None) from None

    async def asking(operation: str, **given: Any) -> Any:
        return await asyncio.to_thread(asked, operation, given)

    return asking


def messages(answer: Any, operation: str) -> list[Any]:
    found = [each[f"{operation}ResponseMessage"] for each in answer.ResponseMessages._value_1]
    assert {each.ResponseCode for each in found} == {"NoError"}
    return found


def shape(*fields: str) -> dict[str, Any]:
    more = {"Path": [{"FieldURI": {"FieldURI": field}} for field in fields]}
    return {"BaseShape": "AllProperties"} if not fields else {"BaseShape": "IdOnly", "AdditionalProperties": more}


def when(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, UTC)


async def view(ask: Ask) -> list[Any]:
    span = {"StartDate": when(MIDNIGHT - 40 * DAY), "EndDate": when(MIDNIGHT + 190 * DAY), "MaxEntriesReturned": 1000}
    answer = await ask(
        "FindItem", Traversal="Shallow", ItemShape=shape(), CalendarView=span, ParentFolderIds={"_value_1": [CALENDAR]}
    )
    (found,) = messages(answer, "FindItem")
    return [each["CalendarItem"] for each in found.RootFolder.Items._value_1]


async def test_a_view_is_found_and_its_items_are_got(sandbox: Sandbox, ask: Ask) -> None:
    listed = await view(ask)
    subjects = {item.item_id: item.subject for item in sandbox.events(PERSON)}
    assert len(listed) > 30
    ids = {"_value_1": [{"ItemId": {"Id": each.ItemId.Id}} for each in listed[:10]]}
    answer = await ask("GetItem", ItemShape=shape(), ItemIds=ids)
    items = [found.Items._value_1[0]["CalendarItem"] for found in messages(answer, "GetItem")]
    assert [item.Subject for item in items] == [each.Subject for each in listed[:10]]
    assert {item.Subject for item in items} <= set(subjects.values())
    assert all(item.Organizer.Mailbox.EmailAddress for item in items)


async def test_changes_are_followed(sandbox: Sandbox, ask: Ask) -> None:
    how = {"ItemShape": {"BaseShape": "IdOnly"}, "SyncFolderId": CALENDAR, "MaxChangesReturned": 512}
    (first,) = messages(await ask("SyncFolderItems", **how), "SyncFolderItems")
    assert first.IncludesLastItemInRange
    assert len(first.Changes._value_1) == len({item.series_id or item.item_id for item in sandbox.events(PERSON)})
    single = next(item for item in sandbox.events(PERSON) if item.series_id is None)
    sandbox.delete_event(PERSON, single.item_id)
    (after,) = messages(await ask("SyncFolderItems", **how, SyncState=first.SyncState), "SyncFolderItems")
    assert [next(iter(each)) for each in after.Changes._value_1] == ["Delete"]


async def test_free_busy_times_are_given(sandbox: Sandbox, ask: Ask) -> None:
    window = {"StartTime": datetime(2026, 11, 2), "EndTime": datetime(2026, 12, 1)}  # noqa: DTZ001 -- in the request's zone
    answer = await ask(
        "GetUserAvailability",
        TimeZone={"Bias": 0, "StandardTime": NEVER, "DaylightTime": NEVER},
        MailboxDataArray={"MailboxData": [{"Email": {"Address": PERSON}, "AttendeeType": "Required"}]},
        FreeBusyViewOptions={"TimeWindow": window, "RequestedView": ["DetailedMerged"]},
    )
    (found,) = answer.FreeBusyResponseArray.FreeBusyResponse
    assert found.ResponseMessage.ResponseCode == "NoError"
    known = {item.subject for item in sandbox.events(PERSON)}
    events = found.FreeBusyView.CalendarEventArray.CalendarEvent
    assert {each.CalendarEventDetails.Subject for each in events} - {None} <= known
    assert set(found.FreeBusyView.MergedFreeBusy) <= set("012345")


async def test_folders_are_got_and_found(ask: Ask) -> None:
    (got,) = messages(
        await ask("GetFolder", FolderShape={"BaseShape": "AllProperties"}, FolderIds={"_value_1": [CALENDAR]}),
        "GetFolder",
    )
    assert got.Folders._value_1[0]["CalendarFolder"].DisplayName == "Calendar"
    root = {"_value_1": [{"DistinguishedFolderId": {"Id": "root"}}]}
    (found,) = messages(
        await ask("FindFolder", Traversal="Deep", FolderShape={"BaseShape": "Default"}, ParentFolderIds=root),
        "FindFolder",
    )
    assert len(found.RootFolder.Folders._value_1) == 2


async def test_zones_options_and_ids_are_answered(ask: Ask, described: zeep.Client) -> None:
    # zeep knows no substitution groups, so it cannot read the turns of a zone that has any
    zones = await ask("GetServerTimeZones", ReturnFullTimeZoneData=True, Ids={"Id": ["Tokyo Standard Time"]})
    (found,) = messages(zones, "GetServerTimeZones")[0].TimeZoneDefinitions._value_1
    zone = found["TimeZoneDefinition"]
    assert [period.Name for period in zone.Periods.Period] == ["Standard"]
    name = {"Name": "OWA.UserOptions", "DistinguishedFolderId": {"Id": "root"}}
    answer = await ask("GetUserConfiguration", UserConfigurationName=name, UserConfigurationProperties=["Dictionary"])
    (entry,) = messages(answer, "GetUserConfiguration")[0].UserConfiguration.Dictionary.DictionaryEntry
    assert entry.DictionaryValue.Value == ["W. Europe Standard Time"]
    listed = await view(ask)
    kind = described.get_type("{http://schemas.microsoft.com/exchange/services/2006/types}AlternateIdType")
    source = {"AlternateId": kind(Format="EwsId", Id=listed[0].ItemId.Id, Mailbox=PERSON)}
    answer = await ask("ConvertId", DestinationFormat="EwsId", SourceIds={"_value_1": [source]})
    assert messages(answer, "ConvertId")[0].AlternateId.Id == listed[0].ItemId.Id


def test_every_operation_that_is_served_is_described_and_asked_for_by_a_strict_client(described: zeep.Client) -> None:
    (service,) = described.wsdl.services.values()
    (port,) = service.ports.values()
    here = (Path(__file__), Path(__file__).parents[1] / "unit" / "sandbox" / "test_ews_zeep.py")
    asked = "".join(file.read_text(encoding="utf-8") for file in here)
    assert set(OPERATIONS) <= set(port.binding.all())
    assert {name for name in OPERATIONS if f'"{name}"' not in asked} == set()


async def test_a_refusal_is_a_fault_by_its_code(ask: Ask) -> None:
    window = {"StartTime": datetime(2026, 11, 2), "EndTime": datetime(2026, 11, 2, 1)}  # noqa: DTZ001 -- as above
    given = {
        "TimeZone": {"Bias": 0, "StandardTime": NEVER, "DaylightTime": NEVER},
        "MailboxDataArray": {"MailboxData": [{"Email": {"Address": PERSON}, "AttendeeType": "Required"}]},
        "FreeBusyViewOptions": {"TimeWindow": window, "RequestedView": ["FreeBusy"]},
    }
    with pytest.raises(zeep.exceptions.Fault) as refused:
        await ask("GetUserAvailability", **given)
    assert refused.value.code.endswith("ErrorInvalidTimeInterval")
