"""That control shows subscriptions and notifications, and orders what happens to them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sandbox.asking import NOW, Caller, caller
from tests.unit.sandbox.listening import ONE, TWO, URL, Listener, subscribed
from tests.unit.sandbox.test_control import order

EVENTS = f"mailboxes/{ONE}/events"


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=5, events=2)


@pytest.fixture
async def listener(asking: Caller) -> AsyncIterator[Listener]:
    made = Listener(asking)
    yield made
    await made.close()


async def test_subscriptions_are_listed_dropped_and_expired(asking: Caller, listener: Listener) -> None:
    one, two = await subscribed(asking), await subscribed(asking, mailbox=TWO)
    rows = order(asking, "GET", "subscriptions")[1]["subscriptions"]
    assert [(row["id"], row["mailbox"], row["client_state"], row["url"]) for row in rows] == [
        (one, ONE, "a state", URL),
        (two, TWO, "a state", URL),
    ]
    assert order(asking, "DELETE", f"subscriptions/{one}")[0] == 200
    assert order(asking, "POST", f"subscriptions/{TWO}/expire")[0] == 200
    assert order(asking, "GET", "subscriptions")[1] == {"subscriptions": []}
    assert order(asking, "DELETE", f"subscriptions/{one}")[0] == 404
    assert listener.deliveries == []


async def test_a_change_by_control_is_told_and_counted(asking: Caller, listener: Listener) -> None:
    await subscribed(asking)
    order(asking, "POST", "notifications/faults", {"kind": "lose", "times": 1})
    said = order(asking, "POST", EVENTS, {"start": NOW, "end": NOW + 60})[1]
    order(asking, "PATCH", f"{EVENTS}/{said['item_id']}", {"seconds": 60})
    order(asking, "DELETE", f"{EVENTS}/{said['item_id']}")
    await listener.settled()
    assert [note["changeType"] for note in listener.notes] == ["updated", "deleted"]
    counts = order(asking, "GET", "notifications")[1]
    assert (counts["due"], counts["lost"], counts["delivered"], counts["waiting"]) == (3, 1, 2, 0)


async def test_lifecycle_events_and_forgeries_are_ordered(asking: Caller, listener: Listener) -> None:
    one = await subscribed(asking, lifecycleNotificationUrl=f"{URL}/life")
    assert order(asking, "POST", f"subscriptions/{one}/lifecycle", {"event": "missed"})[0] == 200
    assert order(asking, "POST", f"subscriptions/{one}/forge", {"client_state": "guess"})[0] == 200
    assert order(asking, "POST", f"subscriptions/{one}/forge", {"unknown": True})[0] == 200
    await listener.settled()
    said = sorted((note["subscriptionId"] == one, note["clientState"]) for note in listener.notes)
    assert said == [(False, "a state"), (True, "a state"), (True, "guess")]


def test_faults_are_ordered_shown_and_cleared(asking: Caller) -> None:
    first = order(asking, "POST", "notifications/faults", {"kind": "delay", "seconds": 2})[1]["number"]
    order(asking, "POST", "notifications/faults", {"kind": "duplicate", "copies": 2, "share": 0.5})
    faults = order(asking, "GET", "notifications/faults")[1]["faults"]
    assert [(fault["fault"]["kind"], fault["struck"]) for fault in faults] == [("delay", 0), ("duplicate", 0)]
    order(asking, "DELETE", f"notifications/faults/{first}")
    assert len(order(asking, "GET", "notifications/faults")[1]["faults"]) == 1
    order(asking, "DELETE", "notifications/faults")
    assert order(asking, "GET", "notifications/faults")[1] == {"faults": []}


async def test_the_clock_can_be_moved(asking: Caller) -> None:
    assert order(asking, "POST", "clock", {"seconds": 3600})[1] == {"now": NOW + 3600}
    assert order(asking, "POST", "clock", {"seconds": -600})[1] == {"now": NOW + 3000}
    assert order(asking, "POST", "clock")[1] == {"now": NOW + 3000}
    order(asking, "POST", "clock", {"seconds": 700})
    assert await asking.refused("/users") == (401, "InvalidAuthenticationToken")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "notifications/faults", {"kind": "earthquake"}, 400),
        ("POST", "notifications/faults", {"kind": "lose", "share": 2}, 400),
        ("POST", f"subscriptions/{ONE}/lifecycle", {"event": "rained"}, 400),
        ("POST", f"subscriptions/{ONE}/lifecycle", {}, 400),
        ("POST", f"subscriptions/{ONE}/lifecycle", {"event": "missed"}, 404),
        ("POST", f"subscriptions/{ONE}/forge", {}, 404),
        ("GET", "subscriptions?tenant=nowhere.example", None, 404),
        ("POST", "clock", {"seconds": "some"}, 400),
    ],
)
def test_a_wrong_order_is_refused(asking: Caller, method: str, path: str, body: Any, status: int) -> None:
    assert order(asking, method, path, body)[0] == status
