"""What every request passes: one look at the token, a rate, a count; over HTTP as consumers see it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession
from msgspec import Struct
from sqlalchemy import event

from services.publisher import accounting, api, consumers
from services.publisher.gate import AMPLE, Gate, _site
from services.publisher.rates import Rate
from services.publisher.timelines import publish
from services.publisher.web import served
from shared.health import Health
from shared.store import Store, open_store
from tests.integration.asking import put_mailbox
from tests.unit.publisher.readings import MONDAY, connect, snapshot

STATUS = "/v1/orgs/acme/status"
SLOW = Rate(per_minute=1, burst=3)


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = open_store(sqlite_url)
    await connect(opened)
    await put_mailbox(opened, "m-0001")
    await publish(opened, [snapshot()], now=MONDAY)
    yield opened
    await opened.close()


class Server(Struct, frozen=True):
    """A server with a gate of the test's own."""

    session: ClientSession
    url: str
    gate: Gate
    store: Store

    async def get(self, path: str, token: str = "", **rest: Any) -> ClientResponse:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(
            rest.pop("method", "GET"), self.url + path, headers=headers, **rest
        ) as response:
            if response.content_type != "text/event-stream":
                await response.read()
            return response

    async def counted(self, name: str = "crm") -> dict[tuple[str, str, int], int]:
        await self.gate.tally.write(self.store)
        rows = await accounting.counted(self.store, name, since=0)
        return {(row.operation, row.org_id, row.status): count for row, count in rows}


@asynccontextmanager
async def serving(store: Store, *, each: Rate = AMPLE, strangers: Rate = AMPLE) -> AsyncIterator[Server]:
    gate = Gate(api.OPERATIONS, each=each, strangers=strangers)
    async with (
        served(store, Health(), host="127.0.0.1", port=0, gate=gate) as port,
        ClientSession() as session,
    ):
        yield Server(session, f"http://127.0.0.1:{port}", gate, store)


async def test_every_answer_to_a_consumer_says_how_it_stands(store: Store) -> None:
    token = await consumers.add(store, "crm", ["acme"], now=MONDAY)
    async with serving(store, each=Rate(per_minute=60, burst=10)) as server:
        paths = (STATUS, "/v1/orgs/other/status", f"{STATUS}?wrong=1", "/v1/webhooks")
        answers = [await server.get(path, token) for path in paths]
        assert [answer.status for answer in answers] == [200, 404, 422, 200]
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"requests";q=10;w=10'}
        assert [answer.headers["RateLimit"].split(";")[1] for answer in answers] == ["r=9", "r=8", "r=7", "r=6"]
        for path in ("/openapi.json", "/livez", "/nowhere"):
            assert "RateLimit" not in (await server.get(path, token)).headers


async def test_who_asks_too_often_is_told_when_to_come_back_and_nobody_else_is(store: Store) -> None:
    token = await consumers.add(store, "crm", ["acme"], now=MONDAY)
    other = await consumers.add(store, "bi", ["*"], now=MONDAY)
    async with serving(store, each=SLOW) as server:
        answers = [await server.get(STATUS, token) for _ in range(5)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
        refused = answers[-1]
        assert refused.content_type == "application/problem+json"
        wait = int(refused.headers["Retry-After"])
        assert 1 <= wait <= 60
        assert refused.headers["RateLimit"] == f'"requests";r=0;t={wait}'
        assert (await server.get(STATUS, other)).status == 200
        assert await server.counted() == {("orgStatus", "acme", 200): 3, ("orgStatus", "acme", 429): 2}


async def test_guessing_tokens_is_slow_and_stops_nobody_who_was_known_before(store: Store) -> None:
    token = await consumers.add(store, "crm", ["acme"], now=MONDAY)
    async with serving(store, strangers=SLOW) as server:
        assert (await server.get(STATUS, token)).status == 200
        guesses = [await server.get(STATUS, f"busyline_{n:043}") for n in range(4)]
        assert [guess.status for guess in guesses] == [401, 401, 401, 429]
        assert int(guesses[-1].headers["Retry-After"]) >= 1
        assert (await server.get(STATUS, token)).status == 200
        assert (await server.get(STATUS)).status == 401  # who brings no token guesses nothing


async def test_many_consumers_at_one_address_who_are_new_to_a_process_are_no_strangers(store: Store) -> None:
    tokens = [await consumers.add(store, f"app-{n}", ["acme"], now=MONDAY) for n in range(9)]
    async with serving(store, strangers=SLOW) as server:
        answers = await asyncio.gather(*(server.get(STATUS, token) for token in tokens for _ in range(3)))
        assert {answer.status for answer in answers} == {200}


async def test_guessing_secret_addresses_is_slow_and_a_feed_that_was_read_before_is_read_on(store: Store) -> None:
    token = await consumers.add(store, "crm", ["acme"], now=MONDAY)
    async with serving(store, strangers=SLOW) as server:
        made = await server.session.post(
            f"{server.url}/v1/orgs/acme/mailboxes/m-0001/feeds", headers={"Authorization": f"Bearer {token}"}
        )
        path = (await made.json())["path"]
        assert (await server.get(path)).status == 200
        guesses = [await server.get(f"/v1/calendars/{n:043}.ics") for n in range(4)]
        assert [guess.status for guess in guesses] == [404, 404, 404, 429]
        assert (await server.get(path)).status == 200
        assert await server.counted() == {("makeFeed", "acme", 201): 1, ("calendar", "acme", 200): 2}


async def test_a_feed_is_held_to_a_rate_of_its_own(store: Store) -> None:
    token = await consumers.add(store, "crm", ["acme"], now=MONDAY)
    async with serving(store, each=SLOW) as server:
        made = await server.session.post(
            f"{server.url}/v1/orgs/acme/mailboxes/m-0001/feeds", headers={"Authorization": f"Bearer {token}"}
        )
        path = (await made.json())["path"]
        answers = [await server.get(path) for _ in range(6)]
        assert [answer.status for answer in answers] == [200, 200, 200, 200, 429, 429]  # the first was a stranger's
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert (await server.get(STATUS, token)).status == 200


async def test_a_token_that_was_removed_is_void_at_once_and_a_stranger_from_then_on(store: Store) -> None:
    token = await consumers.add(store, "crm", ["acme"], now=MONDAY)
    async with serving(store, strangers=SLOW) as server:
        assert (await server.get(STATUS, token)).status == 200
        await consumers.remove(store, "crm")
        assert [(await server.get(STATUS, token)).status for _ in range(4)] == [401, 401, 401, 429]


async def test_the_token_is_looked_up_once_a_request(store: Store) -> None:
    token = await consumers.add(store, "crm", ["acme"], now=MONDAY)
    asked: list[str] = []
    async with serving(store) as server:
        event.listen(
            store.engine.sync_engine, "before_cursor_execute", lambda *told: asked.append(told[2]), named=False
        )
        await server.get(STATUS, token)
        assert sum("FROM consumers" in statement for statement in asked) == 1


async def test_every_access_is_counted_by_what_was_asked_and_how_it_was_answered(store: Store) -> None:
    token = await consumers.add(store, "crm", ["acme"], now=MONDAY)
    async with serving(store) as server:
        await server.get(STATUS, token, method="HEAD")
        await server.get(STATUS, token)
        await server.get("/v1/orgs/beta/status", token)  # beyond its scope: the org is not named
        await server.get("/v1/updates?org=acme&after=0", token)
        await server.get("/v1/stream?org=acme", token)  # a stream counts when it begins
        await server.get("/v1/webhooks", token)
        await server.get("/nowhere", token)
        await server.get(STATUS, "busyline_" + "x" * 43)
        assert await server.counted() == {
            ("orgStatus", "acme", 200): 2,
            ("orgStatus", "", 404): 1,
            ("listUpdates", "acme", 200): 1,
            ("stream", "acme", 200): 1,
            ("listWebhooks", "", 200): 1,
        }


async def test_what_was_asked_last_is_counted_when_the_server_ends(store: Store) -> None:
    token = await consumers.add(store, "crm", ["acme"], now=MONDAY)
    async with serving(store) as server:
        await server.get(STATUS, token)
    assert [count for _, count in await accounting.counted(store, "crm", since=0)] == [1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        (None, "", True),
    ],
)
def test_one_stranger_is_an_address_or_all_addresses_of_one_site(one: str | None, other: str, *, same: bool) -> None:
    assert (_site(one) == _site(other)) is same
