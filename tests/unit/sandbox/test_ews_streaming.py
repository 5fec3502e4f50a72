"""Streaming subscriptions: what is told, to whom, on which server, and how a connection ends."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from lxml import etree

from deploy.sandbox import Fault, FaultKind
from deploy.sandbox.answers import Streamed
from deploy.sandbox.calendar import Item
from deploy.sandbox.rendering import IMMUTABLE_ID
from tests.unit.sandbox.asking import NOW
from tests.unit.sandbox.asking_ews import NAMES, PERSON, EwsCaller, ews_caller, texts

OTHER = "person.0002@sandbox.example"
KINDS = ("CreatedEvent", "ModifiedEvent", "DeletedEvent", "MovedEvent")
MINUTE = 0.2  # seconds


@pytest.fixture
def asking(tmp_path: Path) -> EwsCaller:
    return ews_caller(tmp_path, events=3, ews_minute=MINUTE)


def subscription(kinds: tuple[str, ...] = KINDS, folder: str = "calendar") -> str:
    events = "".join(f"<t:EventType>{kind}</t:EventType>" for kind in kinds)
    return (
        "<m:Subscribe><m:StreamingSubscriptionRequest><t:FolderIds>"
        f'<t:DistinguishedFolderId Id="{folder}"/></t:FolderIds><t:EventTypes>{events}</t:EventTypes>'
        "</m:StreamingSubscriptionRequest></m:Subscribe>"
    )


def listening(*names: str, minutes: int = 1) -> str:
    ids = "".join(f"<t:SubscriptionId>{name}</t:SubscriptionId>" for name in names)
    return (
        f"<m:GetStreamingEvents><m:SubscriptionIds>{ids}</m:SubscriptionIds>"
        f"<m:ConnectionTimeout>{minutes}</m:ConnectionTimeout></m:GetStreamingEvents>"
    )


async def subscribed(asking: EwsCaller, mailbox: str = PERSON, **headers: str) -> str:
    found = await asking.get(subscription(), impersonated=mailbox, **headers)
    return texts(found, ".//m:SubscriptionId")[0]


async def opened(
    asking: EwsCaller, *names: str, mailbox: str = PERSON, minutes: int = 1
) -> AsyncGenerator[bytes, None]:
    answer = await asking.ask(listening(*names, minutes=minutes), impersonated=mailbox)
    assert isinstance(answer, Streamed), answer.body
    return answer.chunks


async def read(chunks: AsyncGenerator[bytes, None]) -> etree._Element:
    return etree.fromstring(await anext(chunks))


async def events(chunks: AsyncGenerator[bytes, None]) -> list[tuple[str, str, str]]:
    """Return subscription, kind of event and item of the next part that tells of changes."""
    async for chunk in chunks:
        root = etree.fromstring(chunk)
        found = [
            (texts(notification, "t:SubscriptionId")[0], etree.QName(event).localname, str(item.get("Id")))
            for notification in root.iterfind(".//t:Notification", NAMES)
            for event in notification[1:]
            if (item := event.find("t:ItemId", NAMES)) is not None
        ]
        if found:
            return found
    return []


async def statuses(chunks: AsyncGenerator[bytes, None]) -> list[str]:
    return [status async for chunk in chunks for status in texts(etree.fromstring(chunk), ".//m:ConnectionStatus")]


def item(start: int = NOW) -> Item:
    return Item(item_id="", start=start, end=start + 1800)


async def test_a_connection_begins_with_ok_and_ends_closed_after_its_minutes(asking: EwsCaller) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    said = await statuses(await opened(asking, await subscribed(asking)))
    assert said[0] == "OK"
    assert said[-1] == "Closed"
    assert loop.time() - begun >= MINUTE


async def test_what_is_created_changed_and_deleted_is_told_with_the_item(asking: EwsCaller) -> None:
    name = await subscribed(asking)
    chunks = await opened(asking, name, minutes=30)
    await anext(chunks)
    item_id = asking.changes.add_event(PERSON, item())
    printed = f"{IMMUTABLE_ID}{item_id}AA="
    assert await events(chunks) == [(name, "CreatedEvent", printed)]
    asking.changes.move_event(PERSON, item_id, seconds=60)
    assert await events(chunks) == [(name, "ModifiedEvent", printed)]
    asking.changes.delete_event(PERSON, item_id)
    assert await events(chunks) == [(name, "DeletedEvent", printed)]
    await chunks.aclose()


async def test_what_people_put_among_deleted_items_is_told_as_moved(asking: EwsCaller) -> None:
    chunks = await opened(asking, await subscribed(asking), minutes=30)
    item_id = asking.changes.add_event(PERSON, item())
    await events(chunks)
    asking.changes.delete_event(PERSON, item_id, moved=True)
    assert [kind for _, kind, _ in await events(chunks)] == ["MovedEvent"]
    await chunks.aclose()


async def test_only_the_kinds_asked_for_are_told(asking: EwsCaller) -> None:
    found = await asking.get(subscription(("DeletedEvent",)), impersonated=PERSON)
    chunks = await opened(asking, texts(found, ".//m:SubscriptionId")[0], minutes=30)
    item_id = asking.changes.add_event(PERSON, item())
    asking.changes.delete_event(PERSON, item_id)
    assert [kind for _, kind, _ in await events(chunks)] == ["DeletedEvent"]
    await chunks.aclose()


async def test_nobody_hears_of_another_mailbox(asking: EwsCaller) -> None:
    name = await subscribed(asking)
    asking.changes.add_event(OTHER, item())
    mine = asking.changes.add_event(PERSON, item())
    chunks = await opened(asking, name, minutes=30)
    assert await events(chunks) == [(name, "CreatedEvent", f"{IMMUTABLE_ID}{mine}AA=")]
    await chunks.aclose()


async def test_what_happened_while_nobody_listened_is_told_to_the_next_who_does(asking: EwsCaller) -> None:
    name = await subscribed(asking)
    asking.changes.add_event(PERSON, item())
    chunks = await opened(asking, name, minutes=30)
    assert len(await events(chunks)) == 1
    await chunks.aclose()


async def test_one_connection_tells_of_many_mailboxes(asking: EwsCaller) -> None:
    people = [person.address for person in asking.changes.mailboxes()]
    names = [await subscribed(asking, address, x_anchormailbox=PERSON) for address in people]
    chunks = await opened(asking, *names, minutes=30)
    await anext(chunks)
    for address in people:
        asking.changes.add_event(address, item())
    assert {name for name, _, _ in await events(chunks)} == set(names)
    await chunks.aclose()


async def test_signs_of_life_are_given_while_nothing_happens(asking: EwsCaller) -> None:
    chunks = await opened(asking, await subscribed(asking), minutes=2)
    parts = [etree.fromstring(chunk) async for chunk in chunks]
    assert sum(len(part.findall(".//t:StatusEvent", NAMES)) for part in parts) >= 2


async def test_unknown_subscriptions_are_named_and_the_connection_is_closed(asking: EwsCaller) -> None:
    name = await subscribed(asking)
    found = await asking.get(listening(name, "no-such-one"), impersonated=PERSON)
    assert texts(found, ".//m:ResponseCode") == ["ErrorSubscriptionNotFound"]
    assert texts(found, ".//t:SubscriptionId") == ["no-such-one"]
    assert texts(found, ".//m:ConnectionStatus") == ["Closed"]


async def test_a_subscription_that_is_dropped_ends_the_connection(asking: EwsCaller) -> None:
    name = await subscribed(asking)
    chunks = await opened(asking, name, minutes=30)
    await anext(chunks)
    asking.orders.world.listeners.drop()
    last = await read(chunks)
    assert texts(last, ".//m:ResponseCode") == ["ErrorSubscriptionNotFound"]
    assert texts(last, ".//t:SubscriptionId") == [name]
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_with_its_mailbox_a_subscription_ends(asking: EwsCaller) -> None:
    names = [await subscribed(asking), await subscribed(asking, OTHER, x_anchormailbox=PERSON)]
    asking.changes.remove_user(OTHER)
    found = await asking.get(listening(*names), impersonated=PERSON)
    assert texts(found, ".//t:SubscriptionId") == [names[1]]


async def test_a_subscription_ends_some_minutes_after_its_last_connection(tmp_path: Path) -> None:
    asking = ews_caller(tmp_path, events=1, ews_minute=0.1)
    name = await subscribed(asking)
    await statuses(await opened(asking, name))
    deadline = asyncio.get_running_loop().time() + 60
    while asking.orders.world.listeners.living(asyncio.get_running_loop().time()):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    found = await asking.get(listening(name), impersonated=PERSON)
    assert texts(found, ".//m:ResponseCode") == ["ErrorSubscriptionNotFound"]


async def test_who_unsubscribes_is_told_no_more(asking: EwsCaller) -> None:
    name = await subscribed(asking)
    ending = f"<m:Unsubscribe><m:SubscriptionId>{name}</m:SubscriptionId></m:Unsubscribe>"
    assert texts(await asking.get(ending, impersonated=PERSON), ".//m:ResponseCode") == ["NoError"]
    assert texts(await asking.get(ending, impersonated=PERSON), ".//m:ResponseCode") == ["ErrorSubscriptionNotFound"]


@pytest.mark.parametrize("minutes", [0, 31])
async def test_a_connection_lasts_from_one_to_thirty_minutes(asking: EwsCaller, minutes: int) -> None:
    name = await subscribed(asking)
    assert (await asking.fault(listening(name, minutes=minutes), impersonated=PERSON))[1] == "ErrorSchemaValidation"


async def test_at_most_two_hundred_subscriptions_are_listened_to_at_once(asking: EwsCaller) -> None:
    names = [await subscribed(asking) for _ in range(201)]
    assert (await asking.fault(listening(*names), impersonated=PERSON))[1] == "ErrorSchemaValidation"
    chunks = await opened(asking, *names[:200])
    await chunks.aclose()


async def test_connections_of_an_account_are_bounded_and_freed(asking: EwsCaller) -> None:
    asking.orders.behave(hanging=2)
    name = await subscribed(asking)
    held = [await opened(asking, name, minutes=30) for _ in range(2)]
    for chunks in held:
        await anext(chunks)
    assert (await asking.fault(listening(name), impersonated=PERSON))[1] == "ErrorExceededConnectionCount"
    for chunks in held:
        await chunks.aclose()
    assert (await statuses(await opened(asking, name)))[-1] == "Closed"


PULL = """<m:Subscribe><m:PullSubscriptionRequest><t:FolderIds><t:DistinguishedFolderId Id="calendar"/></t:FolderIds>
<t:EventTypes><t:EventType>CreatedEvent</t:EventType></t:EventTypes><t:Timeout>10</t:Timeout>
</m:PullSubscriptionRequest></m:Subscribe>"""


@pytest.mark.parametrize(
    ("request_element", "code"),
    [
        (subscription(folder="inbox"), "ErrorFolderNotFound"),
        (subscription(folder="root"), "ErrorInvalidSubscriptionRequest"),
        (PULL, "ErrorInvalidSubscriptionRequest"),
    ],
)
async def test_what_is_not_served_is_refused(asking: EwsCaller, request_element: str, code: str) -> None:
    found = await asking.get(request_element, impersonated=PERSON)
    assert texts(found, ".//m:ResponseCode") == [code]


async def test_without_a_mailbox_there_is_nothing_to_subscribe_to(asking: EwsCaller) -> None:
    assert await asking.fault(subscription()) == (500, "ErrorNonExistentMailbox")


async def test_a_subscription_of_another_organisation_is_not_found(tmp_path: Path) -> None:
    asking = ews_caller(tmp_path, events=1, tenants=2)
    name = await subscribed(asking)
    asking.orders.change_account(tenant_id=list(asking.state.tenants)[1], scope="*")
    found = await asking.get(listening(name), impersonated="person.0001@sandbox-2.example")
    assert texts(found, ".//m:ResponseCode") == ["ErrorSubscriptionNotFound"]


async def test_a_connection_can_break_in_the_middle(asking: EwsCaller) -> None:
    name = await subscribed(asking)
    asking.changes.order(Fault(kind=FaultKind.TRUNCATED, match="GetStreamingEvents"))
    chunks = await opened(asking, name, minutes=30)
    assert texts(await read(chunks), ".//m:ConnectionStatus") == ["OK"]
    asking.changes.add_event(PERSON, item())
    with pytest.raises(etree.XMLSyntaxError):
        await read(chunks)
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)
