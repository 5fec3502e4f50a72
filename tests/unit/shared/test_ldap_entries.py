from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.values import Kind
from shared.ldap_entries import ELSEWHERE, HERE, Entry, entry, escaped, guid, mailboxes, plain, within

GUID = UUID("0b3e5e7a-41c5-4a8e-9b6f-0123456789ab")
GIVEN = {
    "objectGUID": [GUID.bytes_le],
    "mail": [b"Old@example.org"],
    "proxyAddresses": [b"smtp:alias@example.org", b"SMTP:Person@Example.org", b"X400:c=de", b"sip:person@example.org"],
    "userPrincipalName": [b"Person@AD.example.org"],
    "msExchRecipientTypeDetails": [b"1"],
}


def kept(**changed: list[bytes]) -> Entry:
    found = entry(GIVEN | changed)
    assert found is not None
    return found


def test_a_mailbox_is_known_by_its_guid_and_its_primary_address() -> None:
    assert kept() == Entry(
        mailbox_id=str(GUID),
        address="person@example.org",
        aliases=("alias@example.org",),
        upn="person@ad.example.org",
        kind=Kind.USER,
    )


def test_the_names_of_attributes_come_in_any_case() -> None:
    assert entry({name.upper(): values for name, values in GIVEN.items()}) == kept()


def test_without_a_primary_address_mail_counts_and_without_both_there_is_none() -> None:
    assert kept(proxyAddresses=[]).address == "old@example.org"
    assert kept(proxyAddresses=[], mail=[]).address == ""
    assert kept(proxyAddresses=[b"SMTP:not an address"], mail=[b"x"]).address == ""


def test_a_guid_of_another_length_is_no_id() -> None:
    assert kept(objectGUID=[b"short"]).mailbox_id == kept(objectGUID=[]).mailbox_id == guid(b"") == ""


@pytest.mark.parametrize(
    ("sort", "kind"),
    [(1, Kind.USER), (2, Kind.USER), (4, Kind.SHARED), (16, Kind.ROOM), (32, Kind.EQUIPMENT)],
)
def test_what_is_here_has_its_kind(sort: int, kind: Kind) -> None:
    found = kept(msExchRecipientTypeDetails=[str(sort).encode()])
    assert (found.kind, found.remote) == (kind, False)


@pytest.mark.parametrize(
    ("sort", "kind"),
    [
        (2_147_483_648, Kind.USER),
        (8_589_934_592, Kind.ROOM),
        (17_179_869_184, Kind.EQUIPMENT),
        (34_359_738_368, Kind.SHARED),
    ],
)
def test_what_lives_in_exchange_online_is_remote(sort: int, kind: Kind) -> None:
    found = kept(msExchRecipientTypeDetails=[str(sort).encode()])
    assert (found.kind, found.remote) == (kind, True)


@pytest.mark.parametrize("sort", ["128", "8388608", "536870912", "549755813888", "0", "-1", "1x", "", "9" * 40])
def test_what_is_nobodys_mailbox_is_left_out(sort: str) -> None:
    assert entry(GIVEN | {"msExchRecipientTypeDetails": [sort.encode()]}) is None


def test_one_hidden_from_address_lists_is_a_mailbox_like_others() -> None:
    assert kept(msExchHideFromAddressLists=[b"TRUE"]).hidden
    assert not kept(msExchHideFromAddressLists=[b"FALSE"]).hidden


@given(st.dictionaries(st.sampled_from([*GIVEN, "other"]), st.lists(st.binary(max_size=40), max_size=3)))
def test_no_content_of_a_directory_is_too_strange(attributes: dict[str, list[bytes]]) -> None:
    found = entry(attributes | {"msExchRecipientTypeDetails": [b"16"]})
    assert found is not None
    assert found.address == found.address.lower()


def test_the_filter_names_every_sort_there_is() -> None:
    text = mailboxes()
    for sort in [*HERE, *ELSEWHERE]:
        assert f"(msExchRecipientTypeDetails={sort})" in text
    assert text.startswith("(&(objectCategory=person)(objectClass=user)(|(&(msExchMailboxGuid=*)(|(")
    assert "memberOf" not in text
    assert text.count("(") == text.count(")")


def test_the_members_of_a_group_are_asked_for_with_those_of_the_groups_in_it() -> None:
    text = mailboxes("cn=Calendars,dc=example,dc=org")
    assert "(memberOf:1.2.840.113556.1.4.1941:=cn=Calendars,dc=example,dc=org)" in text


@given(st.text(max_size=60))
def test_no_groups_name_changes_the_meaning_of_the_filter(name: str) -> None:
    text = mailboxes(f"x{name}")
    before = mailboxes("x")
    assert text.count("(") == before.count("(")
    assert text.count(")") == before.count(")")
    assert text.count("*") == before.count("*")
    assert "\0" not in text


@given(st.text(max_size=40))
def test_an_escaped_value_is_read_as_it_was_written(value: str) -> None:
    written, read, place = escaped(value), "", 0
    while place < len(written):
        if written[place] == "\\":
            read, place = read + chr(int(written[place + 1 : place + 3], 16)), place + 3
        else:
            read, place = read + written[place], place + 1
    assert read == value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CN=Ann,OU=People,DC=example", "cn=ann, ou=people , dc=EXAMPLE"),
        (r"cn=Last\, First,dc=x", r"cn=last\2c first,dc=x"),
        (r"cn=J\c3\bcrgen,dc=x", "cn=Jürgen,dc=x"),
        (r"cn=a\\b,dc=x", r"cn=a\5cb,dc=x"),
        (r"cn=a\ ,dc=x", r"cn=\20a\20,dc=x"),
        ("cn=a  b,dc=x", "cn=a b,dc=x"),
    ],
)
def test_one_name_written_in_two_ways_is_one(one: str, other: str) -> None:
    assert plain(one) == plain(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(r"cn=a\,ou=b,dc=x", "cn=a,ou=b,dc=x"), (r"cn=a\\,ou=b", r"cn=a\,ou=b"), ("cn=a,dc=x", "cn=a,dc=y")],
)
def test_two_names_are_two(one: str, other: str) -> None:
    assert plain(one) != plain(other)


@given(st.text(alphabet='aB ,\\=+"<>#;ü/', max_size=20))
def test_a_plain_name_stays_as_it_is(dn: str) -> None:
    assert plain(plain(dn)) == plain(dn)


groups = st.dictionaries(st.integers(0, 8).map(str), st.frozensets(st.integers(0, 12).map(str), max_size=5))


@given(groups)
def test_who_is_within_a_group_is_who_can_be_reached(members: dict[str, frozenset[str]]) -> None:
    found = within("0", members)
    reached = set(members.get("0", ()))
    for _ in members:
        reached |= {each for name in reached for each in members.get(name, ())}
    assert found == reached - {"0"}
