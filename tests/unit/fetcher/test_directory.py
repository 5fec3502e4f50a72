from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher.directory import (
    BY_POLICY,
    PUBLISHED,
    TRIED,
    Answer,
    DirectoryUser,
    Known,
    MailboxSettings,
    Verdict,
    after_asking,
    before_asking,
    follow,
    names_a_mailbox,
)
from shared.contracts.policy import Scope
from shared.contracts.values import Bucket, Kind, WorkingHours, WorkPeriod

ADDRESSES = ["person1@example.org", "Person1@Example.org", "room@example.org", "x@y", "@", "", "no address", "a" * 400]
CODES = [
    "", "MailboxNotEnabledForRESTAPI", "MailboxNotHostedInExchangeOnline", "extensionError", "ErrorAccessDenied",
    "Request_ResourceNotFound", "TooManyRequests", "SomethingNew",
]  # fmt: skip

HOURS = WorkingHours(time_zone="UTC", periods=(WorkPeriod(0, 480, 1020),))

users = st.builds(
    DirectoryUser,
    id=st.sampled_from(["11111111-2222-3333-4444-555555555555", "abc"]),
    mail=st.none() | st.sampled_from(ADDRESSES) | st.text(max_size=20),
    user_principal_name=st.none() | st.sampled_from(ADDRESSES),
    user_type=st.sampled_from([None, "Member", "Guest", "guest", ""]),
    on_premises_sync_enabled=st.sampled_from([None, True, False]),
)
scopes = st.builds(
    Scope,
    groups=st.sampled_from([(), ("group1",)]),
    include=st.sampled_from([(), ("person1@example.org",)]),
    exclude=st.sampled_from([(), ("PERSON1@example.org", "room@example.org")]),
    rooms=st.booleans(),
)
settings = st.builds(
    MailboxSettings,
    time_zone=st.none() | st.text(max_size=200),
    user_purpose=st.sampled_from([None, "user", "Room", "equipment", "shared", "linked", "others", "hologram"]),
)
answers = st.builds(Answer, status=st.sampled_from([403, 404, 410, 429, 500, 0]), code=st.sampled_from(CODES)) | (
    st.builds(Answer, status=st.just(200), settings=settings)
)


@given(users, scopes, st.booleans(), answers)
def test_every_object_has_exactly_one_bucket_and_every_other_one_than_active_its_reason(
    user: DirectoryUser, scope: Scope, in_group: bool, answer: Answer
) -> None:
    early = before_asking(user, scope, in_group=in_group)
    verdict = early or after_asking(user, scope, answer)
    assert verdict.mailbox_id == user.id
    assert (verdict.reason is None) == (verdict.bucket is Bucket.ACTIVE)
    assert verdict.bucket not in (Bucket.FAILING, Bucket.REMOVED)
    assert verdict.address or verdict.bucket is Bucket.NO_MAILBOX


@given(users, scopes, st.booleans(), answers)
def test_nobody_on_the_exclude_list_is_ever_active(
    user: DirectoryUser, scope: Scope, in_group: bool, answer: Answer
) -> None:
    verdict = before_asking(user, scope, in_group=in_group) or after_asking(user, scope, answer)
    names = {(user.mail or "").strip().lower(), (user.user_principal_name or "").lower()}
    if names & {address.lower() for address in scope.exclude}:
        assert verdict.bucket is not Bucket.ACTIVE


def user(**fields: object) -> DirectoryUser:
    return DirectoryUser(**{"id": "id-1", "mail": "person1@example.org", "user_type": "Member"} | fields)  # type: ignore[arg-type]


def early_reason(found: DirectoryUser, scope: Scope, *, in_group: bool = False) -> str | None:
    verdict = before_asking(found, scope, in_group=in_group)
    return None if verdict is None else verdict.reason


def test_a_guest_is_not_read() -> None:
    assert early_reason(user(user_type="Guest"), Scope()) == "guest"


def test_an_object_without_an_address_has_no_mailbox() -> None:
    assert early_reason(user(mail=None), Scope()) == "no_address"


def test_a_member_is_judged_by_asking_the_mailbox_only() -> None:
    assert early_reason(user(), Scope()) is None


def test_groups_narrow_and_include_adds() -> None:
    scope = Scope(groups=("g",), include=("other@example.org",))
    assert early_reason(user(), scope) == "outside_scope_groups"
    assert early_reason(user(), scope, in_group=True) is None
    assert early_reason(user(mail="Other@example.org"), scope) is None


def test_exclude_wins_over_groups_and_include() -> None:
    scope = Scope(groups=("g",), include=("person1@example.org",), exclude=("Person1@example.org",))
    assert early_reason(user(), scope, in_group=True) == "excluded_by_list"


def test_exclude_knows_principal_names_too() -> None:
    scope = Scope(exclude=("upn1@example.org",))
    assert early_reason(user(user_principal_name="UPN1@example.org"), scope) == "excluded_by_list"


@pytest.mark.parametrize(
    ("status", "code", "bucket"),
    [
        (404, "MailboxNotEnabledForRESTAPI", Bucket.NO_MAILBOX),
        (404, "MailboxNotHostedInExchangeOnline", Bucket.ON_PREMISES),
        (403, "extensionError", Bucket.ON_PREMISES),
        (403, "ErrorAccessDenied", Bucket.DENIED),
        (500, "", Bucket.ACTIVE),
        (0, "", Bucket.ACTIVE),
    ],
)
def test_the_mailboxs_answer_decides(status: int, code: str, bucket: Bucket) -> None:
    assert after_asking(user(), Scope(), Answer(status=status, code=code)).bucket is bucket


def test_a_synchronised_user_without_a_mailbox_here_has_it_on_premises() -> None:
    answer = Answer(status=404, code="MailboxNotEnabledForRESTAPI")
    assert after_asking(user(on_premises_sync_enabled=True), Scope(), answer).bucket is Bucket.ON_PREMISES


def test_rooms_and_equipment_are_left_out_where_the_policy_says_so() -> None:
    answer = Answer(status=200, settings=MailboxSettings(user_purpose="equipment"))
    assert after_asking(user(), Scope(rooms=False), answer).reason == "rooms_excluded"
    assert after_asking(user(), Scope(), answer).kind is Kind.EQUIPMENT


REASONS = [None, "guest", "no_mailbox", "excluded_by_list", "outside_scope_groups"]
NAMES = ["person1@example.org", "renamed@example.org"]
verdicts = st.builds(
    Verdict,
    mailbox_id=st.just("id-1"),
    address=st.sampled_from(NAMES),
    bucket=st.sampled_from([bucket for bucket in Bucket if bucket not in (Bucket.FAILING, Bucket.REMOVED)]),
    reason=st.sampled_from(REASONS),
    kind=st.sampled_from([None, Kind.USER, Kind.ROOM]),
    time_zone=st.sampled_from(["", "UTC", "GMT Standard Time"]),
)
knowns = st.builds(
    Known,
    bucket=st.sampled_from(Bucket),
    reason=st.sampled_from(REASONS),
    generation=st.integers(1, 2),
    read_generation=st.none() | st.integers(1, 2),
    version=st.integers(0, 1),
    address=st.sampled_from(NAMES),
    kind=st.sampled_from([Kind.USER, Kind.ROOM]),
    time_zone=st.sampled_from(["", "UTC"]),
    leaving=st.booleans(),
)


@given(verdicts, st.none() | knowns)
def test_whoever_leaves_what_consumers_hold_takes_it_along_now_or_with_the_sweep(
    verdict: Verdict, known: Known | None
) -> None:
    step = follow(verdict, known, 2)
    held = known is not None and known.bucket in PUBLISHED and (known.version > 0 or known.bucket is Bucket.ACTIVE)
    leaves = held and verdict.bucket not in (Bucket.ACTIVE, Bucket.DENIED)
    assert (step.gone or step.leaving) == leaves
    assert step.read + step.gone + step.leaving <= 1


@given(verdicts, knowns)
def test_only_whom_a_new_policy_shuts_out_goes_before_the_sweep(verdict: Verdict, known: Known) -> None:
    step = follow(verdict, known, 2)
    assert not step.gone or (known.generation < 2 and verdict.reason in BY_POLICY)
    assert not step.leaving or known.generation == 2 or verdict.reason not in BY_POLICY


@given(verdicts, st.none() | knowns)
def test_what_is_not_read_under_this_generation_will_be(verdict: Verdict, known: Known | None) -> None:
    step = follow(verdict, known, 2)
    unread = known is None or known.read_generation != 2 or known.bucket is not Bucket.ACTIVE
    assert step.read or not (verdict.bucket is Bucket.ACTIVE and unread)
    assert not step.read or verdict.bucket in (Bucket.ACTIVE, Bucket.DENIED)


def known(**fields: object) -> Known:
    here = {"bucket": Bucket.ACTIVE, "reason": None, "generation": 1, "read_generation": 1, "version": 1}
    return Known(**here | {"address": "person1@example.org", "time_zone": "UTC"} | fields)  # type: ignore[arg-type]


def judged(bucket: Bucket = Bucket.ACTIVE, **fields: Any) -> Verdict:
    here = {"mailbox_id": "id-1", "address": "person1@example.org", "bucket": bucket}
    return Verdict(**here | fields)


def test_what_has_not_changed_is_not_read_again() -> None:
    assert not follow(judged(kind=Kind.USER, time_zone="UTC"), known(), 1).read


@pytest.mark.parametrize(
    "fields",
    [
        {"address": "renamed@example.org"},
        {"kind": Kind.ROOM},
        {"time_zone": "GMT Standard Time"},
        {"working_hours": HOURS},
    ],
)
def test_a_mailbox_with_another_address_kind_time_zone_or_hours_is_read_again(fields: dict[str, Any]) -> None:
    assert follow(judged(**fields), known(), 1).read


def test_what_was_not_learned_this_time_has_not_changed() -> None:
    step = follow(judged(kind=None, time_zone=""), known(kind=Kind.ROOM, working_hours=HOURS), 1)
    assert not step.read
    assert step.verdict.kind is Kind.ROOM


def test_a_mailbox_that_stays_after_all_is_read_again() -> None:
    assert follow(judged(), known(leaving=True), 1).read


def test_a_known_mailbox_that_refuses_to_tell_its_settings_is_left_to_a_reading() -> None:
    step = follow(judged(Bucket.DENIED, reason="access_denied"), known(), 1)
    assert step.read
    assert (step.verdict.bucket, step.verdict.reason) == (Bucket.ACTIVE, None)


def test_a_new_mailbox_that_refuses_to_tell_its_settings_is_denied() -> None:
    step = follow(judged(Bucket.DENIED, reason="access_denied"), None, 1)
    assert (step.read, step.verdict.bucket) == (False, Bucket.DENIED)


@pytest.mark.parametrize("bucket", sorted(TRIED))
def test_only_a_good_reading_ends_what_a_reading_began(bucket: Bucket) -> None:
    step = follow(judged(), known(bucket=bucket, reason="access_denied"), 1)
    assert step.read
    assert (step.verdict.bucket, step.verdict.reason) == (bucket, "access_denied")


def test_ids_that_cannot_travel_in_a_routing_key_name_no_mailbox() -> None:
    assert names_a_mailbox("11111111-2222-3333-4444-555555555555")
    assert not names_a_mailbox("a.b")
    assert not names_a_mailbox("a\n")
    assert not names_a_mailbox("")
