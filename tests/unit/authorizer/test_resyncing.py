"""Reading again: who is asked for, by which lane, spread over time; the fetcher's rows are left alone."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from services.authorizer import resyncing
from services.fetcher.directory import PUBLISHED
from shared import clock
from shared.broker import Outgoing
from shared.broker.topology import route
from shared.contracts.messages import MailboxRead
from shared.store import Store
from shared.tables import mailboxes, orgs
from tests.unit.authorizer.console.test_leaving_pages import EXCHANGE
from tests.unit.authorizer.console.town import connected, put, stands


class Wire:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.pages: list[list[Outgoing]] = []

    async def publish(self, messages: Sequence[Any]) -> None:
        self.pages.append([one if isinstance(one, Outgoing) else Outgoing(one) for one in messages])

    @property
    def jobs(self) -> list[MailboxRead]:
        found = [outgoing.message for page in self.pages for outgoing in page]
        assert all(isinstance(one, MailboxRead) for one in found)
        return found  # type: ignore[return-value]


@pytest.fixture
def wire() -> Any:
    return Wire()


async def rows(store: Store) -> list[Any]:
    async with store.read() as reading:
        return list(await reading.execute(select(mailboxes).order_by(mailboxes.c.mailbox_id)))


async def test_everybody_who_is_read_is_asked_for_and_nobody_else(both: Store, wire: Any) -> None:
    await connected(both)
    for number, bucket in enumerate(("active", "failing", "denied", "guest", "no_mailbox", "removed", "excluded")):
        await put(both, number, bucket=bucket, covered=False)
    await put(both, 8, generation=9, covered=False)
    await put(both, 9, org_id="beta", covered=False)
    before = await rows(both)
    assert await resyncing.everything(both, wire, "acme", now=clock.now()) == 3
    assert [job.mailbox_id for job in wire.jobs] == ["m00000", "m00001", "m00002"]
    assert await rows(both) == before


async def test_readings_are_spread_so_that_nobody_waits_behind_all_of_them(
    both: Store, wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resyncing, "PAGE", 2)
    await connected(both)
    for number in range(5):
        await put(both, number, covered=False)
    await resyncing.everything(both, wire, "acme", now=clock.now())
    delays = [[outgoing.delay for outgoing in page] for page in wire.pages]
    assert delays == [[0.0, 0.0], [resyncing.SPREAD] * 2, [2 * resyncing.SPREAD]]


async def test_the_directory_is_searched_at_once(both: Store, wire: Any) -> None:
    await connected(both)
    await stands(both, enumerate_at=clock.now() + 86_400)
    now = clock.now()
    await resyncing.everything(both, wire, "acme", now=now)
    async with both.read() as reading:
        assert (await reading.execute(select(orgs.c.enumerate_at))).scalar_one() == now


async def test_mailboxes_of_exchange_have_their_own_lane(both: Store, wire: Any) -> None:
    await connected(both, connection=EXCHANGE)
    one = await put(both, 1, covered=False)
    await resyncing.everything(both, wire, "acme", now=clock.now())
    await resyncing.one(both, wire, "acme", one, now=clock.now())
    assert [route(job) for job in wire.jobs] == ["mailbox.read.v1.exchange", "mailbox.read.v1.live"]


async def test_one_goes_ahead_of_all_that_waits(both: Store, wire: Any) -> None:
    await connected(both)
    one = await put(both, 1, covered=False)
    assert await resyncing.one(both, wire, "acme", one, now=7)
    (job,) = wire.jobs
    assert (job.mailbox_id, job.since, job.live, job.generation) == (one, 7, True, 1)


@pytest.mark.parametrize("state", ["attention", "requested", "refused", "disconnecting"])
async def test_nobody_is_asked_for_while_the_org_is_not_connected(both: Store, wire: Any, state: str) -> None:
    await connected(both)
    one = await put(both, 1, covered=False)
    await stands(both, state=state)
    assert not await resyncing.one(both, wire, "acme", one, now=7)
    assert await resyncing.everything(both, wire, "acme", now=7) == 0
    assert wire.jobs == []


def test_only_mailboxes_that_consumers_know_of_are_asked_for() -> None:
    assert set(resyncing.READ) == set(PUBLISHED)
