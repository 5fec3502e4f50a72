"""What the generated directory holds, and that it is the same for the same seed."""

from collections import Counter
from pathlib import Path

import pytest

from deploy.sandbox import directory
from deploy.sandbox.directory import GROUP_ALL, GROUP_EMPTY, GROUP_HALF, Reach, Tenant
from shared.contracts.values import Kind
from tests.unit.sandbox.asking import caller


def filled(mailboxes: int, *, seed: int = 1, number: int = 1, others: bool = True) -> Tenant:
    made = directory.tenant(number)
    directory.fill(made, mailboxes, seed=seed, others=others)
    return made


@pytest.mark.parametrize("mailboxes", [0, 3, 10, 25, 100, 1000])
def test_the_option_counts_the_mailboxes_that_can_be_read(mailboxes: int) -> None:
    people = filled(mailboxes).people.values()
    assert sum(person.reach is Reach.OPEN for person in people) == mailboxes


@pytest.mark.parametrize("mailboxes", [10, 25, 400])
def test_from_ten_mailboxes_on_every_sort_of_object_is_there(mailboxes: int) -> None:
    people = filled(mailboxes).people.values()
    kinds = Counter(person.kind for person in people)
    assert all(kinds[kind] for kind in (Kind.USER, Kind.ROOM, Kind.EQUIPMENT, Kind.SHARED))
    assert {person.reach for person in people} == set(Reach)
    assert any(person.guest for person in people)
    assert any(person.reach is Reach.MISSING and not person.guest and person.mail is None for person in people)


def test_shared_mailboxes_and_rooms_are_disabled_and_unlicensed() -> None:
    odd = [person for person in filled(25).people.values() if person.kind is not Kind.USER]
    assert all(not person.enabled and not person.licensed and person.reach is Reach.OPEN for person in odd)


def test_the_others_can_be_left_out() -> None:
    assert len(filled(25, others=False).people) == 25


def test_the_same_seed_gives_the_same_directory() -> None:
    assert filled(50).people == filled(50).people
    assert filled(50).people != filled(50, seed=2).people


def test_tenants_have_people_and_ids_of_their_own() -> None:
    first, second = filled(20), filled(20, number=2)
    assert first.tenant_id != second.tenant_id
    assert not first.people.keys() & second.people.keys()
    assert second.domain == "sandbox-2.example"


def test_a_nested_group_gives_each_member_once() -> None:
    made = filled(20)
    everyone = [person.user_id for person in made.members(GROUP_ALL)]
    assert sorted(everyone) == sorted(person.user_id for person in made.people.values() if person.reach is Reach.OPEN)
    assert {person.number % 2 for person in made.members(GROUP_HALF)} == {1}
    assert made.members(GROUP_EMPTY) == []


def test_groups_that_nest_each_other_end() -> None:
    made = filled(10)
    made.groups[GROUP_HALF] = directory.Group(group_id=GROUP_HALF, name="Loop", groups=(GROUP_ALL,))
    assert {group.group_id for group in made.nested(GROUP_ALL)} == {GROUP_ALL, GROUP_HALF, GROUP_EMPTY}


async def test_users_are_listed_completely_over_pages(tmp_path: Path) -> None:
    asking = caller(tmp_path, mailboxes=25)
    rows = await asking.all("/users?$select=id,mail&$top=7")
    assert [row["id"] for row in rows] == list(asking.tenant.people)
    assert all(row.keys() == {"id", "mail"} for row in rows)


async def test_default_properties_hide_what_must_be_selected(tmp_path: Path) -> None:
    rows = await caller(tmp_path).all("/users")
    assert "userPrincipalName" in rows[0]
    assert "accountEnabled" not in rows[0]


async def test_the_count_is_on_the_first_page_only(tmp_path: Path) -> None:
    asking = caller(tmp_path, mailboxes=25)
    first = await asking.get("/users?$count=true&$top=10", consistencylevel="eventual")
    second = await asking.get(first["@odata.nextLink"], consistencylevel="eventual")
    assert first["@odata.count"] == len(asking.tenant.people)
    assert "@odata.count" not in second


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("$top=1000", (400, "Request_UnsupportedQuery")),
        ("$skip=5", (400, "Request_BadRequest")),
        ("$select=shoeSize", (400, "BadRequest")),
        ("$select=id,mailboxSettings", (501, "NotImplemented")),
        ("$skiptoken=elsewhere", (400, "Directory_ExpiredPageToken")),
    ],
)
async def test_the_directory_refuses_what_it_does_not_support(
    tmp_path: Path, query: str, expected: tuple[int, str]
) -> None:
    assert await caller(tmp_path).refused(f"/users?{query}") == expected


async def test_a_user_is_found_by_id_and_by_name_in_any_case(tmp_path: Path) -> None:
    asking = caller(tmp_path)
    by_name = await asking.get("/users/PERSON.0001@sandbox.example")
    assert by_name == await asking.get(f"/users/{asking.user()}")
    assert await asking.refused("/users/nobody@sandbox.example") == (404, "Request_ResourceNotFound")


async def test_members_are_cast_to_users_only_as_an_advanced_query(tmp_path: Path) -> None:
    asking = caller(tmp_path)
    cast = f"/groups/{GROUP_ALL}/transitiveMembers/microsoft.graph.user?$select=id&$count=true&$top=5"
    rows = await asking.all(cast, consistencylevel="eventual")
    assert {row["id"] for row in rows} == {person.user_id for person in asking.tenant.members(GROUP_ALL)}
    assert await asking.refused(cast) == (400, "Request_UnsupportedQuery")


async def test_uncast_members_are_of_mixed_types(tmp_path: Path) -> None:
    rows = await caller(tmp_path).all(f"/groups/{GROUP_ALL}/transitiveMembers?$top=20")
    assert {row["@odata.type"] for row in rows} == {"#microsoft.graph.user", "#microsoft.graph.group"}


async def test_rooms_are_places_whose_ids_are_no_user_ids(tmp_path: Path) -> None:
    asking = caller(tmp_path)
    rows = await asking.all("/places/microsoft.graph.room")
    assert [row["emailAddress"] for row in rows] == ["Room.0001@sandbox.example"]
    assert rows[0]["id"] not in asking.tenant.people
