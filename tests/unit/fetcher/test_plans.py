from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fetcher import plans
from services.fetcher.plans import LIFETIME, RENEWED, Answer, Row, Step, hints_until, outcome, plan, settled
from shared.contracts.values import DAY

NOW = 1_790_000_000
ENDS = NOW + LIFETIME


def row(**fields: Any) -> Row:
    return Row(**{"org_id": "org1", "mailbox_id": "m1", "act_at": NOW} | fields)


def standing(**fields: Any) -> Row:
    return row(**{"subscription_id": "s1", "expires_at": ENDS} | fields)


GOOD = Answer(status=201, subscription_id="s1", expires_at=ENDS)

TIMES = st.integers(NOW - 10 * DAY, NOW + 10 * DAY)
ROWS = st.builds(
    lambda held, **fields: Row(org_id="org1", subscription_id=held and held[0], expires_at=held and held[1], **fields),
    held=st.none() | st.tuples(st.sampled_from(["s1", "s2"]), TIMES),
    mailbox_id=st.text("abcdef0123456789", min_size=1, max_size=8),
    wanted=st.booleans(),
    act_at=st.integers(NOW - DAY, NOW + 240),
    failures=st.integers(0, 50),
    reason=st.none() | st.sampled_from([plans.GAP, plans.REAUTHORIZE, plans.CONFLICT, "server_error"]),
)
ANSWERS = st.builds(
    Answer,
    status=st.sampled_from([0, 200, 201, 204, 400, 401, 403, 404, 409, 410, 424, 429, 500, 503, 504]),
    code=st.sampled_from(["", "network", "tenant_paused", "ErrorAccessDenied"]),
    retry_after=st.none() | st.floats(0, DAY),
    subscription_id=st.none() | st.sampled_from(["s1", "s3"]),
    expires_at=st.none() | TIMES,
)


@given(ROWS, ANSWERS)
def test_following_the_plan_never_counts_on_hints_too_long_nor_asks_without_a_pause(
    before: Row, answer: Answer
) -> None:
    step = plan(before, NOW)
    after = outcome(before, step, answer if step in (Step.CREATE, Step.RENEW, Step.DELETE) else None, NOW)
    if after is None:
        assert step in (Step.FORGET, Step.DELETE)
        return
    assert (after.org_id, after.mailbox_id, after.wanted) == (before.org_id, before.mailbox_id, before.wanted)
    made = step is Step.CREATE and after.subscription_id is not None
    gone = step is Step.RENEW and after.subscription_id is None
    assert after.act_at > NOW or made or gone
    if after.subscription_id is not None and not made:
        assert after.expires_at is not None
        assert after.act_at <= max(after.expires_at, NOW + 1)  # looked at before its hints end
    promised = hints_until(after, NOW)
    assert promised is None or (after.wanted and NOW < promised == after.expires_at)


@given(ROWS, ROWS, ANSWERS)
def test_what_others_learned_meanwhile_is_not_forgotten(found: Row, before: Row, answer: Answer) -> None:
    step = plan(before, NOW)
    after = outcome(before, step, answer if step in (Step.CREATE, Step.RENEW, Step.DELETE) else None, NOW)
    kept = settled(found, before, after, NOW)
    if kept is None:
        assert not found.wanted
        return
    assert kept.wanted == found.wanted
    learned = None if after is None else after.subscription_id
    if found.subscription_id != before.subscription_id and learned in (None, before.subscription_id):
        assert kept == found


def test_nothing_is_kept_of_a_row_that_is_gone() -> None:
    assert settled(None, row(), standing(), NOW) is None


def test_a_mailbox_without_a_subscription_gets_one() -> None:
    assert plan(row(), NOW) is Step.CREATE
    made = outcome(row(), Step.CREATE, GOOD, NOW)
    assert made is not None
    assert (made.subscription_id, made.expires_at, made.reason) == ("s1", ENDS, plans.GAP)
    assert plan(made, NOW) is Step.ANNOUNCE
    announced = outcome(made, Step.ANNOUNCE, None, NOW)
    assert announced is not None
    assert announced.reason is None
    assert NOW + 4 * DAY < announced.act_at < ENDS - RENEWED + 1


def test_renewals_are_spread_over_a_day() -> None:
    rests = {outcome(standing(mailbox_id=f"m{number}"), Step.NOTHING, None, NOW) for number in range(500)}
    times = sorted(each.act_at for each in rests if each is not None)
    assert times[-1] - times[0] > DAY * 0.9
    assert times[-1] <= ENDS - RENEWED


@pytest.mark.parametrize(
    ("left", "step"), [(3 * DAY, Step.NOTHING), (DAY - 1, Step.RENEW), (1, Step.RENEW), (0, Step.CREATE)]
)
def test_it_is_renewed_in_its_last_day_and_made_anew_after(left: int, step: Step) -> None:
    assert plan(standing(expires_at=NOW + left), NOW) is step


def test_one_to_be_authorised_again_is_renewed_early() -> None:
    assert plan(standing(reason=plans.REAUTHORIZE), NOW) is Step.RENEW
    renewed = outcome(standing(reason=plans.REAUTHORIZE), Step.RENEW, GOOD, NOW)
    assert renewed is not None
    assert renewed.reason is None


def test_an_authorisation_asked_for_meanwhile_is_not_lost() -> None:
    asked = standing(reason=plans.REAUTHORIZE)
    kept = settled(asked, standing(), standing(act_at=NOW + DAY), NOW)
    assert kept is not None
    assert (kept.reason, kept.act_at) == (plans.REAUTHORIZE, NOW)


def test_a_short_life_is_renewed_halfway() -> None:
    renewed = outcome(standing(), Step.RENEW, Answer(status=200, subscription_id="s1", expires_at=NOW + 2700), NOW)
    assert renewed is not None
    assert renewed.act_at == NOW + 1350


def test_what_is_no_longer_wanted_is_deleted_then_forgotten() -> None:
    assert plan(standing(wanted=False), NOW) is Step.DELETE
    assert outcome(standing(wanted=False), Step.DELETE, Answer(status=404), NOW) is None
    assert plan(standing(wanted=False, expires_at=NOW), NOW) is Step.FORGET
    assert plan(row(wanted=False), NOW) is Step.FORGET


@pytest.mark.parametrize(
    ("status", "reason", "least", "most"),
    [(400, plans.UNREACHABLE, 300, 360), (403, plans.FORBIDDEN, DAY, DAY + 3600), (404, plans.ABSENT, 21600, 25200),
     (409, plans.CONFLICT, 60, 60), (429, "throttled", 10, 30), (503, "server_error", 10, 30),
     (401, "token_rejected", 10, 30), (418, "request_refused", 10, 30)],
)  # fmt: skip
def test_a_refused_creation_is_tried_again_in_its_own_time(status: int, reason: str, least: int, most: int) -> None:
    failed = outcome(row(), Step.CREATE, Answer(status=status), NOW)
    assert failed is not None
    assert (failed.reason, failed.failures, failed.subscription_id) == (reason, 1, None)
    assert least <= failed.act_at - NOW <= most


def test_the_pause_microsoft_orders_is_kept() -> None:
    failed = outcome(row(), Step.CREATE, Answer(status=503, retry_after=2.128), NOW)
    asked = outcome(row(), Step.CREATE, Answer(status=429, retry_after=900.0), NOW)
    assert failed is not None
    assert asked is not None
    assert failed.act_at >= NOW + 3
    assert asked.act_at == NOW + 901


def test_pauses_grow_and_end_growing() -> None:
    pauses = []
    for failures in range(40):
        failed = outcome(row(failures=failures), Step.CREATE, Answer(status=500), NOW)
        assert failed is not None
        pauses.append(failed.act_at - NOW)
    assert pauses[:8] == sorted(pauses[:8])
    assert pauses[8] > 20 * pauses[0]
    assert max(pauses) < 2 * plans.LONGEST_PAUSE


def test_a_paused_tenant_is_nobodys_failure() -> None:
    failed = outcome(row(), Step.CREATE, Answer(status=0, code="tenant_paused", retry_after=15.0), NOW)
    assert failed is not None
    assert (failed.failures, failed.act_at) == (0, NOW + 16)


def test_one_that_microsoft_has_no_more_is_made_at_once() -> None:
    gone = outcome(standing(), Step.RENEW, Answer(status=404), NOW)
    assert gone is not None
    assert (plan(gone, NOW), gone.act_at, hints_until(gone, NOW)) == (Step.CREATE, NOW, None)


def test_a_good_answer_without_an_end_proves_nothing() -> None:
    failed = outcome(row(), Step.CREATE, Answer(status=201), NOW)
    assert failed is not None
    assert (failed.subscription_id, failed.reason) == (None, "unexpected_answer")
