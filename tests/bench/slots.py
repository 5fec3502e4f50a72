"""Finding time for a hundred people over four weeks: what an answer costs inside the server, and which part of it."""

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import ClientSession, web
from sqlalchemy import insert

from services.publisher.access import Org, org_of
from services.publisher.consumers import add
from services.publisher.finding.answers import SlotsAsked
from services.publisher.finding.line import blocks_within
from services.publisher.finding.reading import lines
from services.publisher.finding.search import answered
from services.publisher.finding.sought import Sought, sought_of
from services.publisher.finding.standing import Standing, standing_of
from services.publisher.operations import Handler
from services.publisher.web import application
from shared.contracts.values import DAY, WorkingHours, WorkPeriod
from shared.health import Health
from shared.migrate import upgrade
from shared.store import Store, open_store
from shared.tables import timelines
from tests.bench.surroundings import Servers
from tests.unit.publisher.readings import MONDAY, connect

PEOPLE: Final = 100
MEETINGS: Final = 160  # of each, in four weeks
WEEKS: Final = 4
LIMIT: Final = 15.0  # ms
TIMES: Final = 60
ZONES: Final = ("Europe/Berlin", "Europe/London", "America/New_York", "Asia/Kolkata")
STATUSES: Final = ("busy", "busy", "busy", "tentative", "oof", "elsewhere")


async def slots(folder: Path, servers: Servers) -> None:
    """Print the server time of an answer on both databases, for lines of four weeks and of a usual window."""
    folder.mkdir(parents=True, exist_ok=True)
    for engine, url in (("SQLite", f"sqlite:///{folder / 'slots.db'}"), ("PostgreSQL", servers.database())):
        await asyncio.to_thread(upgrade, url)
        store = open_store(url)
        try:
            for org, weeks in (("short", WEEKS), ("long", 34)):
                await connect(store, org)
                await _fill(store, org, weeks)
                print(
                    f"\n## Slots on {engine}: {PEOPLE} people x {WEEKS} weeks x {MEETINGS} meetings, {weeks} weeks kept"
                )
                await _served(store, org)
                await _parts(store, org)
        finally:
            await store.close()


def _asked(step: int, **more: Any) -> dict[str, Any]:
    """Return a request over four weeks. With `first` all are required, else three, and the others take part if free."""
    names = [{"mailbox": f"p{number}@example.com"} for number in range(PEOPLE)]
    return {
        "periods": [{"from": "2026-01-05T00:00:00Z", "to": "2026-02-02T00:00:00Z"}],
        "duration_minutes": 30,
        "step_minutes": step,
        "required": names,
    } | more


def _asks() -> dict[str, dict[str, Any]]:
    names = [{"mailbox": f"p{number}@example.com"} for number in range(PEOPLE)]
    few: dict[str, Any] = {"required": names[:3], "optional": names[3:60], "rank": "fewest_conflicts"}
    few["groups"] = [{"name": "one of forty", "need": 1, "members": names[60:]}]
    return {
        "all required, explained, every 30 min": _asked(30),
        "all required, explained, every 5 min": _asked(5),
        "3 required, 57 optional by conflicts, 1 of 40, every 15 min": _asked(15, **few),
        "the same every 5 min": _asked(5, **few),
    }


async def _served(store: Store, org: str) -> None:
    """Print what the handler takes, asked over HTTP: reading the request and the store, searching, encoding."""
    taken: list[float] = []
    worked: list[float] = []

    @web.middleware
    async def timed(request: web.Request, handler: Handler) -> web.StreamResponse:
        before, cpu = time.perf_counter(), time.process_time()
        response = await handler(request)
        taken.append((time.perf_counter() - before) * 1000)
        worked.append((time.process_time() - cpu) * 1000)
        return response

    app = application(store, Health())
    app.middlewares.append(timed)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    token = await add(store, f"bench-{org}", [org], now=MONDAY)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/orgs/{org}/slots"
    async with ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for name, asked in _asks().items():
            taken.clear()
            worked.clear()
            for _ in range(TIMES):
                async with session.post(url, json=asked) as response:
                    answer = await response.json()
                    assert response.status == 200, answer
            median, cpu = statistics.median(taken), statistics.median(worked)
            verdict = "ok" if median <= LIMIT else "MISSED"
            print(f"  {name:<60} median {median:6.2f} ms   best {min(taken):6.2f} ms   CPU {cpu:6.2f} ms   "
                  f"{answer['found']:>5} found   {verdict}")  # fmt: skip
    await runner.cleanup()


async def _parts(store: Store, org_id: str) -> None:
    """Print what each part takes, the best of many times."""
    org = await org_of(store, org_id)
    assert org is not None
    asked = msgspec.convert(_asked(15), SlotsAsked)
    sought = sought_of(asked)
    names = [wish.name for wish in sought.wishes]
    read = min([await _read(store, org, names) for _ in range(TIMES)])
    found = await lines(store, org, names)
    stored = [found[name].blocks for name in names]
    everybody = _everybody(sought, found)
    answer = answered(asked, sought, everybody)
    decoded = _best(lambda: [blocks_within(each, *sought.span) for each in stored])
    print(f"  every 15 min: request {_best(lambda: sought_of(asked)):5.2f} ms   read {read:5.2f} ms   "
          f"decode {decoded:5.2f} ms   mark {_best(lambda: _everybody(sought, found)) - decoded:5.2f} ms   "
          f"search and explain {_best(lambda: answered(asked, sought, everybody)):5.2f} ms   "
          f"encode {_best(lambda: msgspec.json.encode(answer)):5.2f} ms")  # fmt: skip


async def _read(store: Store, org: Org, names: list[str]) -> float:
    before = time.perf_counter()
    await lines(store, org, names)
    return (time.perf_counter() - before) * 1000


def _everybody(sought: Sought, found: dict[str, Any]) -> list[Standing]:
    return [standing_of(sought, wish, found.get(wish.name)) for wish in sought.wishes]


def _best(run: Callable[[], object]) -> float:
    taken = []
    for _ in range(TIMES):
        before = time.perf_counter()
        run()
        taken.append(time.perf_counter() - before)
    return min(taken) * 1000


async def _fill(store: Store, org: str, weeks: int) -> None:
    chance = random.Random(7)
    rows = []
    for number in range(PEOPLE):
        zone = ZONES[number % len(ZONES)]
        hours = WorkingHours(time_zone=zone, periods=tuple(WorkPeriod(day, 480, 1020) for day in range(5)))
        rows.append(
            {
                "org_id": org,
                "mailbox_id": f"p{number}",
                "address": f"p{number}@example.com",
                "generation": 1,
                "version": 1,
                "coverage": "full",
                "bucket": "active",
                "time_zone": zone,
                "window_start": MONDAY - (weeks // 8) * 7 * DAY,
                "window_end": MONDAY + (weeks - weeks // 8) * 7 * DAY,
                "as_of": MONDAY,
                "blocks": msgspec.json.encode(_meetings(chance, weeks)),
                "working_hours": msgspec.json.encode(hours),
            }
        )
    async with store.write() as connection:
        await connection.execute(insert(timelines), rows)


def _meetings(chance: random.Random, weeks: int) -> list[tuple[int, int, str]]:
    """Return eight meetings on each working day, of 15 to 60 minutes from 7 to 19 o'clock, none of which overlap."""
    found = []
    for day in range(-(weeks // 8) * 7, (weeks - weeks // 8) * 7):
        if day % 7 > 4:
            continue
        begins = sorted(chance.sample(range(28, 76), MEETINGS // WEEKS // 5))
        for begin, following in zip(begins, [*begins[1:], 76], strict=True):
            start, end = begin * 900, min(begin + chance.choice((1, 2, 4)), following) * 900
            found.append((MONDAY + day * DAY + start, MONDAY + day * DAY + end, chance.choice(STATUSES)))
    return found
