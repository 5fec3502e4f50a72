"""Which $filter forms on users are understood, and which are refused and how."""

from pathlib import Path

import pytest

from deploy.sandbox import filters, people
from deploy.sandbox.answers import Refusal
from deploy.sandbox.directory import Person
from tests.unit.sandbox.asking import caller

MEMBER = people.row(Person(user_id="1", upn="person@x.example", mail="Person@x.example", name="Person One", number=1))
GUEST = people.row(
    Person(
        user_id="2", upn="g#EXT#@x.example", mail="g@y.example", name="O'Guest", number=2, guest=True, licensed=False
    )
)
BARE = people.row(Person(user_id="3", upn="b@x.example", mail=None, name="Bare", number=3, enabled=False))
ALL = {"member": MEMBER, "guest": GUEST, "bare": BARE}


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("accountEnabled eq true", {"member", "guest"}),
        ("userType eq 'Guest'", {"guest"}),
        ("userType eq 'guest'", {"guest"}),
        ("mail eq 'person@x.example'", {"member"}),
        ("mail eq null", {"bare"}),
        ("startsWith(mail,'P')", {"member"}),
        ("startswith(displayName, 'o''')", {"guest"}),
        ("userType in ('Guest','Other')", {"guest"}),
        ("accountEnabled eq true and userType eq 'Member'", {"member"}),
        ("userType eq 'Guest' or mail eq null", {"guest", "bare"}),
        ("accountEnabled eq true and (userType eq 'Guest' or mail eq null)", {"guest"}),
        (f"assignedLicenses/any(u:u/skuId eq {people.SKU})", {"member", "bare"}),
    ],
)
def test_a_supported_filter_selects_its_users(clause: str, expected: set[str]) -> None:
    test = filters.reading(clause, advanced=False)
    assert {name for name, row in ALL.items() if test(row)} == expected


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("userType ne 'Guest'", {"member", "bare"}),
        ("not(userType eq 'Guest')", {"member", "bare"}),
        ("mail ne null", {"member", "guest"}),
        ("endsWith(mail,'@x.example')", {"member"}),
        ("assignedLicenses/$count ne 0", {"member", "bare"}),
    ],
)
def test_an_advanced_filter_needs_its_header(clause: str, expected: set[str]) -> None:
    test = filters.reading(clause, advanced=True)
    assert {name for name, row in ALL.items() if test(row)} == expected
    with pytest.raises(Refusal, match="Request_UnsupportedQuery"):
        filters.reading(clause, advanced=False)


@pytest.mark.parametrize(
    ("clause", "code"),
    [
        ("mailboxSettings eq 1", "Request_UnsupportedQuery"),
        ("mail gt 'a'", "Request_UnsupportedQuery"),
        ("endsWith(displayName,'x')", "Request_UnsupportedQuery"),
        ("mail eq", "BadRequest"),
        ("mail eq 'open", "BadRequest"),
        ("(mail eq null", "BadRequest"),
        ("mail eq null mail", "BadRequest"),
        ("", "BadRequest"),
    ],
)
def test_any_other_filter_is_refused(clause: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        filters.reading(clause, advanced=True)
    assert (caught.value.status, caught.value.code) == (400, code)


async def test_a_filter_reaches_the_listing(tmp_path: Path) -> None:
    rows = await caller(tmp_path).all("/users?$filter=userType%20eq%20'Guest'&$select=userType")
    assert rows == [{"userType": "Guest"}]
