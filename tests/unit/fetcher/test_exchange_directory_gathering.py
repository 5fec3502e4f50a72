from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.exchange_gathering import Expansion, Ways, gather
from services.fetcher.exchange_people import Gathered
from shared.contracts.messages import GroupSource, LdapSource, ListSource, RoomListsSource
from shared.ews.errors import EwsError
from shared.ldap_line import LdapError
from tests.unit.fetcher.exchange_told import DirectoryTold, ServerTold, entry

LDAP = LdapSource(url="ldaps://dc.example.org", base="dc=example,dc=org")


async def gathered(server: ServerTold, *sources: Any, directory: Any = None, groups: tuple[str, ...] = ()) -> Gathered:
    return await gather(Ways(server, directory or DirectoryTold()), sources, groups)


async def test_a_group_gives_its_members_and_those_of_the_groups_in_it_though_they_hold_each_other() -> None:
    server = ServerTold()
    server.groups = {
        "group-a@x.y": ["one@x.y", "group-b@x.y"],
        "group-b@x.y": ["Two@X.y", "group-a@x.y", "group-b@x.y", "group-c@x.y"],
        "group-c@x.y": [],
    }
    found = await gathered(server, GroupSource(address="Group-A@x.y"))
    assert found.addresses == {"one@x.y", "two@x.y"}
    assert server.count("ExpandDL") == 3


async def test_a_group_that_sources_and_scope_share_is_asked_for_once() -> None:
    server = ServerTold()
    server.groups = {"group-a@x.y": ["one@x.y"]}
    found = await gathered(server, GroupSource(address="group-a@x.y"), groups=("group-a@x.y",))
    assert found.addresses == found.scope == {"one@x.y"}
    assert server.count("ExpandDL") == 1


async def test_a_member_that_can_have_no_mailbox_here_is_left_out() -> None:
    server = ServerTold()
    server.groups = {"group-a@x.y": ["one@x.y", "contact@else.where", "folder@x.y", ""]}
    server.kinds = {"contact@else.where": "Contact", "folder@x.y": "PublicFolder"}
    assert (await gathered(server, GroupSource(address="group-a@x.y"))).addresses == {"one@x.y"}


async def test_rooms_come_from_every_room_list() -> None:
    server = ServerTold()
    server.rooms = {"list1@x.y": ["r1@x.y", "R2@x.y"], "list2@x.y": ["r2@x.y", "r3@x.y"]}
    found = await gathered(server, RoomListsSource())
    assert found.rooms == {"r1@x.y", "r2@x.y", "r3@x.y"}
    assert not found.addresses


async def test_directory_and_list_are_taken_as_they_are() -> None:
    directory = DirectoryTold((entry(1),), (), (entry(2),))
    found = await gathered(ServerTold(), LDAP, ListSource(addresses=(" Three@X.y ",)), directory=directory)
    assert found.entries == (entry(1), entry(2))
    assert found.addresses == {"three@x.y"}


@pytest.mark.parametrize(
    ("source", "operation"),
    [
        (GroupSource(address="group-a@x.y"), "ExpandDL"),
        (RoomListsSource(), "GetRoomLists"),
        (RoomListsSource(), "GetRooms"),
    ],
)
async def test_one_source_that_fails_fails_all(source: Any, operation: str) -> None:
    server = ServerTold()
    server.groups, server.rooms = {"group-a@x.y": []}, {"list@x.y": []}
    server.fails = {operation: EwsError("ErrorServerBusy")}
    with pytest.raises(EwsError, match="ErrorServerBusy"):
        await gathered(server, ListSource(addresses=("one@x.y",)), source)


async def test_a_directory_that_ends_in_the_middle_is_no_directory() -> None:
    directory = DirectoryTold((entry(1),), ends=LdapError("network"))
    with pytest.raises(LdapError, match="network"):
        await gathered(ServerTold(), LDAP, directory=directory)


async def test_a_group_in_a_group_that_nobody_knows_fails_too() -> None:
    server = ServerTold()
    server.groups = {"group-a@x.y": ["group-gone@x.y"]}
    with pytest.raises(EwsError, match="ErrorNameResolutionNoResults"):
        await gathered(server, GroupSource(address="group-a@x.y"))


async def test_an_expansion_that_was_cut_short_is_not_taken_for_the_group() -> None:
    server = ServerTold()
    server.groups, server.complete = {"group-a@x.y": ["one@x.y"]}, False
    with pytest.raises(EwsError, match="truncated"):
        await gathered(server, GroupSource(address="group-a@x.y"))


@given(st.dictionaries(st.integers(0, 6), st.frozensets(st.integers(0, 6), max_size=4), min_size=1))
async def test_an_expansion_is_what_can_be_reached_each_group_asked_for_once(graph: dict[int, frozenset[int]]) -> None:
    server = ServerTold()
    server.groups = {
        f"group{name}@x.y": [f"p{name}@x.y", *(f"group{each}@x.y" for each in inner if each in graph)]
        for name, inner in graph.items()
    }
    reached, waiting = set[int](), [next(iter(graph))]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [each for each in graph[name] if each in graph]
    found = await Expansion(server).people(f"group{next(iter(graph))}@x.y")
    assert found == {f"p{name}@x.y" for name in reached}
    assert server.count("ExpandDL") == len(reached)
