"""The directory through EWS: names resolved, groups expanded one level, rooms found in their list only."""

from pathlib import Path

import pytest

from deploy.sandbox.directory import Person
from shared.contracts.values import Kind
from tests.unit.sandbox.asking_ews import NAMES, PERSON, EwsCaller, ews_caller, texts

ALL, ODD = "all.calendars@sandbox.example", "odd.numbers@sandbox.example"
ROOMS = "rooms@sandbox.example"


@pytest.fixture
def asking(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, events=1)


def resolve(entry: str, *, full: str = "false") -> str:
    wanted = f"<m:UnresolvedEntry>{entry}</m:UnresolvedEntry>"
    return f'<m:ResolveNames ReturnFullContactData="{full}">{wanted}</m:ResolveNames>'


def expand(address: str) -> str:
    return f"<m:ExpandDL><m:Mailbox><t:EmailAddress>{address}</t:EmailAddress></m:Mailbox></m:ExpandDL>"


def rooms_of(address: str) -> str:
    return f"<m:GetRooms><m:RoomList><t:EmailAddress>{address}</t:EmailAddress></m:RoomList></m:GetRooms>"


async def code(asking: EwsCaller, body: str) -> str:
    return texts(await asking.get(body), ".//m:ResponseCode")[0]


async def addresses(asking: EwsCaller, body: str) -> list[str]:
    return texts(await asking.get(body), ".//t:EmailAddress")


@pytest.mark.parametrize("entry", [PERSON, PERSON.upper(), f"SMTP:{PERSON}", "Person 0001"])
async def test_one_match_is_a_success(asking: EwsCaller, entry: str) -> None:
    found = await asking.get(resolve(entry))
    message = found.find(".//m:ResolveNamesResponseMessage", NAMES)
    assert message is not None
    assert message.get("ResponseClass") == "Success"
    assert texts(found, ".//t:EmailAddress") == [PERSON]
    assert texts(found, ".//t:MailboxType") == ["Mailbox"]


async def test_several_matches_are_a_warning_with_all_of_them(asking: EwsCaller) -> None:
    found = await asking.get(resolve("Person"))
    message = found.find(".//m:ResolveNamesResponseMessage", NAMES)
    assert message is not None
    assert message.get("ResponseClass") == "Warning"
    assert texts(found, ".//m:ResponseCode") == ["ErrorNameResolutionMultipleResults"]
    assert len(texts(found, ".//t:EmailAddress")) == 7


@pytest.mark.parametrize("entry", ["no.body@sandbox.example", " ", "SMTP:Person", "smtp:"])
async def test_no_match_is_an_error(asking: EwsCaller, entry: str) -> None:
    assert await code(asking, resolve(entry)) == "ErrorNameResolutionNoResults"


async def test_at_most_a_hundred_matches_are_shown_and_it_is_said(tmp_path: Path) -> None:
    asking = ews_caller(tmp_path, events=0, mailboxes=130, others=False)
    found = (await asking.get(resolve("Person"))).find(".//m:ResolutionSet", NAMES)
    assert found is not None
    assert len(found) == 100
    assert found.get("IncludesLastItemInRange") == "false"


async def test_what_sort_of_entry_a_match_is_can_be_read(asking: EwsCaller) -> None:
    async def kind(entry: str) -> list[str]:
        return texts(await asking.get(resolve(entry)), ".//t:MailboxType")

    assert await kind(ALL) == ["PublicDL"]
    assert await kind("guest.0001@visitor.example") == ["Contact"]
    assert await kind("premises.0001@sandbox.example") == ["Contact"]
    assert await kind("Room.0001@sandbox.example") == ["Mailbox"]


async def test_a_secondary_address_resolves_to_the_primary_one(asking: EwsCaller) -> None:
    asking.orders.add_alias(PERSON, "first@sandbox.example")
    assert await addresses(asking, resolve("first@sandbox.example")) == [PERSON]


async def test_full_contact_data_is_given_where_asked_for(asking: EwsCaller) -> None:
    found = await asking.get(resolve(PERSON, full="true"))
    assert texts(found, ".//t:Contact/t:DisplayName") == ["Person 0001"]
    assert texts(found, ".//t:Entry") == [f"SMTP:{PERSON}"]
    assert texts(await asking.get(resolve(PERSON)), ".//t:Contact/t:DisplayName") == []


async def test_a_name_is_written_as_text_whatever_is_in_it(asking: EwsCaller) -> None:
    asking.changes.add_user("odd@sandbox.example", name='A <b> & "c"')
    assert texts(await asking.get(resolve("odd@sandbox.example")), ".//t:Name") == ['A <b> & "c"']


async def test_a_group_is_expanded_one_level_and_its_groups_are_named(asking: EwsCaller) -> None:
    found = await asking.get(expand(ALL))
    kinds = dict(zip(texts(found, ".//t:EmailAddress"), texts(found, ".//t:MailboxType"), strict=True))
    assert kinds[ODD] == kinds["nobody@sandbox.example"] == "PublicDL"
    assert PERSON not in kinds
    assert kinds["person.0002@sandbox.example"] == "Mailbox"
    assert PERSON in await addresses(asking, expand(ODD))


async def test_an_empty_group_has_no_members_and_is_no_error(asking: EwsCaller) -> None:
    assert await addresses(asking, expand("nobody@sandbox.example")) == []
    assert await code(asking, expand("nobody@sandbox.example")) == "NoError"


async def test_hidden_members_are_not_shown(asking: EwsCaller) -> None:
    asking.orders.hide_members(ALL)
    assert await addresses(asking, expand(ALL)) == []
    asking.orders.hide_members(ALL, hidden=False)
    assert ODD in await addresses(asking, expand(ALL))


@pytest.mark.parametrize("address", ["no.group@sandbox.example", PERSON])
async def test_what_is_no_group_cannot_be_expanded(asking: EwsCaller, address: str) -> None:
    assert await code(asking, expand(address)) == "ErrorNameResolutionNoResults"


async def test_rooms_are_found_through_their_list(asking: EwsCaller) -> None:
    assert await addresses(asking, "<m:GetRoomLists/>") == [ROOMS]
    assert await addresses(asking, rooms_of(ROOMS)) == ["Room.0001@sandbox.example"]
    assert await addresses(asking, expand(ROOMS)) == ["Room.0001@sandbox.example"]


async def test_a_new_room_joins_the_list(asking: EwsCaller) -> None:
    asking.changes.add_user("den@sandbox.example", kind=Kind.ROOM)
    assert await addresses(asking, rooms_of(ROOMS)) == ["Room.0001@sandbox.example", "den@sandbox.example"]


async def test_an_organisation_without_rooms_has_no_room_list(tmp_path: Path) -> None:
    asking = ews_caller(tmp_path, events=0, mailboxes=1)
    assert await addresses(asking, "<m:GetRoomLists/>") == []


async def test_a_group_that_is_no_room_list_has_no_rooms_and_an_unknown_one_is_an_error(asking: EwsCaller) -> None:
    assert await addresses(asking, rooms_of(ALL)) == []
    found = await asking.get(rooms_of("no.list@sandbox.example"))
    assert found.get("ResponseClass") == "Error"
    assert texts(found, "m:ResponseCode") == ["ErrorNameResolutionNoResults"]


async def test_nobody_from_another_organisation_is_shown(tmp_path: Path) -> None:
    asking = ews_caller(tmp_path, events=0, tenants=2)
    assert await code(asking, resolve("person.0001@sandbox-2.example")) == "ErrorNameResolutionNoResults"


def test_groups_are_found_by_their_address_in_any_case(asking: EwsCaller) -> None:
    group = asking.tenant.group(ALL.upper())
    assert group is not None
    assert group.name == "All calendars"
    members: list[Person] = asking.tenant.members(group.group_id)
    assert PERSON in {member.address for member in members}
