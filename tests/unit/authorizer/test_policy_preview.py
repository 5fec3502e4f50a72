"""What a change of a policy would do to the mailboxes of an org: each is counted once, nothing is guessed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.authorizer import policy_preview, policy_previewing
from services.authorizer.policy_preview import Member, listed, of_mailboxes, of_sorts, unread
from shared.contracts.policy import Detail, Policy, Scope
from shared.contracts.values import DAY, Bucket, Kind, Status, Window
from shared.store import Store
from shared.tables import mailboxes
from tests.unit.authorizer.acting import NOW, connect, fill, row, state

ADDRESSES = st.sampled_from(["a@x", "b@x", "c@x"])
SCOPES = st.builds(
    Scope,
    groups=st.lists(st.sampled_from(["g", "h"]), max_size=2, unique=True).map(tuple),
    include=st.lists(ADDRESSES, max_size=2, unique=True).map(tuple),
    exclude=st.lists(ADDRESSES, max_size=2, unique=True).map(tuple),
    rooms=st.booleans(),
)
REASONS = st.sampled_from([None, "rooms_excluded", "excluded_by_list", "outside_scope_groups", "erased"])
MEMBERS = st.lists(
    st.builds(
        Member,
        address=ADDRESSES,
        kind=st.sampled_from([kind.value for kind in Kind]),
        bucket=st.sampled_from([bucket.value for bucket in Bucket]),
        reason=REASONS,
    ),
    max_size=6,
)


def member(address: str, bucket: Bucket = Bucket.ACTIVE, reason: str | None = None, kind: Kind = Kind.USER) -> Member:
    return Member(address=address, kind=kind.value, bucket=bucket.value, reason=reason)


def figures(old: Scope, new: Scope, *members: Member) -> dict[tuple[str, str], int]:
    return dict(of_mailboxes(Policy(scope=old), Policy(scope=new), members))


@pytest.mark.parametrize(
    ("old", "new", "one", "said"),
    [
        (Scope(), Scope(exclude=("a@x",)), member("a@x"), ("leave", "excluded_by_list")),
        (Scope(), Scope(rooms=False), member("a@x", kind=Kind.ROOM), ("leave", "rooms_excluded")),
        (Scope(), Scope(groups=("g",)), member("a@x"), ("open", "groups")),
        (Scope(), Scope(groups=("g",), include=("a@x",)), member("a@x"), ("read", "mailboxes")),
        (Scope(groups=("g",)), Scope(groups=("g", "h")), member("a@x"), ("read", "mailboxes")),
        (Scope(groups=("g", "h")), Scope(groups=("g",)), member("a@x"), ("open", "groups")),
        (Scope(groups=("g",), include=("a@x",)), Scope(groups=("g",)), member("a@x"), ("open", "groups")),
        (
            Scope(exclude=("a@x",)),
            Scope(),
            member("a@x", Bucket.EXCLUDED, "excluded_by_list"),
            ("join", "lists"),
        ),
        (Scope(rooms=False), Scope(), member("a@x", Bucket.EXCLUDED, "rooms_excluded"), ("join", "rooms")),
        (Scope(groups=("g",)), Scope(), member("a@x", Bucket.EXCLUDED, "outside_scope_groups"), ("join", "groups")),
        (
            Scope(groups=("g",)),
            Scope(groups=("g", "h")),
            member("a@x", Bucket.EXCLUDED, "outside_scope_groups"),
            ("open", "groups"),
        ),
    ],
)
def test_a_mailbox_is_counted_where_the_new_scope_puts_it(
    old: Scope, new: Scope, one: Member, said: tuple[str, str]
) -> None:
    assert figures(old, new, one)[said] == 1


@pytest.mark.parametrize(
    ("old", "new", "one"),
    [
        (Scope(), Scope(exclude=("a@x",)), member("", Bucket.EXCLUDED, "erased")),
        (Scope(rooms=False), Scope(), member("", Bucket.EXCLUDED, "erased")),
        (Scope(groups=("g", "h")), Scope(groups=("g",)), member("a@x", Bucket.EXCLUDED, "outside_scope_groups")),
        (Scope(), Scope(groups=("g",)), member("a@x", Bucket.GUEST, "guest")),
    ],
)
def test_a_mailbox_that_stays_out_is_not_counted(old: Scope, new: Scope, one: Member) -> None:
    assert figures(old, new, one) == {}


@given(SCOPES, SCOPES, MEMBERS)
def test_counting_by_sorts_is_counting_one_by_one(old: Scope, new: Scope, members: list[Member]) -> None:
    before, after = Policy(scope=old), Policy(scope=new)
    sorts = Counter((member.kind, member.bucket, member.reason) for member in members)
    named = [member for member in members if member.address in listed(before, after)]
    assert of_sorts(before, after, sorts, named) == of_mailboxes(before, after, members)


@given(SCOPES, SCOPES, MEMBERS)
def test_a_mailbox_is_never_counted_both_as_leaving_and_as_read_anew(
    old: Scope, new: Scope, members: list[Member]
) -> None:
    found = of_mailboxes(Policy(scope=old), Policy(scope=new), members)
    leaving = sum(count for (kind, _), count in found.items() if kind == "leave")
    reading = sum(one.bucket in policy_preview.READ for one in members)
    assert leaving + found["read", "mailboxes"] == reading


def test_what_was_never_read_is_named() -> None:
    old = Policy(window=Window(0, DAY), tentative=Status.FREE)
    new = Policy(
        window=Window(0, 2 * DAY),
        show_free=True,
        detail=Detail.DETAILS,
        scope=Scope(groups=("g",)),
        tentative=Status.BUSY,
    )
    assert set(unread(old, new, now=0)) == {"free_entries", "window", "details", "groups", "statuses"}
    assert unread(new, old, now=0) == ()
    assert unread(old, old, now=0) == ()


def test_changes_are_named_field_by_field() -> None:
    new = Policy(show_free=True, scope=Scope(rooms=False))
    assert policy_preview.changed_fields(Policy(), new) == {"show_free": (False, True), "scope.rooms": (True, False)}


async def test_what_is_stored_is_counted_on_both_databases(both: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_previewing, "_AT_ONCE", 1)
    await connect(both)
    await fill(both, count=5)
    await fill(both, "other", count=1)
    new = Policy(scope=Scope(exclude=("a@x.example", "nobody@x.example"), include=("b@x.example",)))
    found = await policy_previewing.figured(both, await state(both), new, now=NOW)
    assert found.figures == {("leave", "excluded_by_list"): 5, ("shown", "calendars"): 5}
    assert found.stricter
    assert set(found.changes) == {"detail", "scope.exclude", "scope.include"}


async def test_a_preview_changes_nothing_that_is_stored(store: Store) -> None:
    await connect(store)
    await fill(store)
    before = await row(store)
    await policy_previewing.figured(store, await state(store), Policy(), now=NOW)
    assert await row(store) == before
    async with store.read() as reading:
        assert len((await reading.execute(mailboxes.select())).all()) == 2
