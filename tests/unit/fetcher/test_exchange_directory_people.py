import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.directory import names_a_mailbox
from services.fetcher.exchange_people import Found, Gathered, everybody, id_of, is_online, judge
from shared.contracts.policy import Scope
from shared.contracts.values import Bucket, Kind
from shared.ldap_entries import Entry
from tests.unit.fetcher.exchange_told import entry

ADDRESSES = [f"person{number}@example.org" for number in range(4)] + ["room@example.org", "alias@example.org", ""]
IDS = ["", *(f"00000000-0000-0000-0000-{number:012d}" for number in range(5))]

addresses = st.sampled_from(ADDRESSES[:-1])
entries = st.builds(
    Entry,
    mailbox_id=st.sampled_from(IDS),
    address=st.sampled_from(ADDRESSES),
    aliases=st.lists(addresses, max_size=2).map(tuple),
    upn=st.sampled_from(ADDRESSES),
    kind=st.sampled_from([Kind.USER, Kind.ROOM, Kind.SHARED, Kind.EQUIPMENT]),
    remote=st.booleans(),
)
whatever = st.builds(
    Gathered,
    entries=st.lists(entries, max_size=6).map(tuple),
    addresses=st.frozensets(addresses),
    rooms=st.frozensets(addresses),
)


@given(whatever, st.booleans())
def test_nobody_is_counted_twice_and_nobody_named_is_lost(gathered: Gathered, online: bool) -> None:
    found = everybody(gathered, online=online)
    ids, primary = [each.mailbox_id for each in found], [each.address for each in found if each.address]
    assert len(ids) == len(set(ids))
    assert len(primary) == len(set(primary))
    assert all(map(names_a_mailbox, ids))
    names = {name for each in found for name in (each.address, *each.names)}
    assert gathered.addresses | gathered.rooms <= names


@given(whatever, st.randoms(use_true_random=False))
def test_the_order_of_sources_changes_nothing(gathered: Gathered, random: object) -> None:
    shuffled = list(gathered.entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    again = Gathered(entries=tuple(shuffled), addresses=gathered.addresses, rooms=gathered.rooms)
    assert [each.address for each in everybody(again, online=False)] == [
        each.address for each in everybody(gathered, online=False)
    ]


def test_an_address_that_the_directory_knows_is_the_directorys_mailbox() -> None:
    known = entry(1, aliases=("alias@example.org",), upn="signin@example.org")
    named = frozenset({"person1@example.org", "alias@example.org", "signin@example.org"})
    (found,) = everybody(Gathered(entries=(known,), addresses=named), online=False)
    assert found.mailbox_id == known.mailbox_id


def test_a_primary_address_goes_before_another_mailboxs_alias() -> None:
    one, other = entry(1, aliases=("person2@example.org",)), entry(2)
    found = everybody(Gathered(entries=(one, other), rooms=frozenset({"person2@example.org"})), online=False)
    assert {each.address: each.kind for each in found} == {
        "person1@example.org": Kind.USER,
        "person2@example.org": Kind.ROOM,
    }


def test_an_address_alone_has_an_id_that_stays() -> None:
    (found,) = everybody(Gathered(addresses=frozenset({"person1@example.org"})), online=False)
    assert found.mailbox_id == id_of("Person1@Example.org") == "a-" + found.mailbox_id[2:]
    assert len(found.mailbox_id) == 42


def test_the_rooms_of_room_lists_are_rooms_and_the_rest_is_what_the_directory_says() -> None:
    gathered = Gathered(
        entries=(entry(1), entry(2, kind=Kind.SHARED)), rooms=frozenset({"person1@example.org", "r@x.y"})
    )
    assert {each.address: each.kind for each in everybody(gathered, online=False)} == {
        "person1@example.org": Kind.ROOM,
        "person2@example.org": Kind.SHARED,
        "r@x.y": Kind.ROOM,
    }


def verdict_of(found: Found, scope: Scope | None = None, *, in_group: bool = False) -> tuple[Bucket, str | None]:
    verdict = judge(found, scope or Scope(), in_group=in_group)
    return verdict.bucket, verdict.reason


def found(**fields: object) -> Found:
    given = {"mailbox_id": "a-1", "address": "person1@example.org", "names": frozenset({"person1@example.org"})}
    return Found(**given | fields)  # type: ignore[arg-type]  # fields as a test names them


@pytest.mark.parametrize(("online", "elsewhere"), [(False, "remote@example.org"), (True, "person1@example.org")])
def test_in_a_hybrid_directory_those_whose_mailbox_is_not_here_are_on_another_connection(
    online: bool, elsewhere: str
) -> None:
    gathered = Gathered(entries=(entry(1), entry(2, address="remote@example.org", remote=True)))
    buckets = {each.address: verdict_of(each) for each in everybody(gathered, online=online)}
    away = buckets.pop(elsewhere)
    assert away == (Bucket.ON_ANOTHER_CONNECTION, "hosted_elsewhere")
    assert list(buckets.values()) == [(Bucket.ACTIVE, None)]


def test_of_two_objects_with_one_address_the_one_whose_mailbox_is_here_counts() -> None:
    here, there = entry(2, address="one@example.org"), entry(1, address="one@example.org", remote=True)
    (kept,) = everybody(Gathered(entries=(there, here)), online=False)
    assert (kept.mailbox_id, kept.elsewhere) == (here.mailbox_id, False)


def test_the_policys_lists_go_before_where_a_mailbox_lives() -> None:
    scope = Scope(exclude=("Alias@example.org",))
    away = found(elsewhere=True, names=frozenset({"person1@example.org", "alias@example.org"}))
    assert verdict_of(away, scope) == (Bucket.EXCLUDED, "excluded_by_list")


def test_a_scope_group_narrows_and_an_included_alias_adds() -> None:
    scope = Scope(groups=("group@example.org",), include=("alias@example.org",))
    assert verdict_of(found(), scope) == (Bucket.EXCLUDED, "outside_scope_groups")
    assert verdict_of(found(), scope, in_group=True) == (Bucket.ACTIVE, None)
    alias = frozenset({"person1@example.org", "alias@example.org"})
    assert verdict_of(found(names=alias), scope) == (Bucket.ACTIVE, None)


@pytest.mark.parametrize("kind", [Kind.ROOM, Kind.EQUIPMENT])
def test_rooms_are_left_out_where_the_policy_says_so(kind: Kind) -> None:
    assert verdict_of(found(kind=kind), Scope(rooms=False)) == (Bucket.EXCLUDED, "rooms_excluded")
    assert verdict_of(found(kind=kind)) == (Bucket.ACTIVE, None)


def test_an_object_without_an_address_has_no_mailbox_that_anybody_could_name() -> None:
    assert verdict_of(found(address="", names=frozenset())) == (Bucket.NO_MAILBOX, "no_address")


def test_exchange_online_is_known_by_its_hosts_and_by_nothing_that_merely_ends_so() -> None:
    for host in ("outlook.office365.com", "outlook.office365.us", "partner.outlook.cn", "OUTLOOK.office365.com"):
        assert is_online(f"https://{host}/EWS/Exchange.asmx")
    for host in ("mail.example.org", "notoffice365.com", "office365.com.example.org"):
        assert not is_online(f"https://{host}/EWS/Exchange.asmx")
    assert not is_online("")
