"""The whole pipeline in one process: what the calendars say is what consumers are told, through faults too."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.command import published
from deploy.command.privacy import proof
from deploy.command.trial import Trial, TrialOptions, move_a_meeting, trial
from deploy.sandbox import SandboxOptions
from shared import clock
from shared.contracts.policy import Detail, Policy
from tests.pipeline.expected import expected_rows, published_line


@asynccontextmanager
async def running(folder: Path, *, policy: Policy | None = None, **more: Any) -> AsyncIterator[Trial]:
    options = TrialOptions(
        folder=folder,
        sandbox=SandboxOptions(folder=folder, mailboxes=12, events=30, **more.pop("sandbox", {})),
        policy=policy or Policy(),
        log=io.StringIO(),
        **more,
    )
    async with trial(options) as started:
        yield started


async def settled(started: Trial, *, within: float = 60) -> list[dict[str, Any]]:
    async with asyncio.timeout(within):
        while not published.progress(await started.api.status()).complete:
            await asyncio.sleep(0.05)
    return await published.rows(started.api)


async def until(claim: Callable[[], Awaitable[bool]], *, within: float = 30) -> None:
    async with asyncio.timeout(within):
        while not await claim():
            await asyncio.sleep(0.05)


async def test_consumers_are_told_exactly_what_the_calendars_say(tmp_path: Path) -> None:
    async with running(tmp_path) as started:
        rows = await settled(started)
        window = Policy().window_at(clock.now())
        expected = expected_rows(started.sandbox, window)
        assert len(expected) >= 12
        covered = {row["mailbox"]: published_line(row) for row in rows if row["coverage"] == "full"}
        assert covered == expected


async def test_every_directory_object_has_a_bucket_and_only_active_ones_have_coverage(tmp_path: Path) -> None:
    async with running(tmp_path) as started:
        rows = await settled(started)
        buckets = {row["bucket"] for row in rows}
        assert {"active", "guest", "no_mailbox", "on_premises", "denied"} <= buckets
        assert all((row["coverage"] == "full") == (row["bucket"] == "active") for row in rows)
        assert all(row["reason"] for row in rows if row["bucket"] != "active")


async def test_a_change_of_a_meeting_is_published_and_announced(tmp_path: Path) -> None:
    announced: list[dict[str, Any]] = []

    def tap(queue: str, body: bytes, _: object) -> None:
        if queue == "availability":
            announced.append(json.loads(body))

    async with running(tmp_path, tap=tap) as started:
        await settled(started)
        await until(lambda: _more(announced, 11))  # the relay comes after the log
        before = len(announced)
        assert "moved by an hour" in move_a_meeting(started.sandbox, 0)
        await until(lambda: _more(announced, before))
        rows = await published.rows(started.api)
        window = Policy().window_at(clock.now())
        covered = {row["mailbox"]: published_line(row) for row in rows if row["coverage"] == "full"}
        assert covered == expected_rows(started.sandbox, window)
        event = announced[before]
        assert event["specversion"] == "1.0"
        assert event["type"] == "availability.updated.v1"
        assert int(event["sequence"]) > 0


async def _more(announced: list[dict[str, Any]], before: int) -> bool:
    return len(announced) > before


async def test_no_private_text_is_ever_found_under_free_busy_only() -> None:
    places = await proof(mailboxes=12, broker_url="memory://", database_url="")
    assert {place.name: place.found for place in places if place.found} == {}
    assert all(place.things > 0 for place in places)


async def test_the_proof_of_privacy_can_fail() -> None:
    places = await proof(mailboxes=12, broker_url="memory://", database_url="", policy=Policy(detail=Detail.DETAILS))
    found = {place.name for place in places if place.found}
    assert {"$select of requests", "messages on the broker", "tables", "HTTP answers", "updates to consumers"} <= found


async def test_details_of_private_events_are_withheld_under_details(tmp_path: Path) -> None:
    async with running(tmp_path, policy=Policy(detail=Detail.DETAILS)) as started:
        rows = await settled(started)
        events = [event for row in rows for event in row.get("events", [])]
        private = [event for event in events if event.get("private")]
        assert private
        assert any(event.get("subject") for event in events)
        assert all(set(event) <= {"start", "end", "status", "private", "all_day"} for event in private)
