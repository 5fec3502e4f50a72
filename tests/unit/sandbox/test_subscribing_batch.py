"""That subscriptions are made, renewed and ended in a batch as they are alone."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.sandbox.asking import Caller, caller, decoded
from tests.unit.sandbox.listening import ONE, TWO, Listener, subscribed, wish

PREFER = {"Prefer": 'IdType="ImmutableId"'}
RENEW = b'{"expirationDateTime":"2026-11-23T00:00:00Z"}'


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=10, events=5)


@pytest.fixture
async def listener(asking: Caller) -> AsyncIterator[Listener]:
    made = Listener(asking)
    yield made
    await made.close()


@pytest.mark.usefixtures("listener")
async def test_all_of_it_works_in_a_batch(asking: Caller) -> None:

    kept, ended, slept = [await subscribed(asking, mailbox=each.address) for each in asking.changes.mailboxes()[3:6]]
    typed = {"Content-Type": "application/json"}
    requests = [
        {"id": "1", "method": "POST", "url": "/subscriptions", "headers": typed, "body": wish(ONE)},
        {"id": "2", "method": "PATCH", "url": f"subscriptions/{kept}", "headers": typed, "body": json.loads(RENEW)},
        {"id": "3", "method": "DELETE", "url": f"/subscriptions/{ended}"},
        {"id": "4", "method": "POST", "url": f"/subscriptions/{slept}/reauthorize"},
        {"id": "5", "method": "DELETE", "url": "/subscriptions/none"},
        {"id": "6", "method": "GET", "url": "/subscriptions?$top=9"},
        {"id": "7", "method": "POST", "url": "/subscriptions", "body": wish(TWO), "headers": typed | PREFER},
    ]
    answer = await asking.ask("POST", "/$batch", body=json.dumps({"requests": requests}).encode())
    answers = {made["id"]: made for made in decoded(answer)["responses"]}
    assert [answers[name]["status"] for name in "1234567"] == [201, 200, 204, 204, 404, 200, 201]
    assert "body" not in answers["3"]
    assert answers["7"]["headers"]["Preference-Applied"] == PREFER["Prefer"]
    assert [one.immutable for one in asking.changes.subscriptions() if one.mailbox == TWO] == [True]


async def test_a_body_without_its_type_makes_a_batch_malformed(asking: Caller) -> None:
    request = {"id": "1", "method": "POST", "url": "/subscriptions", "body": {}}
    answer = await asking.ask("POST", "/$batch", body=json.dumps({"requests": [request]}).encode())
    assert answer.status == 400
