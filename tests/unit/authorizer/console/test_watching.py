"""Live progress: one poller an org however many viewers, the newest look only, and an end when nobody looks."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from services.authorizer.console import watching
from services.authorizer.console.watching import MOST_VIEWERS, TooManyViewers, Watch, Watches
from services.authorizer.standing import Standing
from tests.unit.authorizer.console.town import connected, put, searched
from tests.unit.authorizer.console.visiting import Browser, Console
from tests.waiting import until


class Seer:
    """Counts how often it is asked, and fails when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failing = False

    async def __call__(self, org_id: str) -> Standing:
        self.asked.append(org_id)
        if self.failing:
            raise ConnectionError
        return Standing(now=len(self.asked))


@pytest.fixture
def seer() -> Seer:
    return Seer()


async def test_many_viewers_share_one_poller(seer: Seer) -> None:
    watches = Watches(seer)

    async def look() -> int:
        async with watches.watching("acme") as watch:
            found = await watch.news(0, seconds=5)
            assert found is not None
            return found.found.now

    assert await asyncio.gather(*(look() for _ in range(20))) == [1] * 20
    assert seer.asked == ["acme"]


async def test_the_last_viewer_to_leave_ends_the_poller(seer: Seer) -> None:
    watches = Watches(seer)
    async with watches.watching("acme"), watches.watching("beta"):
        assert watches.orgs == 2
    assert watches.orgs == 0


async def test_a_slow_viewer_misses_looks_and_keeps_none(seer: Seer) -> None:
    watch = Watch("acme", seer, pauses=(0.001, 0.001))
    first = await watch.news(0, seconds=5)
    await until(lambda: len(seer.asked) > 50)
    assert first is not None
    second = await watch.news(first.number, seconds=5)
    await watch.end()
    assert second is not None
    assert second.found.now > first.found.now + 10


async def test_a_viewer_is_told_when_there_is_nothing_new(seer: Seer) -> None:
    watch = Watch("acme", seer, pauses=(60, 60))
    seen = await watch.news(0, seconds=5)
    assert seen is not None
    assert await watch.news(seen.number, seconds=0.01) is None
    await watch.end()


async def test_who_has_just_come_is_told_of_nothing_older(seer: Seer) -> None:
    watch = Watch("acme", seer, pauses=(60, 60))
    old = await watch.news(0, seconds=5)
    new = await watch.news(watch.look_anew(), seconds=5)
    await watch.end()
    assert old is not None
    assert new is not None
    assert new.found.now > old.found.now


async def test_however_many_come_looks_are_no_burden(seer: Seer) -> None:
    watch = Watch("acme", seer, pauses=(60, 60))
    await watch.news(0, seconds=5)
    await asyncio.gather(*(watch.news(watch.look_anew(), seconds=5) for _ in range(100)))
    await watch.end()
    assert len(seer.asked) <= 3


async def test_a_store_that_is_away_ends_nothing(seer: Seer) -> None:
    seer.failing = True
    watch = Watch("acme", seer, pauses=(0.001, 0.001))
    await until(lambda: len(seer.asked) > 3)
    seer.failing = False
    assert await watch.news(0, seconds=5) is not None
    await watch.end()


async def test_there_is_a_limit_to_viewers(seer: Seer) -> None:
    watches = Watches(seer)
    async with watches.watching("acme") as watch:
        watch.viewers = MOST_VIEWERS
        with pytest.raises(TooManyViewers):
            async with watches.watching("acme"):
                pass
        watch.viewers = 1


async def test_viewers_go_when_the_page_ends(seer: Seer) -> None:
    watches = Watches(seer)
    async with watches.watching("acme") as watch:
        seen = await watch.news(0, seconds=5)
        assert seen is not None
        waiting = asyncio.create_task(watch.news(seen.number, seconds=60))
        await asyncio.sleep(0)
        await watches.close()
        assert await asyncio.wait_for(waiting, 30) is None
        assert watch.closed


# -- over http --------------------------------------------------------------------------------------------------------


async def events(browser: Browser) -> AsyncGenerator[tuple[str, Any]]:
    """Give the events of the stream as they come."""
    async with browser.client.get("/setup/status/events") as answer:
        assert answer.content_type == "text/event-stream"
        name = ""
        async for raw in answer.content:
            line = raw.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def watches_of(console: Console) -> Watches:
    server: Any = console.client.server
    found: Watches = server.app[watching.WATCHES]
    return found


@pytest.fixture
def quick(console: Console) -> None:
    watches_of(console).pauses = (0.02, 0.02)


@pytest.mark.usefixtures("quick")
async def test_a_viewer_sees_progress_grow_until_it_is_enabled(console: Console) -> None:
    await connected(console.store)
    await searched(console.store)
    one = await put(console.store, 1, read_generation=None, covered=False)
    stream = events(console)
    name, told = await anext(stream)
    assert (name, told["phase"], told["percent"]) == ("standing", "syncing", 0)
    await put(console.store, 2)
    async with asyncio.timeout(60):
        async for _, told in stream:
            if told["percent"] == 50:
                break
    async with console.store.write() as writing:
        await writing.exec_driver_sql(f"DELETE FROM mailboxes WHERE mailbox_id = '{one}'")
    async with asyncio.timeout(60):
        async for _, told in stream:
            if told["phase"] == "enabled":
                break
    await stream.aclose()


@pytest.mark.usefixtures("quick")
async def test_the_mark_changes_when_causes_do(console: Console) -> None:
    await connected(console.store)
    await searched(console.store)
    await put(console.store, 1)
    stream = events(console)
    _, first = await anext(stream)
    await put(console.store, 2, bucket="denied", reason="access_denied")
    async with asyncio.timeout(60):
        async for _, told in stream:
            if told["mark"] != first["mark"]:
                break
    await stream.aclose()


@pytest.mark.usefixtures("quick")
async def test_a_viewer_who_signs_out_is_told_nothing_more(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.authorizer.console.progress.LOOK", 0)
    await connected(console.store)
    stream = events(console)
    await anext(stream)
    assert (await console.post("/setup/sign-out")).status == 303
    async with asyncio.timeout(60):
        async for _ in stream:
            pass


@pytest.mark.usefixtures("quick")
async def test_two_viewers_of_an_org_share_a_watch_and_leave_none_behind(console: Console) -> None:
    await connected(console.store)
    one, other = events(console), events(console)
    await anext(one)
    await anext(other)
    watches = watches_of(console)
    assert watches.orgs == 1
    await one.aclose()
    await other.aclose()
    await until(lambda: watches.orgs == 0)


async def test_nobody_without_a_session_is_told_anything(stranger: Console) -> None:
    assert (await stranger.get("/setup/status/events")).status == 303


@pytest.mark.usefixtures("quick")
async def test_streams_end_with_the_page_they_belong_to(console: Console) -> None:
    await connected(console.store)
    stream = events(console)
    await anext(stream)
    server: Any = console.client.server
    await server.app.shutdown()
    async with asyncio.timeout(60):
        async for _ in stream:
            pass
    assert (await console.get("/setup/status/events")).status == 429
