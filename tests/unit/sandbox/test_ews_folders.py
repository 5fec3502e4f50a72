"""Which folders a mailbox has, and what the server says of itself and of a mailbox's settings."""

from pathlib import Path

import pytest
from lxml import etree

from tests.unit.sandbox.asking_ews import NAMES, PERSON, EwsCaller, ews_caller, texts

OTHER = "person.0002@sandbox.example"
PREFIX = "AAkALgAAAAAAHYQDEapmEc2byACqAC-E"


@pytest.fixture
def caller(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, mailboxes=10, events=5)


def getting(folders: str, *, shape: str = "AllProperties") -> str:
    return (
        f"<m:GetFolder><m:FolderShape><t:BaseShape>{shape}</t:BaseShape></m:FolderShape>"
        f"<m:FolderIds>{folders}</m:FolderIds></m:GetFolder>"
    )


def distinguished(*names: str, mailbox: str = "") -> str:
    whose = f"<t:Mailbox><t:EmailAddress>{mailbox}</t:EmailAddress></t:Mailbox>" if mailbox else ""
    return "".join(f'<t:DistinguishedFolderId Id="{name}">{whose}</t:DistinguishedFolderId>' for name in names)


def ids(response: etree._Element) -> list[str]:
    return [found.get("Id") for found in response.iterfind(".//t:FolderId", NAMES)]


def codes(response: etree._Element) -> list[str]:
    return texts(response, ".//m:ResponseCode")


async def test_root_top_and_calendar_are_there_and_nothing_else(caller: EwsCaller) -> None:
    asked = distinguished("root", "msgfolderroot", "calendar", "inbox")
    response = await caller.get(getting(asked), impersonated=PERSON)
    assert codes(response) == ["NoError"] * 3 + ["ErrorFolderNotFound"]
    assert texts(response, ".//t:DisplayName") == ["Root", "Top of Information Store", "Calendar"]
    assert texts(response, ".//t:CalendarFolder/t:FolderClass") == ["IPF.Appointment"]
    parents = [found.get("Id") for found in response.iterfind(".//t:ParentFolderId", NAMES)]
    assert parents == ids(response)[:2]


async def test_a_folder_is_found_by_its_id_through_its_own_mailbox_only(caller: EwsCaller) -> None:
    (own,) = ids(await caller.get(getting(distinguished("calendar")), impersonated=PERSON))
    asked = f'<t:FolderId Id="{own}"/><t:FolderId Id="nonsense"/>'
    response = await caller.get(getting(asked, shape="IdOnly"), impersonated=PERSON)
    assert codes(response) == ["NoError", "ErrorInvalidIdMalformed"]
    assert ids(response) == [own]
    assert texts(response, ".//t:DisplayName") == []
    response = await caller.get(getting(asked), impersonated=OTHER)
    assert codes(response) == ["ErrorFolderNotFound", "ErrorInvalidIdMalformed"]


async def test_a_folder_of_somebody_else_is_denied(caller: EwsCaller) -> None:
    for mailbox, code in ((PERSON.upper(), "NoError"), (OTHER, "ErrorAccessDenied")):
        response = await caller.get(getting(distinguished("calendar", mailbox=mailbox)), impersonated=PERSON)
        assert codes(response) == [code]


@pytest.mark.parametrize(
    ("traversal", "parent", "found"),
    [
        ("Shallow", "root", ["Top of Information Store"]),
        ("Deep", "root", ["Top of Information Store", "Calendar"]),
        ("Shallow", "msgfolderroot", ["Calendar"]),
        ("Shallow", "calendar", []),
    ],
)
async def test_folders_are_found_below_others(caller: EwsCaller, traversal: str, parent: str, found: list[str]) -> None:
    body = (
        f'<m:FindFolder Traversal="{traversal}"><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>'
        f"<m:ParentFolderIds>{distinguished(parent)}</m:ParentFolderIds></m:FindFolder>"
    )
    assert texts(await caller.get(body, impersonated=PERSON), ".//t:DisplayName") == found


def converting(*ids: str, wanted: str = "EwsId") -> str:
    sources = "".join(f'<t:AlternateId Format="EwsId" Id="{each}" Mailbox="{PERSON}"/>' for each in ids)
    return f'<m:ConvertId DestinationFormat="{wanted}"><m:SourceIds>{sources}</m:SourceIds></m:ConvertId>'


async def test_ids_are_recognised_without_a_mailbox(caller: EwsCaller) -> None:
    response = await caller.get(converting("DUMMY", f"{PREFIX}0AA="))
    assert codes(response) == ["ErrorInvalidIdMalformed", "NoError"]
    assert [found.get("Id") for found in response.iterfind(".//m:AlternateId", NAMES)] == [f"{PREFIX}0AA="]
    assert await caller.fault(converting("DUMMY", wanted="Runes")) == (500, "ErrorSchemaValidation")


async def test_zones_are_given_with_their_rules_to_who_wants_them(caller: EwsCaller) -> None:
    ids_asked = "<m:Ids><t:Id>Pacific Standard Time</t:Id><t:Id>UTC</t:Id><t:Id>Middle Earth Time</t:Id></m:Ids>"
    response = await caller.get(
        f'<m:GetServerTimeZones ReturnFullTimeZoneData="true">{ids_asked}</m:GetServerTimeZones>'
    )
    zones = response.findall(".//t:TimeZoneDefinition", NAMES)
    assert [zone.get("Id") for zone in zones] == ["Pacific Standard Time", "UTC"]
    assert [period.get("Bias") for period in zones[0].iterfind(".//t:Period", NAMES)] == ["PT480M", "PT420M"]
    assert texts(zones[0], ".//t:Occurrence") == ["1", "2"]
    assert texts(zones[1], ".//t:RecurringDayTransition") == []
    response = await caller.get('<m:GetServerTimeZones ReturnFullTimeZoneData="false"/>')
    assert len(response.findall(".//t:TimeZoneDefinition", NAMES)) == 10
    assert response.find(".//t:Periods", NAMES) is None


def configuration(name: str = "OWA.UserOptions", folder: str = "root") -> str:
    return (
        f'<m:GetUserConfiguration><m:UserConfigurationName Name="{name}">{distinguished(folder)}'
        "</m:UserConfigurationName><m:UserConfigurationProperties>Dictionary</m:UserConfigurationProperties>"
        "</m:GetUserConfiguration>"
    )


@pytest.mark.parametrize(
    ("zone", "shown"), [("America/New_York", "Eastern Standard Time"), ("Customized <Zone>", "Customized <Zone>")]
)
async def test_the_zone_of_a_mailbox_is_among_its_options(caller: EwsCaller, zone: str, shown: str) -> None:
    caller.changes.change_user(PERSON, time_zone=zone)
    response = await caller.get(configuration(), impersonated=PERSON)
    assert texts(response, ".//t:DictionaryKey/t:Value") == ["timezone"]
    assert texts(response, ".//t:DictionaryValue/t:Value") == [shown]


@pytest.mark.parametrize("how", [{"name": "Calendar"}, {"folder": "calendar"}])
async def test_there_are_no_other_configurations(caller: EwsCaller, how: dict[str, str]) -> None:
    response = await caller.get(configuration(**how), impersonated=PERSON)
    assert codes(response) == ["ErrorItemNotFound"]
