"""A client made from Microsoft's own description drives the directory and subscriptions, strictly."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import zeep
import zeep.exceptions

from deploy.sandbox import Sandbox, SandboxOptions, start
from tests.ews_schema import EWS
from tests.unit.sandbox.asking import NOW
from tests.unit.sandbox.asking_ews import PERSON

WSDL = EWS / "schema" / "services.wsdl"
BINDING = "{http://schemas.microsoft.com/exchange/services/2006/messages}ExchangeServiceBinding"
ALL, ROOMS = "all.calendars@sandbox.example", "rooms@sandbox.example"

pytestmark = pytest.mark.skipif(not WSDL.is_file(), reason="the folder with Microsoft's description is not here")


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    running = await start(SandboxOptions(folder=tmp_path, mailboxes=10, events=1, now=NOW))
    yield running
    await running.stop()


@pytest.fixture(scope="module")
def described() -> zeep.Client:
    return zeep.Client(str(WSDL))


Asked = Callable[..., Any]


@pytest.fixture
def ask(sandbox: Sandbox, described: zeep.Client) -> Asked:
    """Return a function that asks for an operation, impersonating somebody or nobody."""

    def asked(operation: str, *, impersonated: str = "", **given: Any) -> Any:
        with requests.Session() as session:
            session.verify = str(sandbox.ca_file)
            session.trust_env = False
            session.auth = (sandbox.ews_user, sandbox.ews_password)
            described.transport.session = session
            service = described.create_service(BINDING, sandbox.ews_url)
            header = {"Impersonation": {"ConnectingSID": {"PrimarySmtpAddress": impersonated}}} if impersonated else {}
            return service[operation](**given, _soapheaders=header or None).body

    return asked


def message(answer: Any, operation: str) -> Any:
    (found,) = answer.ResponseMessages._value_1
    return found[f"{operation}ResponseMessage"]


async def test_names_are_resolved(ask: Asked) -> None:
    answer = await asyncio.to_thread(ask, "ResolveNames", UnresolvedEntry=PERSON, ReturnFullContactData=True)
    found = message(answer, "ResolveNames")
    assert found.ResponseCode == "NoError"
    (resolution,) = found.ResolutionSet.Resolution
    assert resolution.Mailbox.EmailAddress == PERSON
    assert resolution.Contact.EmailAddresses.Entry[0]["_value_1"] == f"SMTP:{PERSON}"


async def test_groups_are_expanded(ask: Asked) -> None:
    answer = await asyncio.to_thread(ask, "ExpandDL", Mailbox={"EmailAddress": ALL})
    kinds = {each.EmailAddress: each.MailboxType for each in message(answer, "ExpandDL").DLExpansion.Mailbox}
    assert kinds["odd.numbers@sandbox.example"] == "PublicDL"
    assert kinds["person.0002@sandbox.example"] == "Mailbox"


async def test_rooms_are_listed(ask: Asked) -> None:
    lists = await asyncio.to_thread(ask, "GetRoomLists")
    assert [each.EmailAddress for each in lists.RoomLists.Address] == [ROOMS]
    rooms = await asyncio.to_thread(ask, "GetRooms", RoomList={"EmailAddress": ROOMS})
    assert [each.Id.EmailAddress for each in rooms.Rooms.Room] == ["Room.0001@sandbox.example"]


async def test_subscriptions_begin_and_end(sandbox: Sandbox, ask: Asked) -> None:
    streaming = {
        "FolderIds": {"_value_1": [{"DistinguishedFolderId": {"Id": "calendar"}}]},
        "EventTypes": {"_value_1": [{"EventType": "CreatedEvent"}, {"EventType": "ModifiedEvent"}]},
    }
    begun = await asyncio.to_thread(ask, "Subscribe", impersonated=PERSON, StreamingSubscriptionRequest=streaming)
    name = message(begun, "Subscribe").SubscriptionId
    ended = await asyncio.to_thread(ask, "Unsubscribe", impersonated=PERSON, SubscriptionId=name)
    assert message(ended, "Unsubscribe").ResponseCode == "NoError"
    sandbox.ews.behave(minute=0.001)
    gone = await asyncio.to_thread(
        ask, "GetStreamingEvents", impersonated=PERSON, SubscriptionIds={"SubscriptionId": [name]}, ConnectionTimeout=1
    )
    assert message(gone, "GetStreamingEvents").ErrorSubscriptionIds.SubscriptionId == [name]


async def test_a_refused_impersonation_is_a_fault(sandbox: Sandbox, ask: Asked) -> None:
    sandbox.ews.change_account(scope="")
    with pytest.raises(zeep.exceptions.Fault, match="does not have permission to impersonate"):
        await asyncio.to_thread(
            ask, "ResolveNames", impersonated=PERSON, UnresolvedEntry=PERSON, ReturnFullContactData=False
        )
