"""A replica ends exactly in the publisher's state over SSE and over AMQP, whatever happens to it on the way."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from services.publisher import consumers
from shared.broker import address, declare
from shared.client import Refused, Replica, follow, following, pauses
from shared.client.updates import Update
from tests.pipeline.client_office import Office, office, proxy
from tests.pipeline.client_running import process, queue_is_new, running
from tests.waiting import until


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST", 0.02)
    monkeypatch.setattr(pauses, "LONGEST", 0.1)
    monkeypatch.setattr(following, "LOOK_AGAIN", 0.2)


@pytest.fixture(params=["sse", "amqp"])
def amqp(request: pytest.FixtureRequest) -> str:
    """The URL of a RabbitMQ without our queue, or nothing: over SSE."""
    if request.param == "sse":
        return ""
    url = str(request.getfixturevalue("amqp_url"))
    declare.ensure(address.parse(url))
    queue_is_new(url)
    return url


@pytest.fixture
async def publisher(sqlite_url: str, amqp: str) -> AsyncIterator[Office]:
    async with office(sqlite_url, amqp or "memory://") as found:
        yield found


async def test_a_client_killed_at_any_moment_ends_where_the_publisher_is(
    publisher: Office, amqp: str, tmp_path: Path
) -> None:
    path = tmp_path / "replica.db"
    await publisher.stir(30)
    with Replica(path) as seen:
        for moment in (0, 40):  # as soon as it holds so much more than before
            before = seen.position or 0
            async with process(path, publisher, amqp) as client:
                await until(lambda: (seen.position or 0) > 0 or client.returncode is not None, 60)
                for _ in range(moment):
                    await publisher.stir(1)
            await publisher.stir(20)
            assert (seen.position or 0) >= before
        async with process(path, publisher, amqp):
            await publisher.stir(20)
            await publisher.reached_by(seen)


async def test_a_flapping_network_changes_nothing_in_the_end(publisher: Office, amqp: str) -> None:
    chance = Random(3)
    await publisher.stir(40)
    async with contextlib.AsyncExitStack() as stack:
        before_http = await stack.enter_async_context(proxy(publisher.port, chance))
        ways = [before_http]
        if amqp:
            port = int(amqp.rpartition(":")[2].split("/")[0])
            ways.append(await stack.enter_async_context(proxy(port, chance)))
            amqp = amqp.replace(str(port), str(ways[-1].port))
        replica = stack.enter_context(contextlib.closing(Replica()))
        http = replace(publisher.http, url=f"http://127.0.0.1:{before_http.port}")
        async with running(replica, http, amqp):
            for number in range(1, 4):
                await until(lambda seen=number: replica.stats.connections >= seen, 60)
                for each in ways:
                    each.flapping = True
                    each.cut()
                await publisher.stir(15)
                few = 4 * number
                await until(lambda few=few: replica.stats.connected or sum(each.cuts for each in ways) >= few, 60)
                for each in ways:
                    each.flapping = False
                    each.cut()
            await publisher.stir(15)
            await publisher.reached_by(replica)
            assert replica.stats.connections >= 3


async def test_away_past_what_is_kept_it_takes_a_snapshot_anew(publisher: Office, amqp: str, tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    await publisher.stir(30)
    with Replica(path) as replica:
        async with running(replica, publisher.http, amqp):
            await publisher.reached_by(replica)
    await publisher.stir(100)
    await publisher.forget()
    if amqp:
        queue_is_new(amqp)  # it was made anew
    with Replica(path) as replica:
        async with running(replica, publisher.http, amqp):
            await publisher.reached_by(replica)
        assert (replica.stats.snapshots, replica.stats.gaps) == (1, 1)


class Slow(Replica):
    """A replica on a slow disk."""

    def told(self, updates: tuple[Update, ...], position: int | None) -> None:  # type: ignore[override]
        time.sleep(0.01)
        super().told(updates, position)

    def brought(self, updates: tuple[Update, ...]) -> None:  # type: ignore[override]
        time.sleep(0.01)
        super().brought(updates)


async def test_a_slow_client_ends_where_the_publisher_is(publisher: Office, amqp: str) -> None:
    with Slow() as replica:
        async with running(replica, publisher.http, amqp):
            await publisher.stir(120)
            await publisher.reached_by(replica)


async def test_a_mailbox_erased_and_an_org_that_left_are_held_no_more(publisher: Office, amqp: str) -> None:
    await publisher.stir(30)
    with Replica() as replica:
        async with running(replica, publisher.http, amqp) as task:
            await publisher.reached_by(replica)
            await publisher.publish("m-1", lot=1.0)
            await publisher.publish("m-1", lot=0.09)
            await until(lambda: replica.mailbox("m-1@example.com") is None, 60)
            await publisher.leave()
            await until(lambda: replica.mailboxes() == (), 60)
            await publisher.come_back()
            await publisher.stir(30)
            await publisher.reached_by(replica)
            assert replica.mailboxes() != ()
            assert not task.done()


@pytest.mark.parametrize("amqp", ["sse"], indirect=True)
@pytest.mark.usefixtures("amqp")
async def test_a_token_that_is_void_ends_it(publisher: Office) -> None:
    await consumers.remove(publisher.store, "tests")
    with Replica() as replica, pytest.raises(Refused, match="unauthorized"):
        await asyncio.wait_for(follow(replica, publisher.http), 30)


@pytest.mark.parametrize("amqp", ["sse"], indirect=True)
@pytest.mark.usefixtures("amqp")
async def test_an_org_that_was_never_seen_ends_it(publisher: Office) -> None:
    with Replica() as replica, pytest.raises(Refused, match="org_unknown"):
        await asyncio.wait_for(follow(replica, replace(publisher.http, orgs=("acme", "other"))), 30)
