"""Names, groups, rooms, options, changes and versions, as Exchange and servers like it print them."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ews.changes import Changes, changes
from shared.ews.errors import EwsError
from shared.ews.people import Named, members, names, room_lists, rooms, time_zone
from shared.ews.trouble import acknowledged
from shared.ews.version import ServerVersion, version
from tests.unit.shared.exchange_fake import fault, message, soap

ANNA = Named(address="anna@shop.example", name="Anna", kind="Mailbox")


def mailbox(name: str, address: str, kind: str = "Mailbox", tag: str = "Mailbox") -> str:
    return (
        f"<t:{tag}><t:Name>{name}</t:Name><t:EmailAddress>{address}</t:EmailAddress>"
        f"<t:RoutingType>SMTP</t:RoutingType><t:MailboxType>{kind}</t:MailboxType></t:{tag}>"
    )


def resolved(*people: str) -> str:
    inner = "".join(f"<t:Resolution>{one}</t:Resolution>" for one in people)
    return f"<m:ResolutionSet>{inner}</m:ResolutionSet>"


def expanded(*people: str, last: str = "true") -> bytes:
    return message("ExpandDL", f'<m:DLExpansion IncludesLastItemInRange="{last}">{"".join(people)}</m:DLExpansion>')


def entry(key: str, value: str) -> str:
    def shown(text: str) -> str:
        return f"<t:Type>String</t:Type><t:Value>{text}</t:Value>"

    return (
        f"<t:DictionaryEntry><t:DictionaryKey>{shown(key)}</t:DictionaryKey>"
        f"<t:DictionaryValue>{shown(value)}</t:DictionaryValue></t:DictionaryEntry>"
    )


def options(*entries: str, code: str = "NoError") -> bytes:
    inner = f"<m:UserConfiguration><t:Dictionary>{''.join(entries)}</t:Dictionary></m:UserConfiguration>"
    return message("GetUserConfiguration", inner, code=code)


def synced(
    inner: str, *, state: str = "S1", last: str = "<m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>"
) -> bytes:
    return message("SyncFolderItems", f"<m:SyncState>{state}</m:SyncState>{last}<m:Changes>{inner}</m:Changes>")


def test_one_name_may_mean_nobody_somebody_or_several() -> None:
    assert names([message("ResolveNames", resolved(mailbox("Anna", "Anna@Shop.example")))]) == (ANNA,)
    assert names([message("ResolveNames", code="ErrorNameResolutionNoResults")]) == ()
    both = resolved(mailbox("Anna", "anna@shop.example"), mailbox("Anna", "anna2@shop.example", "Contact"))
    several = names([message("ResolveNames", both, code="ErrorNameResolutionMultipleResults")])
    assert [one.kind for one in several] == ["Mailbox", "Contact"]


def test_an_address_of_exchanges_own_kind_is_none() -> None:
    (found,) = names([message("ResolveNames", resolved(mailbox("Anna", "/O=ORG/CN=a@b")))])
    assert found == Named(address="", name="Anna", kind="Mailbox")


def test_a_group_has_people_and_groups_in_it() -> None:
    body = expanded(mailbox("Anna", "anna@shop.example"), mailbox("Rest", "Rest@shop.example", "PublicDL"))
    found = members([body])
    assert (found.people, found.groups, found.complete) == ((ANNA,), ("rest@shop.example",), True)
    assert members([expanded(last="false")]).complete is False


def test_a_group_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EwsError, match="ErrorNameResolutionNoResults"):
        members([message("ExpandDL", code="ErrorNameResolutionNoResults")])


def test_room_lists_and_rooms_are_named() -> None:
    def listed(operation: str, inner: str, code: str = "NoError") -> bytes:
        kind = "Success" if code == "NoError" else "Error"
        return soap(
            f'<m:{operation}Response ResponseClass="{kind}"><m:ResponseCode>{code}</m:ResponseCode>{inner}'
            f"</m:{operation}Response>"
        )

    house = mailbox("House", "house@shop.example", "PublicDL", tag="Address")
    assert [one.address for one in room_lists([listed("GetRoomLists", f"<m:RoomLists>{house}</m:RoomLists>")])] == [
        "house@shop.example"
    ]
    room = f"<m:Rooms><t:Room>{mailbox('R1', 'r1@shop.example', tag='Id')}</t:Room></m:Rooms>"
    assert [one.address for one in rooms([listed("GetRooms", room)])] == ["r1@shop.example"]
    with pytest.raises(EwsError, match="ErrorNameResolutionNoResults"):
        rooms([listed("GetRooms", "", "ErrorNameResolutionNoResults")])


def test_the_zone_is_found_among_the_options() -> None:
    body = options(entry("dateformat", "d"), entry("timezone", "W. Europe Standard Time"))
    assert time_zone([body]) == "W. Europe Standard Time"
    assert time_zone([options(entry("x", "timezone"))]) == ""
    assert time_zone([options(code="ErrorItemNotFound")]) == ""


def test_changes_are_counted_and_their_kinds_not_mixed_up_with_rights() -> None:
    rights = "<t:EffectiveRights><t:Delete>true</t:Delete></t:EffectiveRights>"
    item = f'<t:CalendarItem><t:ItemId Id="a"/>{rights}</t:CalendarItem>'
    body = synced(
        f"<t:Create>{item}</t:Create><t:Update>{item}</t:Update><t:Delete><t:ItemId Id='b'/></t:Delete>"
        "<t:ReadFlagChange><t:ItemId Id='c'/><t:IsRead>true</t:IsRead></t:ReadFlagChange>"
    )
    assert changes([body]) == Changes(state="S1", count=3, complete=True)


@pytest.mark.parametrize(
    ("said", "complete"), [("true", True), ("1", True), ("false", False), ("0", False), (None, True)]
)
def test_more_changes_wait_where_the_server_says_so(said: str | None, complete: bool) -> None:
    last = "" if said is None else f"<m:IncludesLastItemInRange>{said}</m:IncludesLastItemInRange>"
    assert changes([synced("", last=last)]).complete is complete


def test_no_state_to_go_on_from_is_malformed() -> None:
    with pytest.raises(EwsError, match="malformed"):
        changes([synced("", state="")])
    with pytest.raises(EwsError, match="ErrorInvalidSyncStateData"):
        changes([message("SyncFolderItems", "<m:SyncState/>", code="ErrorInvalidSyncStateData")])


@given(st.integers(0, 60), st.integers(0, 60))
def test_every_change_counts_once(created: int, deleted: int) -> None:
    body = synced("<t:Create><t:X/></t:Create>" * created + '<t:Delete><t:ItemId Id="b"/></t:Delete>' * deleted)
    assert changes([body]).count == created + deleted


@pytest.mark.parametrize(
    ("numbers", "name", "online"),
    [((15, 0, 1497, 48), "Exchange 2013", False), ((15, 1, 2507, 6), "Exchange 2016", False),
     ((15, 2, 1748, 10), "Exchange 2019", False), ((15, 2, 2562, 17), "Exchange SE", False),
     ((15, 20, 3370, 16), "Exchange Online", True), ((6, 5, 0, 0), "", False)],
)  # fmt: skip
def test_a_version_has_the_name_people_know(numbers: tuple[int, int, int, int], name: str, online: bool) -> None:
    major, minor, build, revision = numbers
    info = (
        f'<t:ServerVersionInfo MajorVersion="{major}" MinorVersion="{minor}" MajorBuildNumber="{build}"'
        f' MinorBuildNumber="{revision}"/>'
    )
    found = version([soap("<m:ConvertIdResponse/>", info)])
    assert (found.major, found.minor, found.build, found.revision) == numbers
    assert (found.name, found.online) == (name, online)


def test_any_soap_answer_counts_as_signed_in_and_nothing_else_does() -> None:
    assert version([fault("ErrorInvalidIdMalformed")]) == ServerVersion()
    assert version([soap("", '<t:ServerVersionInfo MajorVersion="x" MinorVersion="-1"/>')]) == ServerVersion()
    with pytest.raises(EwsError, match="not_xml"):
        version([b"<html><body/></html>"])


def test_what_is_only_acknowledged_may_still_be_refused() -> None:
    acknowledged([message("Unsubscribe")])
    forgotten = message("Unsubscribe", code="ErrorSubscriptionNotFound")
    for body, code in ((forgotten, "ErrorSubscriptionNotFound"), (soap(""), "malformed"), (fault("ErrorX"), "ErrorX")):
        with pytest.raises(EwsError, match=code):
            acknowledged([body])


@pytest.mark.parametrize("decode", [names, members, room_lists, rooms, time_zone, changes])
def test_the_answer_to_another_question_is_malformed(decode: Callable[[Iterable[bytes]], Any]) -> None:
    with pytest.raises(EwsError, match="malformed"):
        decode([message("FindFolder")])
    with pytest.raises(EwsError, match="ErrorServerBusy"):
        decode([fault("ErrorServerBusy")])
