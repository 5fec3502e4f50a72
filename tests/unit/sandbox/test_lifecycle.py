"""That a subscription without rights, paused, removed, dropped or forged behaves as Graph's would."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox import MISSED, REAUTHORIZE, REMOVED
from deploy.sandbox.calendar import Item
from deploy.sandbox.directory import Reach, Unknown
from shared.clock import moment
from tests.unit.sandbox.asking import NOW, Caller, caller
from tests.unit.sandbox.listening import DAY, ONE, TWO, URL, Listener, subscribed
from tests.waiting import until

LIFE = f"{URL}/life"


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=10, events=5)


@pytest.fixture
async def listener(asking: Caller) -> AsyncIterator[Listener]:
    made = Listener(asking)
    yield made
    await made.close()


def add(asking: Caller, mailbox: str = ONE) -> str:
    return asking.changes.add_event(mailbox, Item(item_id="", start=NOW + 60, end=NOW + 3660))


@pytest.mark.parametrize("lost", ["consent", "app", "role", "mailbox"])
async def test_without_the_right_to_read_nothing_is_told_and_subscriptions_stay(
    asking: Caller, listener: Listener, lost: str
) -> None:
    one = await subscribed(asking, lifecycleNotificationUrl=LIFE)
    match lost:
        case "consent":
            asking.changes.revoke()
        case "app":
            asking.changes.enable_app(enabled=False)
        case "role":
            asking.changes.set_roles("User.Read.All")
        case "mailbox":
            asking.changes.change_user(ONE, reach=Reach.DENIED)
    add(asking)
    assert (listener.counts.due, listener.counts.withheld) == (0, 1)
    assert [each.id for each in asking.changes.subscriptions()] == [one]
    asking.changes.consent()
    asking.changes.change_user(ONE, reach=Reach.OPEN)
    add(asking)
    await listener.settled()
    assert (listener.counts.due, listener.counts.delivered) == (1, 1)


async def test_a_mailbox_allowed_alone_is_told_of(asking: Caller, listener: Listener) -> None:
    asking.changes.set_roles("User.Read.All")
    asking.changes.allow_mailboxes(ONE)
    asking.sign_in()
    await subscribed(asking)
    add(asking)
    await listener.settled()
    assert listener.counts.delivered == 1
    asking.changes.allow_mailboxes(TWO)
    add(asking)
    assert listener.counts.withheld == 1


async def test_with_its_user_a_subscription_is_removed(asking: Caller, listener: Listener) -> None:
    one = await subscribed(asking, lifecycleNotificationUrl=LIFE)
    asking.changes.remove_user(ONE)
    await listener.settled()
    assert [(url, note["lifecycleEvent"]) for url, (note,) in listener.deliveries] == [(LIFE, REMOVED)]
    assert listener.notes[0]["subscriptionId"] == one
    assert asking.changes.subscriptions() == ()


async def test_a_lifecycle_event_has_graphs_form(asking: Caller, listener: Listener) -> None:
    one = await subscribed(asking, lifecycleNotificationUrl=LIFE)
    asking.changes.notifications.lifecycle(ONE, MISSED)
    await listener.settled()
    assert listener.deliveries == [
        (
            LIFE,
            [
                {
                    "subscriptionId": one,
                    "subscriptionExpirationDateTime": f"{moment(NOW + 3 * DAY)[:-1]}.0000000Z",
                    "tenantId": asking.tenant.tenant_id,
                    "clientState": "a state",
                    "lifecycleEvent": "missed",
                }
            ],
        )
    ]
    assert (listener.counts.lifecycle, listener.counts.delivered) == (1, 1)


@pytest.mark.parametrize("way", ["reauthorize", "renew"])
async def test_a_pause_keeps_back_until_it_is_authorised(asking: Caller, listener: Listener, way: str) -> None:
    one = await subscribed(asking, lifecycleNotificationUrl=LIFE)
    asking.changes.notifications.lifecycle(one, REAUTHORIZE)
    await until(lambda: len(listener.notes) == 1)
    add(asking)
    assert [each.paused for each in asking.changes.subscriptions()] == [True]
    await until(lambda: bool(asking.state.notifier._held))  # kept back, not on its way
    assert (len(listener.notes), listener.counts.waiting) == (1, 1)
    if way == "renew":
        body = b'{"expirationDateTime":"2026-11-23T00:00:00Z"}'
        assert (await asking.ask("PATCH", f"/subscriptions/{one}", body=body)).status == 200
    else:
        assert (await asking.ask("POST", f"/subscriptions/{one}/reauthorize")).status == 204
    await listener.settled()
    assert [note.get("changeType") for note in listener.notes] == [None, "created"]
    assert [each.paused for each in asking.changes.subscriptions()] == [False]
    assert (listener.counts.renewed, listener.counts.reauthorized) == ((1, 0) if way == "renew" else (0, 1))


async def test_what_was_kept_back_too_long_is_given_up(asking: Caller, listener: Listener) -> None:
    one = await subscribed(asking)
    asking.changes.notifications.lifecycle(one, REAUTHORIZE)
    add(asking)
    await until(lambda: bool(asking.state.notifier._held))
    asking.now += 4 * 3600 + 1
    asking.sign_in()
    assert (await asking.ask("POST", f"/subscriptions/{one}/reauthorize")).status == 204
    assert (listener.counts.failed, listener.counts.waiting) == (1, 0)


async def test_what_is_kept_back_ends_with_its_subscription(asking: Caller, listener: Listener) -> None:
    one = await subscribed(asking)
    asking.changes.notifications.lifecycle(one, REAUTHORIZE)
    add(asking)
    await until(lambda: bool(asking.state.notifier._held))
    asking.changes.notifications.expire(one)
    assert (listener.counts.failed, listener.counts.waiting) == (1, 0)


async def test_a_removal_on_order_really_removes(asking: Caller, listener: Listener) -> None:
    one = await subscribed(asking, lifecycleNotificationUrl=LIFE)
    asking.changes.notifications.lifecycle(ONE, REMOVED)
    assert (await asking.ask("GET", f"/subscriptions/{one}")).status == 404
    await listener.settled()
    assert [note["lifecycleEvent"] for note in listener.notes] == [REMOVED]


async def test_a_silent_end_says_nothing(asking: Caller, listener: Listener) -> None:
    one, two = await subscribed(asking, lifecycleNotificationUrl=LIFE), await subscribed(asking, mailbox=TWO)
    asking.changes.notifications.drop(ONE)
    asking.changes.notifications.expire(two)
    add(asking)
    add(asking, TWO)
    assert (listener.counts.due, listener.counts.lifecycle, listener.deliveries) == (0, 0, [])
    for gone in (one, two):
        assert (await asking.ask("GET", f"/subscriptions/{gone}")).status == 404


async def test_forgeries_carry_another_state_or_another_id(asking: Caller, listener: Listener) -> None:
    one = await subscribed(asking)
    asking.changes.notifications.forge(ONE, client_state="guess")
    asking.changes.notifications.forge(ONE, unknown=True)
    await listener.settled()
    said = {note["subscriptionId"]: note["clientState"] for note in listener.notes}
    assert said.pop(one) == "guess"
    assert list(said.values()) == ["a state"]
    assert (listener.counts.forged, listener.counts.due) == (2, 0)


@pytest.mark.parametrize("name", ["nobody@sandbox.example", "3f0c1e90-0000-4000-8000-000000000000"])
async def test_an_order_for_nothing_is_refused(asking: Caller, name: str) -> None:
    orders: tuple[Any, ...] = (
        lambda: asking.changes.notifications.drop(name),
        lambda: asking.changes.notifications.lifecycle(name, MISSED),
        lambda: asking.changes.notifications.forge(name),
        lambda: asking.changes.notifications.expire(name),
    )
    for order in orders:
        with pytest.raises(Unknown, match="subscription"):
            order()
