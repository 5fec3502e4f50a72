import pytest

from services.fetcher.keeping import Asked
from services.fetcher.pacing import BRAKED, ENOUGH, PROBE, Brakes, Budget
from services.fetcher.plans import FORBIDDEN, UNREACHABLE, Answer, Row, Step

NOW = 1_790_000_000


def asked(count: int, step: Step = Step.CREATE, **answer: object) -> list[Asked]:
    row = Row(org_id="org1", mailbox_id="m1", act_at=NOW)
    return [(row, step, Answer(**answer)) for _ in range(count)]  # type: ignore[arg-type]


GOOD: dict[str, object] = {"status": 201, "subscription_id": "s", "expires_at": NOW + 1}


def test_no_more_is_spent_than_the_rate_allows() -> None:
    budget, spent = Budget(10), 0
    for tenth in range(600):
        tokens = budget.left(tenth / 10)
        budget.spend(tokens)
        spent += tokens
    assert 590 <= spent <= 610


def test_a_rest_saves_two_seconds_worth_at_most() -> None:
    budget = Budget(100)
    budget.left(0.0)
    assert budget.left(3600.0) == 200
    budget.spend(200)
    budget.spend(-50)
    assert budget.left(3600.0) == 50


@pytest.mark.parametrize(("status", "reason"), [(400, UNREACHABLE), (403, FORBIDDEN)])
def test_where_all_is_refused_alike_nothing_new_is_tried_for_a_while_and_then_a_little(
    status: int, reason: str
) -> None:
    brakes = Brakes()
    brakes.learn("org1", asked(ENOUGH, status=status), NOW)
    assert not brakes.may_make("org1", NOW + BRAKED[reason] - 1)
    assert brakes.may_make("org1", NOW + BRAKED[reason])
    assert (brakes.most("org1", 500), brakes.most("org2", 500)) == (PROBE, 500)
    brakes.learn("org1", asked(1, status=status), NOW + 1000)
    assert not brakes.may_make("org1", NOW + 1001)
    brakes.learn("org1", asked(1, **GOOD), NOW + 2000)
    assert brakes.most("org1", 500) == 500


def test_one_mailbox_refused_tells_nothing_of_the_org() -> None:
    brakes = Brakes()
    brakes.learn("org1", asked(1, status=403), NOW)
    brakes.learn("org1", [*asked(ENOUGH, status=403), *asked(1, **GOOD)], NOW)
    brakes.learn("org1", asked(ENOUGH, status=409), NOW)
    brakes.learn("org1", asked(ENOUGH, Step.RENEW, status=403), NOW)
    assert brakes.may_make("org1", NOW)
    assert not brakes.rests("org1", NOW)


def test_an_org_rests_as_long_as_microsoft_orders_but_not_for_ever() -> None:
    brakes = Brakes()
    brakes.learn("org1", [*asked(1, status=429, retry_after=7.2), *asked(1, **GOOD)], NOW)
    assert brakes.rests("org1", NOW + 7)
    assert not brakes.rests("org1", NOW + 8)
    brakes.learn("org1", asked(1, status=0, code="tenant_paused", retry_after=90_000.0), NOW)
    assert not brakes.rests("org1", NOW + 301)
