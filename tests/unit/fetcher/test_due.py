from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.fetcher import due
from services.fetcher.due import Claim, Claimed, Ending, Lease, Row
from shared.contracts.values import DAY, Bucket, Kind

NOW = 1_790_000_000
MINE = Lease(generation=2, message_id="m1")
OTHER = Lease(generation=2, message_id="m2")


def row(**fields: object) -> Row:
    base = {"org_id": "o", "mailbox_id": "id-1", "address": "a@b.example", "kind": Kind.USER, "bucket": Bucket.ACTIVE}
    return Row(**base | fields)  # type: ignore[arg-type]


def wish(lease: Lease = MINE, since: int = NOW, now: int = NOW) -> Claim:
    return Claim(lease=lease, since=since, now=now, seconds=600)


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


def test_a_mailbox_being_read_is_marked_dirty_for_another_message() -> None:
    change = due.claim(claimed(row()), wish(OTHER, since=NOW + 1))
    assert change.answer is Claimed.HELD
    assert change.row is not None
    assert change.row.dirty


def test_the_same_message_takes_its_own_lease_over() -> None:
    assert claimed(claimed(row())).version == 2


def test_an_expired_lease_is_taken() -> None:
    later = wish(OTHER, since=NOW + 600, now=NOW + 600)
    assert claimed(claimed(row()), later).lease_id == "2:m2"


def test_a_lease_of_an_older_generation_binds_nobody() -> None:
    newer = Lease(generation=3, message_id="m3")
    assert claimed(claimed(row()), wish(newer)).lease_id == "3:m3"


def test_a_finished_reading_heals_and_frees() -> None:
    taken = claimed(row(bucket=Bucket.FAILING, reason="timeout", failures=4))
    done = due.end(taken, ending(taken)).answer
    assert isinstance(done, Row)
    assert (done.bucket, done.reason, done.failures, done.lease_id) == (Bucket.ACTIVE, None, 0, None)
    assert (done.read_at, done.read_generation, done.due_at) == (NOW, 2, NOW + 300)


def test_a_hint_during_the_reading_makes_the_mailbox_due_at_once() -> None:
    taken = claimed(row())
    dirty = due.claim(taken, wish(OTHER, since=NOW + 1)).row
    done = due.end(dirty, ending(taken)).answer
    assert isinstance(done, Row)
    assert (done.due_at, done.dirty) == (NOW + 5, False)


def test_a_reading_that_lost_its_lease_remembers_nothing() -> None:
    taken = claimed(row())
    stolen = claimed(taken, wish(OTHER, since=NOW + 600, now=NOW + 600))
    assert due.end(stolen, ending(taken)).row is None


def test_a_reading_of_a_mailbox_that_is_leaving_remembers_nothing() -> None:
    taken = claimed(row())
    leaving = due.leave(taken, wish(OTHER)).row
    assert leaving is not None
    assert leaving.version == taken.version + 1
    assert due.end(leaving, ending(taken)).row is None


def test_a_failed_reading_keeps_what_was_read_before() -> None:
    taken = claimed(row(read_at=5, read_generation=2))
    done = due.end(taken, ending(taken, bucket=Bucket.FAILING, reason="timeout", read_at=None)).answer
    assert isinstance(done, Row)
    assert (done.read_at, done.failures, done.bucket) == (5, 1, Bucket.FAILING)


def test_a_waiting_message_keeps_its_lease() -> None:
    taken = claimed(row())
    kept = due.postpone(taken, MINE, NOW + 9000).row
    assert kept is not None
    assert kept.lease_until == NOW + 9000
    assert due.postpone(taken, OTHER, NOW + 9000).row is None


def test_an_outdated_message_frees_its_lease_and_serves_who_asked_meanwhile() -> None:
    taken = claimed(row(due_at=NOW + 300))
    freed = due.outdated(replace(taken, dirty=True), MINE, NOW).row
    assert freed is not None
    assert (freed.lease_id, freed.due_at) == (None, NOW)
    assert due.outdated(taken, OTHER, NOW).row is None


def test_a_mailbox_that_left_is_never_due() -> None:
    gone = due.remove(claimed(row(due_at=NOW)), MINE).row
    assert gone is not None
    assert (gone.bucket, gone.due_at, gone.lease_id) == (Bucket.REMOVED, None, None)


@given(st.integers(0, 4 * 10**9), st.integers(1, DAY), st.text(max_size=40))
def test_a_mailbox_is_due_within_its_interval_and_soon_after_midnight(now: int, interval: int, name: str) -> None:
    at = due.next_due(now, interval, name)
    midnight = now - now % DAY + DAY
    assert now < at <= now + interval
    assert at < midnight + max(1, min(interval, due.SPREAD))


@given(st.integers(0, 10**6))
def test_a_failing_mailbox_is_tried_again_in_bounded_time(failures: int) -> None:
    assert NOW + due.FIRST_PAUSE <= due.next_try(NOW, failures) <= NOW + due.LONGEST_PAUSE


steps = st.lists(st.tuples(st.sampled_from(["claim", "end", "lose"]), st.integers(0, 3)), max_size=40)


@given(steps)
def test_of_any_messages_at_most_one_holds_a_mailbox_and_versions_never_repeat(plan: list[tuple[str, int]]) -> None:
    found, now = row(), NOW
    holding: dict[str, Row] = {}
    versions: list[int] = []
    for action, number in plan:
        now += 100
        lease = Lease(generation=2, message_id=f"m{number}")
        if action == "claim":
            change = due.claim(found, wish(lease, since=now, now=now))
            if isinstance(change.answer, Row):
                holding[lease.name] = change.answer
                versions.append(change.answer.version)
        elif action == "end" and lease.name in holding:
            mine = holding.pop(lease.name)
            change = due.end(found, ending(mine, lease, now=now, read_at=now - 50))
        else:
            change = due.Change(answer=found)
        found = change.row or found
    assert len(versions) == len(set(versions))
    assert versions == sorted(versions)
