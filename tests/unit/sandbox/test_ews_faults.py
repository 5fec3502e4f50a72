"""That EWS fails on order in the forms of Exchange, of what lies before it, and of servers that are not Exchange."""

import asyncio
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from lxml import etree

from deploy.sandbox import Fault, FaultKind, RetryForm
from tests.unit.sandbox.asking import NOW
from tests.unit.sandbox.asking_ews import NAMES, PERSON, EwsCaller, ews_caller, texts

ASK = f'<m:ResolveNames ReturnFullContactData="false"><m:UnresolvedEntry>{PERSON}</m:UnresolvedEntry></m:ResolveNames>'
LISTS = "<m:GetRoomLists/>"


@pytest.fixture
def asking(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, events=1)


async def statuses(asking: EwsCaller, count: int, body: str = ASK, **how: str) -> list[int]:
    return [(await asking.ask(body, **how)).status for _ in range(count)]


async def values(asking: EwsCaller) -> dict[str, str]:
    root = etree.fromstring((await asking.ask(ASK)).body)
    return {str(found.get("Name")): found.text or "" for found in root.iterfind(".//t:Value", NAMES)}


async def test_a_throttle_says_busy_and_for_how_many_milliseconds(asking: EwsCaller) -> None:
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, seconds=297.749))
    assert await asking.fault(ASK) == (500, "ErrorServerBusy")
    assert await values(asking) == {"BackOffMilliseconds": "297749"}


async def test_a_throttle_may_leave_the_pause_to_the_client(asking: EwsCaller) -> None:
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, retry_form=RetryForm.NONE))
    assert await asking.fault(ASK) == (500, "ErrorServerBusy")
    assert await values(asking) == {}


async def test_a_throttle_may_come_from_before_exchange(asking: EwsCaller) -> None:
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, retry_form=RetryForm.HTTP, seconds=7))
    answer = await asking.ask(ASK)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    asking.changes.clear_faults()
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, retry_form=RetryForm.DATE, seconds=90))
    said = (await asking.ask(ASK)).headers["Retry-After"]
    assert parsedate_to_datetime(said).timestamp() == NOW + 90


@pytest.mark.parametrize(
    ("body", "operation"), [(ASK, "ResolveNames"), (LISTS, "GetRoomLists"), ("<m:GetUserAvailabilityRequest/>", "")]
)
async def test_a_throttle_may_hide_inside_a_response(asking: EwsCaller, body: str, operation: str) -> None:
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, retry_form=RetryForm.INNER, seconds=2, match=operation))
    answer = await asking.ask(body)
    asking._check(answer.body)
    root = etree.fromstring(answer.body)
    assert answer.status == 200
    assert texts(root, ".//m:ResponseCode") == ["ErrorInternalServerError"]
    said = {str(found.get("Name")): found.text for found in root.iterfind(".//t:Value", NAMES)}
    assert said["InnerErrorResponseCode"] == "ErrorServerBusy"
    assert said["BackOffMilliseconds"] == "2000"


async def test_every_third_request_can_be_struck(asking: EwsCaller) -> None:
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, every=3))
    assert await statuses(asking, 7) == [200, 200, 500, 200, 200, 500, 200]


async def test_counting_to_the_third_begins_after_those_let_pass_and_ends_with_its_times(asking: EwsCaller) -> None:
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, every=2, after=1, times=2))
    assert await statuses(asking, 7) == [200, 200, 500, 200, 500, 200, 200]


@pytest.mark.parametrize("code", ["ErrorMailboxMoveInProgress", "ErrorMailboxStoreUnavailable", "ErrorADUnavailable"])
async def test_any_code_of_exchange_can_be_ordered_as_a_fault(asking: EwsCaller, code: str) -> None:
    asking.changes.order(Fault(kind=FaultKind.ERROR, code=code))
    assert await asking.fault(ASK) == (500, code)


async def test_an_error_without_a_code_is_a_bare_status(asking: EwsCaller) -> None:
    asking.changes.order(Fault(kind=FaultKind.ERROR, status=502))
    answer = await asking.ask(ASK)
    assert answer.status == 502
    assert answer.body.startswith(b"<!DOCTYPE html>")


async def test_a_fault_is_matched_by_operation_and_by_mailbox(asking: EwsCaller) -> None:
    asking.changes.order(Fault(kind=FaultKind.ERROR, match=r"\?ExpandDL&"))
    assert await statuses(asking, 1) == [200]
    asking.changes.order(
        Fault(kind=FaultKind.ERROR, match=rf"^/EWS/Exchange\.asmx\?ResolveNames&{PERSON}$", status=502)
    )
    assert await statuses(asking, 1) == [200]
    assert await statuses(asking, 1, impersonated=PERSON) == [502]
    asking.changes.clear_faults()
    asking.changes.order(Fault(kind=FaultKind.ERROR, mailbox=PERSON))
    assert await statuses(asking, 1) == [200]
    assert await statuses(asking, 1, impersonated=PERSON) == [503]


async def test_html_and_half_an_answer_come_with_status_200(asking: EwsCaller) -> None:
    whole = await asking.ask(ASK)
    asking.changes.order(Fault(kind=FaultKind.TRUNCATED, times=1))
    cut = await asking.ask(ASK)
    assert (cut.status, cut.body) == (200, whole.body[: len(whole.body) // 2])
    asking.changes.clear_faults()
    asking.changes.order(Fault(kind=FaultKind.HTML))
    page = await asking.ask(ASK)
    assert (page.status, page.content_type.partition(";")[0]) == (200, "text/html")


async def test_unauthorized_is_401_though_the_password_is_right(asking: EwsCaller) -> None:
    asking.changes.order(Fault(kind=FaultKind.UNAUTHORIZED, times=1))
    answer = await asking.ask(ASK)
    assert answer.status == 401
    assert "Basic" in answer.headers["WWW-Authenticate"]
    assert await statuses(asking, 1) == [200]


async def test_drop_has_no_answer(asking: EwsCaller) -> None:
    asking.changes.order(Fault(kind=FaultKind.DROP))
    assert (await asking.ask(ASK)).dropped


async def test_slow_is_right_but_late_and_latency_is_added_to_all(tmp_path: Path) -> None:
    asking = ews_caller(tmp_path, events=1, latency=0.02)
    asking.changes.order(Fault(kind=FaultKind.SLOW, seconds=0.05, times=1))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert await statuses(asking, 1) == [200]
    assert loop.time() - begun >= 0.07
    begun = loop.time()
    assert await statuses(asking, 1) == [200]
    assert loop.time() - begun >= 0.02


async def test_another_server_gives_its_faults_with_status_200(tmp_path: Path) -> None:
    asking = ews_caller(tmp_path, events=1, ews_fault_status=200)
    assert await asking.fault(ASK, impersonated="no.body@sandbox.example") == (200, "ErrorNonExistentMailbox")


async def test_another_server_lacks_operations(tmp_path: Path) -> None:
    asking = ews_caller(tmp_path, events=1, ews_without=("GetRoomLists",))
    assert (await asking.fault(LISTS))[0] == 500
    assert await statuses(asking, 1) == [200]
    asking.orders.behave(without=frozenset())
    assert await statuses(asking, 1, LISTS) == [200]


async def test_impersonation_is_refused_with_a_fault(asking: EwsCaller) -> None:
    asking.orders.change_account(scope="")
    assert await asking.fault(ASK, impersonated=PERSON) == (500, "ErrorImpersonateUserDenied")
    assert await statuses(asking, 1) == [200]


async def test_a_secondary_address_is_refused_and_the_right_one_told(asking: EwsCaller) -> None:
    asking.orders.add_alias(PERSON, "first@sandbox.example")
    answer = await asking.ask(ASK, impersonated="first@sandbox.example")
    root = etree.fromstring(answer.body)
    assert texts(root, ".//t:Value") == [PERSON]
