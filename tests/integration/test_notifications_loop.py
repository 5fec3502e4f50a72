"""The loop that keeps subscriptions: it outlives a store that fails, and ends when it is told to."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox import Fault, FaultKind
from services.fetcher import subscribing, wanting
from services.fetcher.subscribing import keep_subscribed
from tests.integration.town import town
from tests.waiting import until


async def test_the_loop_outlives_a_store_that_fails_and_ends_when_told_to(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribing, "INTERVAL", 0.02)
    monkeypatch.setattr(subscribing, "REVISED", 0)
    failing, want = [True] * 3, wanting.want

    async def fails(*given: Any, **named: Any) -> int:
        if failing:
            failing.pop()
            raise ConnectionRefusedError
        return await want(*given, **named)

    monkeypatch.setattr(wanting, "want", fails)
    async with town(tmp_path, sqlite_url, mailboxes=5) as here:
        stop = asyncio.Event()
        loop = asyncio.create_task(keep_subscribed(here.context, here.broker, vault=here.vault, stop=stop))
        await until(lambda: len(here.sandbox.subscriptions()) == 5)
        assert not failing
        stop.set()
        await asyncio.wait_for(loop, 60)


async def test_two_replicas_make_each_subscription_once(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url, mailboxes=60) as here:
        other = subscribing.Keeper(here.context, here.broker, here.vault)
        for _ in range(6):
            for keeper in (here.keeper, other):
                keeper._revise_at = 0
                await keeper.look(subscribing.clock.now())
            await asyncio.gather(here.keeper.idle(), other.idle())
        assert len(here.sandbox.subscriptions()) == 60
        assert here.sandbox.notifications.counts.created == 60
        rows = (await here.rows()).values()
        assert {row.subscription_id for row in rows} == {each.id for each in here.sandbox.subscriptions()}
        assert {row.reason for row in rows} == {None}


async def test_a_throttled_batch_is_tried_again_when_microsoft_says(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        here.sandbox.order(Fault(kind=FaultKind.THROTTLE, match="batch", times=1, seconds=90))
        await here.keep(looks=4)
        assert here.sandbox.subscriptions() == ()
        assert {row.reason for row in (await here.rows()).values()} == {"throttled"}
        here.later(200)
        await here.keep()
        assert len(here.sandbox.subscriptions()) == 3
