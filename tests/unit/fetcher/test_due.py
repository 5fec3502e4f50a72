import pytest
from msgspec.structs import replace

from services.fetcher import due, endings
from services.fetcher.due import Change, Claim, Claimed, Later, Lease, Row
from services.fetcher.endings import Ending, Pause
from shared.contracts.values import Bucket, Kind

NOW = 1_790_000_000
MINE = Lease(generation=2, message_id="m1")
OTHER = Lease(generation=2, message_id="m2")


def row(**fields: object) -> Row:
    base = {"org_id": "o", "mailbox_id": "id-1", "address": "a@b.example", "kind": Kind.USER, "bucket": Bucket.ACTIVE}
    return Row(**base | {"generation": 2} | fields)  # type: ignore[arg-type]


def wish(lease: Lease = MINE, since: int = NOW, now: int = NOW) -> Claim:
    return Claim(lease=lease, since=since, now=now, seconds=600)


def hint(lease: Lease, at_ms: int) -> Claim:
    return Claim(lease=lease, since=at_ms // 1000, now=at_ms // 1000, exact_ms=at_ms, seconds=600, live=True)


def claimed(found: Row | None, asked: Claim | None = None) -> Row:
    answer = due.claim(found, asked or wish()).answer
    assert isinstance(answer, Row)
    return answer


def ending(taken: Row, lease: Lease = MINE, **fields: object) -> Ending:
    base = {"lease": lease, "version": taken.version, "bucket": Bucket.ACTIVE, "read_at": NOW, "now": NOW + 5}
    return Ending(**base | {"due_at": NOW + 300} | fields)  # type: ignore[arg-type]


def test_a_free_mailbox_is_claimed_and_its_version_rises() -> None:
    taken = claimed(row(version=7))
    assert (taken.version, taken.lease_id, taken.lease_until) == (8, "2:m1", NOW + 600)


@pytest.mark.parametrize("due_at", [NOW - 5, NOW + 21_600])
def test_a_reading_that_never_ends_is_made_up_for_when_its_lease_does(due_at: int) -> None:
    assert claimed(row(due_at=due_at), hint(MINE, NOW * 1000)).due_at == NOW + 600
    assert claimed(row(due_at=None), hint(MINE, NOW * 1000)).due_at is None


def test_a_mailbox_nobody_knows_is_not_claimed() -> None:
    assert due.claim(None, wish()).answer is Claimed.UNKNOWN


def test_an_excluded_mailbox_is_not_claimed() -> None:
    for bucket in (Bucket.EXCLUDED, Bucket.GUEST, Bucket.REMOVED):
        assert due.claim(row(bucket=bucket), wish()).answer is Claimed.NOT_READ


def test_a_reading_since_then_answers_the_message() -> None:
    read = row(read_at=NOW, read_generation=2)
    assert due.claim(read, wish(since=NOW)).answer is Claimed.ANSWERED
    assert isinstance(due.claim(read, wish(since=NOW + 1)).answer, Row)


def test_a_reading_under_another_generation_answers_nothing() -> None:
    assert isinstance(due.claim(row(read_at=NOW, read_generation=1), wish()).answer, Row)


def test_a_mailbox_being_read_is_marked_dirty_for_a_hint_and_due_when_the_lease_ends_at_the_latest() -> None:
    change = due.claim(claimed(row(due_at=NOW + 9999)), hint(OTHER, NOW * 1000 + 5000))
    assert change.answer is Claimed.HELD
    assert change.row is not None
    assert (change.row.dirty, change.row.due_at) == (True, NOW + 600)


def test_further_hints_write_nothing() -> None:
    dirty = due.claim(claimed(row()), hint(OTHER, NOW * 1000 + 5000)).row
    assert due.claim(dirty, hint(OTHER, NOW * 1000 + 6000)) == Change(row=None, answer=Claimed.HELD)


def test_a_poll_that_finds_the_mailbox_being_read_needs_no_second_reading() -> None:
    assert due.claim(claimed(row()), wish(OTHER, since=NOW + 1)) == Change(row=None, answer=Claimed.HELD)


def test_no_time_answers_a_hint() -> None:
    read = row(read_at=NOW + 500, read_generation=2)
    assert isinstance(due.claim(read, hint(MINE, NOW * 1000)).answer, Row)


def test_what_a_later_generation_found_is_not_read_under_an_older_one() -> None:
    found = row(generation=3, dirty=True, due_at=NOW)
    assert due.claim(found, hint(MINE, NOW * 1000)) == Change(row=None, answer=Claimed.NOT_READ)
    assert due.claim(found, wish(since=NOW + 9)) == Change(row=None, answer=Claimed.NOT_READ)


def test_what_the_generation_has_not_found_yet_is_not_read_under_it() -> None:
    before = row(generation=1, read_at=NOW - 9, read_generation=1)
    assert due.claim(before, hint(MINE, NOW * 1000)) == Change(row=None, answer=Claimed.NOT_READ)


def test_a_hint_too_soon_waits_out_the_spacing_and_the_next_ones_rely_on_it() -> None:
    started = row(started_ms=NOW * 1000 + 100, version=4, due_at=NOW + 300)
    first = due.claim(started, hint(MINE, NOW * 1000 + 400))
    assert first.answer == Later(at_ms=NOW * 1000 + 1100, version=4)
    assert first.row is not None
    assert (first.row.dirty, first.row.due_at) == (True, NOW + 1 + due.GRACE)
    assert due.claim(first.row, hint(OTHER, NOW * 1000 + 500)) == Change(row=None, answer=Claimed.ANSWERED)


def test_whoever_waited_reads_unless_a_reading_began_meanwhile() -> None:
    waiting = due.claim(row(started_ms=NOW * 1000, version=4), hint(MINE, NOW * 1000)).row
    late = replace(hint(MINE, NOW * 1000 + 999), seen=4)
    assert isinstance(due.claim(waiting, late).answer, Row)
    other = claimed(waiting, replace(hint(OTHER, NOW * 1000 + 999), seen=4))
    assert due.claim(other, late).answer is Claimed.ANSWERED


def test_a_hint_waits_itself_where_nobody_else_is_sure_to_read_soon() -> None:
    taken_by_polling = row(started_ms=NOW * 1000, dirty=True, due_at=NOW + 300)
    change = due.claim(taken_by_polling, hint(MINE, NOW * 1000 + 1))
    assert isinstance(change.answer, Later)
    assert change.row is not None
    assert change.row.due_at == NOW + 1 + due.GRACE


@pytest.mark.parametrize("passed", [-1, 1000])
def test_spacing_ends_after_a_second_and_means_nothing_to_a_clock_behind(passed: int) -> None:
    started = row(started_ms=NOW * 1000)
    assert isinstance(due.claim(started, hint(MINE, NOW * 1000 + passed)).answer, Row)


def test_polls_are_not_spaced() -> None:
    assert isinstance(due.claim(row(started_ms=NOW * 1000), wish()).answer, Row)


def test_what_polling_asked_for_is_answered_by_the_next_reading_that_starts() -> None:
    asked = replace(hint(OTHER, NOW * 1000 + 5000), since=due.MARKED)
    assert isinstance(due.claim(row(dirty=True), asked).answer, Row)
    assert due.claim(row(dirty=False), asked).answer is Claimed.ANSWERED
    assert due.claim(claimed(row(dirty=True)), asked).answer is Claimed.ANSWERED
    own = claimed(row(dirty=True), asked)
    assert isinstance(due.claim(own, asked).answer, Row), "delivered again after a crash"


def test_a_reading_that_starts_says_when_and_clears_what_was_owed() -> None:
    before = row(dirty=True, waiting="throttled", retry_at=NOW + 9, due_at=NOW, started_ms=5)
    taken = claimed(before, replace(wish(), exact_ms=NOW * 1000 + 321))
    assert (taken.dirty, taken.waiting, taken.retry_at) == (False, None, None)
    assert (taken.started_ms, taken.due_at) == (NOW * 1000 + 321, NOW + 600)


def test_a_mailbox_that_is_not_polled_stays_so_while_it_is_read() -> None:
    assert claimed(row(due_at=None)).due_at is None


def test_leaving_is_no_reading() -> None:
    left = due.leave(row(started_ms=7), wish()).answer
    assert isinstance(left, Row)
    assert left.started_ms == 7


def test_the_same_message_takes_its_own_lease_over() -> None:
    assert claimed(claimed(row())).version == 2


def test_an_expired_lease_is_taken() -> None:
    later = wish(OTHER, since=NOW + 600, now=NOW + 600)
    assert claimed(claimed(row()), later).lease_id == "2:m2"


def test_a_lease_of_an_older_generation_binds_nobody() -> None:
    newer = Lease(generation=3, message_id="m3")
    assert claimed(replace(claimed(row()), generation=3), wish(newer)).lease_id == "3:m3"


def test_a_finished_reading_heals_and_frees() -> None:
    taken = claimed(row(bucket=Bucket.FAILING, reason="timeout", failures=4))
    done = endings.end(taken, ending(taken)).answer
    assert isinstance(done, Row)
    assert (done.bucket, done.reason, done.failures, done.lease_id) == (Bucket.ACTIVE, None, 0, None)
    assert (done.read_at, done.read_generation, done.due_at) == (NOW, 2, NOW + 300)


def test_a_hint_during_the_reading_makes_the_mailbox_due_at_once_and_is_remembered() -> None:
    taken = claimed(row())
    dirty = due.claim(taken, hint(OTHER, NOW * 1000 + 2000)).row
    done = endings.end(dirty, ending(taken)).answer
    assert isinstance(done, Row)
    assert (done.due_at, done.dirty) == (NOW + 5, True)


def test_a_hint_during_a_reading_that_finds_no_mailbox_is_followed_by_another() -> None:
    taken = claimed(row())
    dirty = due.claim(taken, hint(OTHER, NOW * 1000 + 2000)).row
    done = endings.end(dirty, ending(taken, bucket=Bucket.NO_MAILBOX, read_at=None, due_at=None)).answer
    assert isinstance(done, Row)
    assert done.due_at == NOW + 5


def test_a_mailbox_that_may_no_longer_be_read_is_not_revived_by_a_reading_that_ends() -> None:
    taken = claimed(row())
    erased = replace(taken, bucket=Bucket.EXCLUDED, reason="erased", due_at=None)
    done = endings.end(erased, ending(taken)).answer
    assert isinstance(done, Row)
    assert (done.bucket, done.reason, done.due_at, done.lease_id) == (Bucket.EXCLUDED, "erased", None, None)


def test_a_suspicious_failure_leaves_the_mailbox_active_and_says_until_when_it_waits() -> None:
    taken = claimed(row(dirty=True))
    waits = ending(replace(taken, dirty=True), read_at=None, waiting="access_denied", due_at=NOW + 20)
    done = endings.end(replace(taken, dirty=True), waits).answer
    assert isinstance(done, Row)
    assert (done.bucket, done.failures, done.due_at, done.dirty) == (Bucket.ACTIVE, 1, NOW + 20, True)
    assert (done.waiting, done.retry_at, done.lease_id) == ("access_denied", NOW + 20, None)


def test_a_reading_that_lost_its_lease_remembers_nothing() -> None:
    taken = claimed(row())
    stolen = claimed(taken, wish(OTHER, since=NOW + 600, now=NOW + 600))
    assert endings.end(stolen, ending(taken)).row is None


def test_a_reading_of_a_mailbox_that_is_leaving_remembers_nothing() -> None:
    taken = claimed(row())
    leaving = due.leave(taken, wish(OTHER)).row
    assert leaving is not None
    assert leaving.version == taken.version + 1
    assert endings.end(leaving, ending(taken)).row is None


def test_a_failed_reading_keeps_what_was_read_before() -> None:
    taken = claimed(row(read_at=5, read_generation=2))
    done = endings.end(taken, ending(taken, bucket=Bucket.FAILING, reason="timeout", read_at=None)).answer
    assert isinstance(done, Row)
    assert (done.read_at, done.failures, done.bucket) == (5, 1, Bucket.FAILING)


def test_a_waiting_message_keeps_its_lease_and_says_why_it_waits() -> None:
    taken = claimed(row(due_at=NOW))
    kept = endings.postpone(taken, MINE, Pause(reason="throttled", until=NOW + 9000), seconds=600).row
    assert kept is not None
    assert (kept.lease_until, kept.waiting, kept.retry_at, kept.due_at) == (
        NOW + 9600,
        "throttled",
        NOW + 9000,
        NOW + 9600,
    )
    assert endings.postpone(taken, OTHER, Pause(reason="throttled", until=NOW), seconds=0).row is None


def test_a_reading_turned_away_with_its_organisation_leaves_the_mailbox_as_it_was() -> None:
    taken = replace(claimed(row(bucket=Bucket.FAILING, reason="timeout", failures=3)), dirty=True)
    freed = endings.put_off(taken, MINE, Pause(reason="token_rejected", until=NOW + 20)).row
    assert freed is not None
    assert (freed.bucket, freed.reason, freed.failures, freed.dirty) == (Bucket.FAILING, "timeout", 3, True)
    assert (freed.lease_id, freed.due_at) == (None, NOW + 20)
    assert (freed.waiting, freed.retry_at) == ("token_rejected", NOW + 20)
    assert endings.put_off(taken, OTHER, Pause(reason="token_rejected", until=NOW + 20)).row is None


@pytest.mark.parametrize("live", [True, False])
def test_what_comes_while_the_organisation_needs_attention_is_due_when_that_is_over(live: bool) -> None:
    kept = due.shelve(row(due_at=NOW + 9999), replace(wish(), live=live)).row
    assert kept is not None
    assert (kept.due_at, kept.dirty) == (NOW, live)
    held = due.shelve(claimed(row(due_at=NOW), wish(OTHER)), replace(wish(), live=live))
    assert held.answer is Claimed.HELD
    assert (held.row is not None) is live
    assert due.shelve(row(bucket=Bucket.EXCLUDED), wish()).row is None


def test_an_outdated_message_frees_its_lease_and_serves_who_asked_meanwhile() -> None:
    taken = claimed(row(due_at=NOW + 300))
    freed = endings.outdated(replace(taken, dirty=True), MINE, NOW).row
    assert freed is not None
    assert (freed.lease_id, freed.due_at, freed.dirty) == (None, NOW, True)
    assert endings.outdated(taken, OTHER, NOW).row is None
