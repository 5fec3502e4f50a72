"""What a request may bring over time and in its words, alike on SQLite and PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from sqlalchemy import event
from yarl import URL

from services.publisher import accounting, api, consumers
from services.publisher.gate import Gate
from services.publisher.timelines import publish
from services.publisher.web import served
from shared.health import Health
from shared.store import Store, open_store
from tests.unit.publisher.readings import MONDAY, busy, connect, snapshot
from tests.waiting import until

FROM, TO = "2026-01-05T08:00:00Z", "2026-01-05T12:00:00Z"


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    await publish(opened, [snapshot(busy(9, 10))], now=MONDAY)
    yield opened
    await opened.close()


def bodies(name: str) -> dict[str, object]:
    """Return a good request about a mailbox for each operation that takes one in its body."""
    return {
        "free-busy": {"mailboxes": [name], "from": FROM, "to": TO},
        "freeBusy": {"timeMin": FROM, "timeMax": TO, "items": [{"id": name}]},
        "getSchedule": {"schedules": [name], "startTime": {"dateTime": FROM}, "endTime": {"dateTime": TO}},
        "slots": {"periods": [{"from": FROM, "to": TO}], "duration_minutes": 60, "required": [{"mailbox": name}]},
    }


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


async def test_a_token_removed_or_narrowed_while_a_body_is_long_in_coming_reads_nothing(store: Store) -> None:
    gone, narrowed = [await consumers.add(store, name, ["acme"], now=MONDAY) for name in ("gone", "narrowed")]
    rest, looked_up = asyncio.Event(), []
    event.listen(store.engine.sync_engine, "after_cursor_execute", lambda *told: looked_up.append(told[2]), named=False)
    async with served(store, Health(), host="127.0.0.1", port=0) as port, ClientSession() as session:

        async def ask(token: str, path: str, body: bytes) -> tuple[int, str]:
            async def slowly() -> AsyncIterator[bytes]:
                yield body[:9]
                await rest.wait()
                yield body[9:]

            url = f"http://127.0.0.1:{port}/v1/orgs/acme/{path}"
            async with session.post(url, data=slowly(), headers=bearing(token)) as response:
                return response.status, str((await response.json())["code"])

        wanted = [(path, json.dumps(body).encode()) for path, body in bodies("m-0001").items()]
        asking = [asyncio.create_task(ask(token, *each)) for token in (gone, narrowed) for each in wanted]
        await until(lambda: sum("FROM consumers" in each for each in looked_up) == len(asking), 30)
        await consumers.remove(store, "gone")
        await consumers.rescope(store, "narrowed", ["beta"])
        rest.set()
        answers = await asyncio.gather(*asking)
    assert answers == [(401, "unauthorized")] * 4 + [(404, "org_unknown")] * 4


async def test_words_that_no_database_holds_are_names_of_nothing(store: Store) -> None:
    token = await consumers.add(store, "crm", ["*"], now=MONDAY)
    gate = Gate(api.OPERATIONS)
    async with served(store, Health(), host="127.0.0.1", port=0, gate=gate) as port, ClientSession() as session:
        root = f"http://127.0.0.1:{port}/v1/orgs"
        for path, body in bodies("m\0x").items():
            async with session.post(f"{root}/acme/{path}", json=body, headers=bearing(token)) as response:
                assert (path, response.status) == (path, 200)
        async with session.get(URL(f"{root}/a%00b/status", encoded=True), headers=bearing(token)) as response:
            assert response.status == 404
        await gate.tally.write(store)
    rows = await accounting.counted(store, "crm", since=0)
    assert {(row.operation, row.org_id, row.status) for row, _ in rows} >= {("orgStatus", "", 404)}
    assert sum(count for _, count in rows) == 5
