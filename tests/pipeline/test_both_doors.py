"""The same calendars through both doors, Graph and Exchange: the same availability, byte for byte but reading times.

Real calendars lie beside the repository; where they do not, a generated organisation still shows it.
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from deploy.command import published
from deploy.command.trial import TrialOptions, trial
from deploy.sandbox import SandboxOptions
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import Window
from shared.store import Store
from shared.tables import timelines

CORPUS = Path(__file__).parents[3] / "shared" / "data" / "corpus"
EVERY = 12  # one calendar of so many is read here; the whole is read by the demo, see CONTRIBUTING.md
WINDOWS = {"the default": None, "four years": Window(1_293_840_000, 1_420_070_400)}
POLICIES = {
    "free/busy only": Policy(),
    "free/busy with free time": Policy(show_free=True),
    "details": Policy(detail=Detail.DETAILS, conferencing=True),
}


async def through(provider: str, folder: Path, policy: Policy, calendars: Path | None) -> dict[str, dict[str, Any]]:
    """Return what is published of every readable mailbox, without when it was read."""
    await asyncio.to_thread(folder.mkdir)
    sandbox = SandboxOptions(folder=folder, calendars=calendars, mailboxes=30, events=120, now=1_420_000_000)
    options = TrialOptions(folder=folder, sandbox=sandbox, policy=policy, provider=provider, notified=False)
    async with asyncio.timeout(100), trial(options) as running:
        while not published.progress(await running.api.status()).complete:
            await asyncio.sleep(0.1)
        rows = await published.rows(running.api)
        hours = await hours_published(running.store)
    for row in rows:
        row["working_hours"] = hours.get(row["mailbox"])
    told = {
        row["mailbox"]: {name: value for name, value in row.items() if name not in {"as_of", "version"}} for row in rows
    }
    return {name: row for name, row in told.items() if row["bucket"] == "active"}


async def hours_published(store: Store) -> dict[str, bytes | None]:
    """Return the working hours that consumers are told of each mailbox, by address."""
    async with store.read() as connection:
        found = await connection.execute(select(timelines.c.address, timelines.c.working_hours))
        return {row.address: row.working_hours for row in found}


@pytest.fixture(scope="module")
def calendars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with some of the real calendars."""
    if not CORPUS.is_dir():
        pytest.skip("the real calendars do not lie beside the repository (../shared/data/corpus)")
    folder = tmp_path_factory.mktemp("calendars")
    for number, file in enumerate(sorted(CORPUS.glob("*.ics"))):
        if number % EVERY == 0:
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize(
    "policy", [POLICIES["free/busy with free time"], POLICIES["details"]], ids=["free/busy", "details"]
)
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
async def test_real_calendars_are_published_alike(
    tmp_path: Path, calendars: Path, policy: Policy, window: Window | None
) -> None:
    asked = msgspec.structs.replace(policy, window=window)
    graph = await through("graph", tmp_path / "graph", asked, calendars)
    exchange = await through("ews", tmp_path / "ews", asked, calendars)
    assert len(graph) > 50
    assert [name for name in graph if exchange.get(name) != graph[name]] == []
    assert graph.keys() == exchange.keys()
    assert any(row["busy"] for row in graph.values())
    assert all(row["working_hours"] for row in graph.values())


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
async def test_a_generated_organisation_is_published_alike(tmp_path: Path, policy: Policy) -> None:
    graph = await through("graph", tmp_path / "graph", policy, None)
    exchange = await through("ews", tmp_path / "ews", policy, None)
    assert len(graph) == 30
    assert exchange == graph
    assert len({row["working_hours"] for row in graph.values()}) > 10
