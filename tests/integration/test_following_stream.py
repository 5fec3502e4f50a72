"""The stream of server-sent events: what comes, when it ends, who is dropped, and how one goes on."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from sqlalchemy import delete, select

from services.publisher import __main__ as publisher
from services.publisher import following as followings
from services.publisher import log, sse, tail
from services.publisher.bell import Bell
from services.publisher.consumers import add, remove
from services.publisher.departure import depart
from services.publisher.following import Following, Limits
from services.publisher.log import LogPage, PositionGone, Scope
from services.publisher.settings import Settings
from services.publisher.timelines import publish
from services.publisher.web import served
from shared.broker import open_broker
from shared.config import Deployment
from shared.errors import Retry
from shared.health import Health
from shared.process import Rim
from shared.store import Store, open_store
from shared.tables import orgs, updates
from tests.unit.publisher.busy_world import World
from tests.unit.publisher.flapping import flapping
from tests.unit.publisher.followers import Follower, frames, published
from tests.unit.publisher.readings import MONDAY, busy, connect, snapshot
from tests.waiting import until

FOREVER = ClientTimeout(total=None, sock_read=60)


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = open_store(sqlite_url)
    await connect(opened)
    await connect(opened, "beta")
    yield opened
    await opened.close()


class Place:
    """A server, and one client's way to it."""

    def __init__(self, session: ClientSession, port: int, following: Following, token: str) -> None:
        self.session = session
        self.port = port
        self.following = following
        self.bearer = {"Authorization": f"Bearer {token}"}

    @asynccontextmanager
    async def opened(self, query: str = "", **headers: str) -> AsyncIterator[ClientResponse]:
        """Open a stream."""
        url = f"http://127.0.0.1:{self.port}/v1/stream{query}"
        async with self.session.get(url, headers=self.bearer | headers, timeout=FOREVER) as response:
            yield response
            response.close()


@pytest.fixture
async def place(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setattr(followings, "LOOKED_AT", 0.05)
    following = Following(store, Bell(), Limits(each=3, total=4))
    token = await add(store, "app", ["acme"], now=MONDAY)
    async with (
        served(store, Health(), host="127.0.0.1", port=0, following=following) as port,
        ClientSession() as session,
    ):
        yield Place(session, port, following, token)


async def tell(store: Store, number: int, *, org_id: str = "acme", version: int = 1) -> None:
    """Publish so many mailboxes."""
    found = [
        snapshot(busy(version, version + 1), org_id=org_id, mailbox_id=f"m-{each}", version=version)
        for each in range(number)
    ]
    await publish(store, found, now=MONDAY)


async def taken(response: ClientResponse, number: int) -> list[dict[str, str]]:
    """Return the next so many events with an id; comments and pauses are passed over."""
    found: list[dict[str, str]] = []
    async for fields in frames(response.content.iter_any()):
        found += [fields] if "id" in fields else []
        if len(found) == number:
            break
    return found


async def test_a_stream_begins_now_and_tells_what_comes(store: Store, place: Place) -> None:
    await tell(store, 2)
    async with place.opened() as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        assert "Content-Encoding" not in response.headers
        (first,) = await taken(response, 1)
        assert first == {"id": "2", "event": "position", "data": "2"}
        await tell(store, 1, version=2)
        (told,) = await taken(response, 1)
    event = json.loads(told["data"])
    assert (told["id"], told["event"]) == ("3", event["type"])
    assert (event["sequence"], event["data"]["version"]) == ("0000000000000000003", 2)


async def test_a_stream_goes_on_from_the_last_id_or_from_a_position(store: Store, place: Place) -> None:
    await tell(store, 3)
    async with place.opened("?after=1") as response:
        assert [each["id"] for each in await taken(response, 3)] == ["1", "2", "3"]
    async with place.opened("?after=1&org=acme", **{"Last-Event-ID": "2"}) as response:
        assert [each["id"] for each in await taken(response, 2)] == ["2", "3"]
    async with place.opened(**{"Last-Event-ID": "yesterday"}) as response:
        assert (response.status, (await response.json())["field"]) == (422, "Last-Event-ID")


async def test_a_quiet_client_hears_where_to_go_on(store: Store, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place.opened("?after=0") as response:
        await taken(response, 1)
        monkeypatch.setattr(sse, "QUIET", 0.0)
        await tell(store, 5, org_id="beta")
        assert await taken(response, 1) == [{"id": "5", "event": "position", "data": "5"}]
        assert b":" in await response.content.readany()


async def test_head_says_what_there_would_be_and_begins_nothing(place: Place) -> None:
    url = f"http://127.0.0.1:{place.port}/v1/stream"
    async with place.session.head(url, headers=place.bearer) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
    assert place.following.followers == 0


async def test_a_token_that_became_void_ends_its_streams(store: Store, place: Place) -> None:
    async with place.opened("?after=0") as response:
        await taken(response, 1)
        await remove(store, "app")
        assert b"data" not in await response.content.read()
    async with place.opened("?after=0") as response:
        assert response.status == 401


async def test_an_org_that_left_is_told_and_then_its_stream_ends(store: Store, place: Place) -> None:
    async with place.opened("?after=0&org=acme") as response:
        await taken(response, 1)
        await connect(store, generation=2, state="disconnecting")
        await depart(store, "acme", 2, now=MONDAY)
        async with store.write() as connection:
            await connection.execute(delete(orgs).where(orgs.c.org_id == "acme"))
        told = [each async for each in frames(response.content.iter_any())]  # until the server ends it
        assert [each["event"] for each in told if each.get("event") != "position" and each] == ["org.removed.v1"]
    async with place.opened("?after=1&org=acme") as response:
        assert response.status == 404


async def test_more_streams_than_allowed_are_refused_until_one_ends(store: Store, place: Place) -> None:
    other = {"Authorization": f"Bearer {await add(store, 'other', ['acme'], now=MONDAY)}"}
    async with place.opened("?after=0") as one, place.opened("?after=0"):
        async with place.opened("?after=0"):
            async with place.opened("?after=0") as fourth:
                assert (fourth.status, fourth.headers["Retry-After"]) == (429, "10")
            async with place.opened("?after=0", **other), place.opened("?after=0", **other) as fifth:
                assert (fifth.status, (await fifth.json())["code"]) == (503, "too_many_followers")
        await until(lambda: place.following.followers == 2, 60)
        assert one.status == 200
        async with place.opened("?after=0") as again:
            assert again.status == 200


async def test_streams_end_in_order_with_the_server(store: Store) -> None:
    token = await add(store, "app", ["acme"], now=MONDAY)
    async with ClientSession() as session:
        async with served(store, Health(), host="127.0.0.1", port=0) as port:
            url = f"http://127.0.0.1:{port}/v1/stream?after=0"
            response = await session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=FOREVER)
            await taken(response, 1)
        assert await response.content.read() == b""  # a whole answer: a cut one raises
        response.close()


async def test_a_pause_of_the_database_is_waited_for(
    store: Store, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, away = log.page, asyncio.Event()

    async def absent(*_: Any, **__: Any) -> LogPage:
        away.set()
        raise Retry("store_unavailable", counted=False)

    async with place.opened("?after=0") as response:
        await taken(response, 1)
        monkeypatch.setattr(log, "page", absent)
        await asyncio.wait_for(away.wait(), 60)
        await tell(store, 1)
        monkeypatch.setattr(log, "page", read)
        assert [each["id"] for each in await taken(response, 1)] == ["1"]


async def test_a_client_that_does_not_read_is_dropped_and_misses_nothing(
    store: Store, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "PATIENCE", 0.2)
    monkeypatch.setattr(tail, "LINGER", 0.0)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", place.port))
        asked = f"GET /v1/stream?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: {place.bearer['Authorization']}\r\n\r\n"
        slow.sendall(asked.encode())
        await until(lambda: place.following.followers == 1, 60)
        for version in range(1, 60):
            await tell(store, 30, version=version)
            if not place.following.followers:
                break
        await until(lambda: place.following.followers == 0, 60)
    last = await log.head(store)
    async with place.opened("?after=0") as response:
        found = await taken(response, last + 1)
    assert [int(each["id"]) for each in found] == list(range(last + 1))


async def test_what_was_read_more_than_a_moment_ago_is_looked_at_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = Following(store, Bell(), Limits())
    following.tail.want()
    running = asyncio.create_task(following.run())
    await until(lambda: following.tail.position == 0, 60)
    await tell(store, 1)
    await until(lambda: following.tail.position == 1, 60)
    monkeypatch.setattr(tail, "FRESH", -1.0)
    await connect(store, generation=2, shown_from=2)
    found = await following.batch(Scope(None), 0)
    assert found is not None
    assert (found.rows, found.position) == ((), 1)
    following.end()
    await running


async def test_all_at_one_place_share_one_reading(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await tell(store, 3)
    following = Following(store, Bell(), Limits())
    following.tail.position = 3
    readings: list[int] = []
    read = log.page_from

    async def counted(*given: Any, **named: Any) -> LogPage:
        readings.append(named["after"])
        return await read(*given, **named)

    monkeypatch.setattr(log, "page_from", counted)
    found = await asyncio.gather(*(following.batch(Scope(frozenset({"acme"})), 0) for _ in range(50)))
    assert (readings, len({id(each) for each in found})) == ([0], 1)


async def standing(store: Store) -> list[int]:
    """Return the positions that are in the log."""
    async with store.read() as connection:
        return list((await connection.execute(select(updates.c.position).order_by(updates.c.position))).scalars())


@pytest.mark.parametrize("surface", ["stream", "feed"])
async def test_a_flapping_network_loses_nothing(store: Store, surface: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "QUIET", 0.05)
    chance = random.Random(7)
    world = World(store)
    await world.begin(chance)
    done = asyncio.Event()

    async def publishing() -> None:
        for _ in range(120):
            await world.step(chance.choice(["publish", "publish", "move", "fail"]))
        await world.settle()
        done.set()

    async with (
        served(store, Health(), host="127.0.0.1", port=0) as port,
        flapping(port, lambda: chance.choice([100, 900, 3000, 9000])) as network,
        ClientSession() as session,
    ):
        follower = Follower(session, f"http://127.0.0.1:{network.port}", world.token, "acme", "beta")
        follower.replica.position = 0
        work = asyncio.create_task(publishing())
        while not (done.is_set() and follower.replica.position >= await log.head(store)):
            try:
                await (follower.listen(most=1 << 30, quiet=1) if surface == "stream" else follower.read(limit=20))
            except (ClientError, OSError):
                await asyncio.sleep(0)
        await work
    assert network.cut > 3
    assert follower.replica.held() == await published(store, "acme", "beta")
    assert sorted(follower.replica.seen) == await standing(store)  # no gaps
    assert follower.replica.duplicates == 0  # what was not taken whole was not taken


async def test_a_client_killed_between_taking_and_noting_hears_again_what_it_took(store: Store, place: Place) -> None:
    await tell(store, 4)
    follower = Follower(place.session, f"http://127.0.0.1:{place.port}", "", "acme")
    follower.bearer, follower.replica.position = place.bearer, 0
    await follower.read(limit=3, keep=False)
    async with place.opened("?after=0") as response:
        for fields in await taken(response, 5):
            follower.take(fields)
    assert (follower.replica.duplicates, len(follower.replica.seen)) == (3, 4)
    assert follower.replica.held() == await published(store, "acme")


async def test_what_the_publisher_reads_is_on_the_stream_and_in_the_feed(sqlite_url: str) -> None:
    broker, store = open_broker("memory://following"), open_store(sqlite_url)
    await connect(store)
    bearer = {"Authorization": f"Bearer {await add(store, 'app', ['acme'], now=MONDAY)}"}
    rim = Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health())
    ports: asyncio.Queue[int] = asyncio.Queue()
    running = asyncio.create_task(publisher.run(Deployment(), Settings(port=0), rim, bound=ports.put_nowait))
    url = f"http://127.0.0.1:{await asyncio.wait_for(ports.get(), 60)}"
    async with ClientSession(headers=bearer, timeout=FOREVER) as session:
        response = await session.get(f"{url}/v1/stream?after=0")
        asked = asyncio.create_task(session.get(f"{url}/v1/updates?after=0&wait=60"))
        await taken(response, 1)
        await broker.publish([snapshot(busy(1, 2))])
        (streamed,) = await taken(response, 1)
        fed = await (await asked).json()
        rim.stop.set()
        assert await response.content.read() == b""
        await running
    assert [json.loads(streamed["data"])] == fed["updates"]
    await broker.close()
    await store.close()


async def test_a_stream_that_fell_behind_what_is_kept_ends(
    store: Store, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgotten(*_: Any, **__: Any) -> LogPage:
        raise PositionGone("position_forgotten")

    monkeypatch.setattr(tail, "FRESH", -1.0)  # everybody reads from the log
    monkeypatch.setattr(log, "page_from", forgotten)
    async with place.opened("?after=0") as response:
        await tell(store, 1)
        assert b"updated" not in await response.content.read()
