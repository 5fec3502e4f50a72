"""That a batch answers each of its requests alone, and is refused whole only where it is malformed."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox import Fault, FaultKind
from tests.unit.sandbox.asking import WINDOW, Caller, caller, decoded


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=20, events=15)


def one(number: int, url: str, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "method": "GET", "url": url} | more


async def batch(asking: Caller, requests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    answer = await asking.ask("POST", "/$batch", body=json.dumps({"requests": requests}).encode())
    assert answer.status == 200, answer.body
    return {made["id"]: made for made in decoded(answer)["responses"]}


async def test_twenty_settings_are_read_at_once(asking: Caller) -> None:
    urls = [f"/users/{user}/mailboxSettings?$select=timeZone,userPurpose" for user in list(asking.tenant.people)[:20]]
    answers = await batch(asking, [one(number, url) for number, url in enumerate(urls)])
    assert [made["status"] for made in answers.values()] == [200] * 20
    for number, url in enumerate(urls):
        assert answers[str(number)]["body"] == await asking.get(url)


async def test_items_have_their_own_status_and_headers(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.THROTTLE, match="person.0002", seconds=9))
    urls = ["users/person.0001@sandbox.example/mailboxSettings", "/users/person.0002@sandbox.example/mailboxSettings"]
    answers = await batch(asking, [one(1, urls[0]), one(2, urls[1]), one(3, "/users/nobody"), one(4, "/users?$top=2")])
    assert [answers[name]["status"] for name in "1234"] == [200, 429, 404, 200]
    assert answers["2"]["headers"]["Retry-After"] == "9"
    assert answers["4"]["body"]["@odata.nextLink"].startswith("https://127.0.0.1:8443/v1.0/users?")


async def test_headers_of_an_item_are_its_own(asking: Caller) -> None:
    url = f"/users/person.0001@sandbox.example/calendarView?{WINDOW}&$select=start&$top=1"
    answers = await batch(asking, [one(1, url, headers={"Prefer": 'outlook.timezone="Europe/Berlin"'}), one(2, url)])
    zones = [answers[name]["body"]["value"][0]["start"]["timeZone"] for name in "12"]
    assert zones == ["Europe/Berlin", "UTC"]


async def test_what_depends_on_a_failure_is_not_tried(asking: Caller) -> None:
    answers = await batch(
        asking, [one(1, "/users/nobody"), one(2, "/organization", dependsOn=["1"]), one(3, "/organization")]
    )
    assert [answers[name]["status"] for name in "123"] == [404, 424, 200]
    assert asking.state.counts.kinds["organization"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b'{"requests": []}',
        json.dumps({"requests": [one(number, "/organization") for number in range(21)]}).encode(),
        json.dumps({"requests": [one(1, "/organization"), one(1, "/organization")]}).encode(),
        json.dumps({"requests": [{"id": "a"} | one(1, "/x") | {"id": "A"}, one(1, "/x") | {"id": "a"}]}).encode(),
        json.dumps({"requests": [one(1, "/organization", dependsOn=["7"])]}).encode(),
    ],
)
async def test_a_malformed_batch_is_refused_whole(asking: Caller, body: bytes) -> None:
    answer = await asking.ask("POST", "/$batch", body=body)
    assert (answer.status, decoded(answer)["error"]["code"]) == (400, "BadRequest")


async def test_four_items_are_in_work_at_a_time(tmp_path: Path) -> None:
    asking = caller(tmp_path, mailboxes=10, latency=0.01, concurrency=0)
    url = f"/users/person.0001@sandbox.example/calendarView?{WINDOW}&$select=start"
    await batch(asking, [one(number, url) for number in range(12)])
    assert asking.state.counts.peaks["person.0001@sandbox.example"] == 4


async def test_what_is_not_json_is_text_in_a_batch(asking: Caller) -> None:
    asking.changes.order(Fault(kind=FaultKind.HTML, match="organization"))
    answers = await batch(asking, [one(1, "/organization")])
    assert answers["1"]["body"].startswith("<!DOCTYPE html>")
