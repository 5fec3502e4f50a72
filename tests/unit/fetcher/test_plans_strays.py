from typing import Any

from services.fetcher import plans
from services.fetcher.plans import LIFETIME, Row
from services.fetcher.strays import Found, Listed, compare, mailbox_of

NOW = 1_790_000_000


def row(mailbox_id: str, subscription_id: str | None = None, **fields: Any) -> Row:
    expires = None if subscription_id is None else NOW + LIFETIME - 3600
    return Row(
        **{"org_id": "org1", "mailbox_id": mailbox_id, "subscription_id": subscription_id, "act_at": NOW}
        | {"expires_at": expires}
        | fields
    )


def listed(subscription_id: str, mailbox_id: str, **fields: Any) -> Listed:
    said = {"resource": f"Users/{mailbox_id}/Events", "expires_at": NOW + LIFETIME, "ours": True, "sound": True}
    return Listed(**{"subscription_id": subscription_id} | said | fields)


def found(given: list[Listed], rows: list[Row], before: list[Row] | None = None) -> Found:
    earlier = {each.mailbox_id: each for each in (rows if before is None else before)}
    return compare(given, before=earlier, after=rows, now=NOW)


NOTHING = Found(strays=(), adopted=(), lacking=())


def test_where_both_agree_nothing_follows() -> None:
    assert found([listed("s1", "m1")], [row("m1", "s1")]) == NOTHING


def test_one_that_is_listed_no_more_is_lacking() -> None:
    gone = row("m1", "s1")
    assert found([], [gone]).lacking == (gone,)


def test_one_made_after_the_list_was_asked_for_is_not_gone() -> None:
    assert found([], [row("m1", "s2")], before=[row("m1", "s1")]) == NOTHING
    assert found([], [row("m1", "s2")], before=[]) == NOTHING


def test_one_made_just_now_may_not_be_listed_yet() -> None:
    assert found([], [row("m1", "s1", expires_at=NOW + LIFETIME - 60)]) == NOTHING


def test_a_stray_of_ours_is_deleted() -> None:
    assert found([listed("s9", "m9")], []).strays == ("s9",)


def test_one_of_another_address_is_left_alone() -> None:
    foreign = listed("s9", "m1", ours=False, sound=False)
    assert found([foreign], [row("m1", "s1"), row("m2")]).strays == ()
    assert found([foreign], [row("m1")]) == NOTHING


def test_one_of_another_address_in_the_way_is_deleted_and_ours_made() -> None:
    waiting = row("m1", reason=plans.CONFLICT)
    result = found([listed("s9", "m1", ours=False, sound=False)], [waiting])
    assert (result.strays, result.lacking) == (("s9",), (waiting,))


def test_one_made_and_not_remembered_is_adopted_once() -> None:
    waiting = row("m1")
    first, second = listed("s1", "m1"), listed("s2", "m1")
    result = found([first, second], [waiting])
    assert result.adopted == ((waiting, first),)
    assert result.strays == ("s2",)


def test_one_whose_row_names_another_that_is_gone_is_adopted_and_not_made_anew() -> None:
    old = row("m1", "s0")
    result = found([listed("s1", "m1")], [old])
    assert [each.subscription_id for _, each in result.adopted] == ["s1"]
    assert result.lacking == ()


def test_one_that_is_not_wanted_is_not_adopted() -> None:
    assert found([listed("s1", "m1")], [row("m1", wanted=False)]).strays == ("s1",)
    assert found([listed("s1", "m1")], [row("m1", "s1", wanted=False)]) == NOTHING  # it is deleted in its turn


def test_one_that_is_not_sound_is_made_anew() -> None:
    known = row("m1", "s1")
    result = found([listed("s1", "m1", sound=False)], [known])
    assert (result.strays, result.lacking) == (("s1",), (known,))


def test_the_mailbox_is_read_off_the_resource_in_any_case() -> None:
    assert mailbox_of("/Users/ab-1/Events") == "ab-1"
    assert mailbox_of("users/ab-1/events") == "ab-1"
    assert mailbox_of("users/ab-1/messages") == ""
    assert mailbox_of("/Users") == ""
