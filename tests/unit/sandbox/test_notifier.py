"""That a change of a calendar is told to whom it is owed, in Graph's form, and everything is counted."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.sandbox import worlds
from deploy.sandbox.calendar import Item
from tests.unit.sandbox.asking import NOW, WINDOW, Caller, caller
from tests.unit.sandbox.listening import DAY, ONE, TWO, URL, Listener, subscribed
from tests.waiting import until


@pytest.fixture
def asking(tmp_path: Path) -> Caller:
    return caller(tmp_path, mailboxes=10, events=5, tenants=2, notification_pause_scale=1e-6)


@pytest.fixture
async def listener(asking: Caller) -> AsyncIterator[Listener]:
    made = Listener(asking)
    yield made
    await made.close()


def add(asking: Caller, mailbox: str = ONE) -> str:
    return asking.changes.add_event(mailbox, Item(item_id="", start=NOW + 60, end=NOW + 3660))


async def test_each_sort_of_change_is_told_once(asking: Caller, listener: Listener) -> None:
    await subscribed(asking)
    event = add(asking)
    asking.changes.change_event(ONE, event, show_as="oof")
    asking.changes.move_event(ONE, event, seconds=60)
    asking.changes.add_event(ONE, Item(item_id=event, start=NOW, end=NOW + 60))
    asking.changes.delete_event(ONE, event)
    await listener.settled()
    kinds = sorted(note["changeType"] for note in listener.notes)
    assert kinds == ["created", "deleted", "updated", "updated", "updated"]
    assert (listener.counts.due, listener.counts.delivered) == (5, 5)


async def test_a_notification_has_graphs_form(asking: Caller, listener: Listener) -> None:
    one = await subscribed(asking, expirationDateTime="2026-11-20T18:23:45.9356913Z")
    add(asking)
    await listener.settled()
    ((url, (note,)),) = listener.deliveries
    event, user = note["resourceData"]["id"], asking.user()
    rows = await asking.all(f"/users/{ONE}/calendarView?{WINDOW}&$top=100")
    (row,) = [row for row in rows if row["id"] == event]
    assert url == URL
    assert re.fullmatch(r"[0-9a-f-]{36}", note.pop("id"))
    assert note.pop("resource").lower() == f"users/{user}/events/{event}".lower()
    assert note == {
        "subscriptionId": one,
        "subscriptionExpirationDateTime": "2026-11-20T18:23:45.9356913Z",
        "clientState": "a state",
        "changeType": "created",
        "tenantId": asking.tenant.tenant_id,
        "resourceData": {
            "@odata.type": "#Microsoft.Graph.Event",
            "@odata.id": f"Users/{user}/Events/{event}",
            "@odata.etag": row["@odata.etag"],
            "id": event,
        },
    }


async def test_ids_are_of_the_form_subscribed_to(asking: Caller, listener: Listener) -> None:
    await subscribed(asking, prefer='IdType="ImmutableId"')
    add(asking)
    await listener.settled()
    rows = await asking.all(f"/users/{ONE}/calendarView?{WINDOW}&$top=100", prefer='IdType="ImmutableId"')
    assert listener.notes[0]["resourceData"]["id"] in {row["id"] for row in rows}


async def test_paths_are_written_with_and_without_capitals(asking: Caller, listener: Listener) -> None:
    await subscribed(asking)
    for _ in range(6):
        add(asking)
    await listener.settled()
    starts = {note["resource"].partition("/")[0] for note in listener.notes}
    assert starts == {"Users", "users"}


async def test_one_post_holds_several_subscriptions_and_tenants(asking: Caller, listener: Listener) -> None:
    tenants = list(asking.state.tenants.values())
    for tenant in tenants:
        asking.state.tokens[tenant.domain] = replace(asking.state.tokens[asking.token], tenant_id=tenant.tenant_id)
        asking.token = tenant.domain
        for mailbox in ("person.0001", "person.0002"):
            await subscribed(asking, mailbox=f"{mailbox}@{tenant.domain}")
            start = NOW + 60
            asking.changes.add_event(
                f"{mailbox}@{tenant.domain}", Item(item_id="", start=start, end=start), tenant=tenant.tenant_id
            )
    # collected while the last was made, or soon after
    await listener.settled()
    assert {note["tenantId"] for note in listener.notes} == {tenant.tenant_id for tenant in tenants}
    for tenant in tenants:
        for mailbox in ("person.0001", "person.0002"):
            asking.changes.add_event(
                f"{mailbox}@{tenant.domain}", Item(item_id="", start=NOW, end=NOW), tenant=tenant.tenant_id
            )
    listener.deliveries.clear()
    await listener.settled()
    ((_, notes),) = listener.deliveries
    assert len({note["subscriptionId"] for note in notes}) == 4
    assert len({note["tenantId"] for note in notes}) == 2


async def test_only_the_mailbox_and_the_changes_subscribed_to_are_told(asking: Caller, listener: Listener) -> None:
    await subscribed(asking, changeType="deleted", clientState=None)
    event = add(asking)
    add(asking, TWO)
    asking.changes.delete_event(ONE, event)
    await listener.settled()
    (note,) = listener.notes
    assert note["changeType"] == "deleted"
    assert "clientState" not in note
    assert listener.counts.due == 1


async def test_an_ended_subscription_is_told_nothing(asking: Caller, listener: Listener) -> None:
    await subscribed(asking)
    asking.now += 3 * DAY
    add(asking)
    assert listener.counts.due == 0


async def test_what_is_tried_again_stops_with_its_subscription(asking: Caller, listener: Listener) -> None:
    asking.state.notifier._delivery._scale = 0.005  # 50 ms before the second try
    one = await subscribed(asking)
    listener.statuses = [503]
    add(asking)
    await until(lambda: not listener.statuses)
    asking.changes.notifications.drop(one)
    await listener.settled()
    assert (listener.counts.sent, listener.counts.delivered, listener.counts.failed) == (1, 0, 1)


async def test_notifications_can_come_later(tmp_path: Path) -> None:
    asking = caller(tmp_path, mailboxes=3, events=2, notification_delay=0.05)
    listener = Listener(asking)
    await subscribed(asking)
    began = asyncio.get_running_loop().time()
    add(asking)
    await listener.settled()
    assert asyncio.get_running_loop().time() - began >= 0.05
    await listener.close()


async def test_thousands_of_changes_of_thousands_of_mailboxes_are_all_told(tmp_path: Path) -> None:
    asking = caller(tmp_path, mailboxes=2000, events=2, others=False)
    listener = Listener(asking)
    people = asking.changes.mailboxes()
    for person in people:
        await subscribed(asking, mailbox=person.user_id)
    for person in people:
        add(asking, person.address)
    await listener.settled()
    assert {note["subscriptionId"] for note in listener.notes} == {each.id for each in asking.changes.subscriptions()}
    assert (listener.counts.due, listener.counts.delivered, len(listener.notes)) == (2000, 2000, 2000)
    assert listener.counts.posts < 200
    assert asking.changes.subscriptions()[0].client_id == worlds.CLIENT_ID
    await listener.close()
