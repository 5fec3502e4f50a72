"""That an ordered fault does what it says, as often as it says, and nothing else."""

import asyncio
import re
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from deploy.sandbox import Fault, FaultKind, RetryForm
from deploy.sandbox.faults import Faults
from tests.unit.sandbox.asking import NOW, WINDOW, Caller, caller, decoded

VIEW = f"/users/person.0001@sandbox.example/calendarView?{WINDOW}&$select=start"


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=10, events=25)


async def statuses(asking: Caller, count: int, url: str = VIEW) -> list[int]:
    return [(await asking.ask("GET", url)).status for _ in range(count)]


async def test_a_fault_strikes_as_often_as_ordered_after_those_it_lets_pass(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.ERROR, status=502, times=2, after=1))
    assert await statuses(asking, 5) == [200, 502, 502, 200, 200]


async def test_a_share_of_requests_is_struck_the_same_way_for_the_same_seed() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.order(Fault(kind=FaultKind.ERROR, share=0.3))
        return [faults.strike("/v1.0/users") is not None for _ in range(300)]

    assert struck(1) == struck(1) != struck(2)
    assert 50 < sum(struck(1)) < 130


async def test_a_fault_strikes_only_what_it_matches(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.ERROR, match=r"/mailboxSettings"))
    asking.changes.order(Fault(kind=FaultKind.ERROR, mailbox="person.0002@sandbox.example", status=500))
    assert await statuses(asking, 1) == [200]
    assert await statuses(asking, 1, "/users/person.0001@sandbox.example/mailboxSettings") == [503]
    by_id = f"/users/{asking.user('person.0002@sandbox.example')}/calendarView?{WINDOW}"
    assert await statuses(asking, 1, by_id) == [500]
    asking.changes.clear_faults()
    assert await statuses(asking, 1, by_id) == [200]


@pytest.mark.parametrize(
    ("form", "seconds", "expected"),
    [(RetryForm.INTEGER, 7, "7"), (RetryForm.FRACTION, 2.128, "2.128"), (RetryForm.NONE, 1, None)],
)
async def test_a_throttle_writes_retry_after_as_ordered(
    asking: Caller, form: RetryForm, seconds: float, expected: str | None
) -> None:
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, retry_form=form, seconds=seconds))
    answer = await asking.ask("GET", VIEW)
    assert answer.status == 429
    assert answer.headers.get("Retry-After") == expected
    assert decoded(answer)["error"]["code"] == "TooManyRequests"


async def test_a_throttle_can_name_a_date(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, retry_form=RetryForm.DATE, seconds=90))
    answer = await asking.ask("GET", VIEW)
    assert parsedate_to_datetime(answer.headers["Retry-After"]).timestamp() == NOW + 90


async def test_html_comes_with_status_200(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.HTML))
    answer = await asking.ask("GET", VIEW)
    assert (answer.status, answer.content_type.partition(";")[0]) == (200, "text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")


async def test_truncated_json_does_not_parse(asking: Caller) -> None:
    whole = await asking.ask("GET", VIEW)
    asking.changes.order(Fault(kind=FaultKind.TRUNCATED))
    cut = await asking.ask("GET", VIEW)
    assert cut.status == 200
    assert whole.body.startswith(cut.body)
    with pytest.raises(ValueError, match="truncated"):
        decoded(cut)


@pytest.mark.parametrize("listing", [VIEW, "/users?$select=id&$top=3"])
async def test_midway_fails_at_its_page(asking: Caller, listing: str) -> None:
    asking.changes.order(Fault(kind=FaultKind.MIDWAY, page=3, times=1))
    first = await asking.get(listing)
    second = await asking.get(first["@odata.nextLink"])
    third = second["@odata.nextLink"]
    assert await statuses(asking, 2, third) == [503, 200]


async def test_unauthorized_is_401_though_the_token_is_good(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.UNAUTHORIZED, times=1))
    assert await asking.refused(VIEW) == (401, "InvalidAuthenticationToken")
    assert await statuses(asking, 1) == [200]


async def test_slow_is_right_but_late(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.SLOW, seconds=0.05, times=1))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert await statuses(asking, 1) == [200]
    assert loop.time() - begun >= 0.05


async def test_drop_has_no_answer(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.DROP))
    assert (await asking.ask("GET", VIEW)).dropped


async def test_an_error_may_have_any_code(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.ERROR, status=404, code="MailboxNotHostedInExchangeOnline"))
    assert await asking.refused(VIEW) == (404, "MailboxNotHostedInExchangeOnline")


async def test_sign_in_is_struck_only_by_a_fault_that_names_its_path(asking: Caller) -> None:
    token = f"/{asking.tenant.tenant_id}/oauth2/v2.0/token"
    asking.changes.order(Fault(kind=FaultKind.THROTTLE))
    assert (await asking.entra(token, form="client_id=x")).status == 400
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, match="oauth2", seconds=3, times=1))
    answer = await asking.entra(token, form="client_id=x")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
    assert decoded(answer)["error_codes"] == [90055]
    asking.changes.order(Fault(kind=FaultKind.ERROR, match="oauth2", status=400, code="53003"))
    assert decoded(await asking.entra(token, form="client_id=x"))["error_codes"] == [53003]


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(re.error):
        Faults(1).order(Fault(kind=FaultKind.DROP, match="("))
