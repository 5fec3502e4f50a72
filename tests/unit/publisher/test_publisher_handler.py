"""Readings are published; any other message is refused before it has an effect."""

import pytest

from services.publisher.handler import handler
from services.publisher.plan import Found, Outcome
from services.publisher.purging import purges
from shared.broker import Delivery, Done, open_broker
from shared.contracts.messages import MailboxRead, Message, OrgPurge
from shared.contracts.values import Bucket
from shared.errors import Reject
from shared.store import open_store
from tests.unit.publisher.readings import MONDAY, snapshot, unreadable

ONCE = Delivery("id", 1, redelivered=False, published_at=MONDAY)


class Published:
    """Notes what it was asked to publish."""

    def __init__(self) -> None:
        self.found: list[Found] = []

    async def __call__(self, found: Found) -> Outcome:
        self.found.append(found)
        return Outcome.PUBLISHED


@pytest.mark.parametrize("message", [snapshot(), unreadable(Bucket.DENIED)])
async def test_a_reading_is_published_and_nothing_is_sent_on(message: Found) -> None:
    published = Published()
    assert await handler(published)(message, ONCE) == Done()
    assert published.found == [message]


async def test_any_other_message_is_refused_without_an_effect() -> None:
    published = Published()
    stray: Message = MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=0)
    with pytest.raises(Reject) as refusal:
        await handler(published)(stray, ONCE)
    assert (refusal.value.reason, published.found) == ("unexpected_type", [])


@pytest.mark.parametrize(
    "stray",
    [
        OrgPurge(org_id="acme", generation=1, purge_id="0" * 32, service="fetcher"),
        MailboxRead(org_id="acme", generation=1, mailbox_id="m", since=0),
    ],
)
async def test_what_is_not_its_purge_is_refused_before_anything_is_deleted(stray: Message) -> None:
    store, broker = open_store("postgresql://nobody@127.0.0.1:1/none"), open_broker("memory://")
    woken: list[bool] = []
    try:
        with pytest.raises(Reject, match="unexpected_type"):
            await purges(store, broker, wake=lambda: woken.append(True))(stray, ONCE)
    finally:
        await broker.close()
        await store.close()
    assert woken == []
