"""An org that left: the normalizer forgets what waits for it, and says so."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from services.normalizer.purging import purges
from shared.broker import Broker, Delivery, open_broker
from shared.contracts.messages import MailboxRead, Message, OrgPurge, OrgPurged, Purged
from shared.errors import Reject
from tests.unit.normalizer.events import MONDAY, reading

ONCE = Delivery("id", 1, redelivered=False, published_at=MONDAY)


def purge(service: Purged = "normalizer", *, generation: int = 1) -> OrgPurge:
    return OrgPurge(org_id="acme", generation=generation, purge_id="0" * 32, service=service)


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    opened = open_broker("memory://")
    yield opened
    await opened.close()


async def test_what_waits_of_the_org_is_forgotten_and_counted(broker: Broker) -> None:
    live = msgspec.structs.replace(reading(), live=True)
    await broker.publish([reading(), live, msgspec.structs.replace(reading(), org_id="beta")])
    for expected in (2, 0):
        done = await purges(broker)(purge(), ONCE)
        assert done.messages == (
            OrgPurged(org_id="acme", purge_id="0" * 32, service="normalizer", counts={"messages": expected}),
        )
    assert [await broker.depth(f"normalizer.{lane}") for lane in ("live", "snapshots")] == [0, 1]


async def test_what_a_newer_generation_has_waiting_stays(broker: Broker) -> None:
    await broker.publish([msgspec.structs.replace(reading(), generation=2)])
    await purges(broker)(purge(generation=1), ONCE)
    assert await broker.depth("normalizer.snapshots") == 1


@pytest.mark.parametrize("stray", [purge("publisher"), MailboxRead(org_id="a", generation=1, mailbox_id="m", since=0)])
async def test_what_is_not_its_purge_is_refused_without_an_effect(broker: Broker, stray: Message) -> None:
    await broker.publish([reading()])
    with pytest.raises(Reject, match="unexpected_type"):
        await purges(broker)(stray, ONCE)
    assert await broker.depth("normalizer.snapshots") == 1
