"""The authorizer with a setup page: served where it is wanted, refused with a sentence where it is set wrongly."""

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from services.authorizer import orgs
from services.authorizer.__main__ import run, see_setup
from services.authorizer.console.links import address, signed
from services.authorizer.settings import Settings
from shared import clock
from shared.broker import open_broker
from shared.config import Deployment, Secret
from shared.health import Health
from shared.process import Rim
from shared.store import Store
from shared.vault import load_vault
from tests.waiting import until

KEY = "a key of this test that is long enough"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def rim_over(store: Store) -> Rim:
    return Rim(broker=open_broker("memory://"), store=store, stop=asyncio.Event(), health=Health())


def deployment(keys: Path) -> Deployment:
    load_vault(keys, create=True)
    return Deployment(keys_file=str(keys))


class Running:
    """A whole authorizer, its store and the settings it was given."""

    def __init__(self, store: Store, keys: Path, settings: Settings) -> None:
        self.rim = rim_over(store)
        self.task = asyncio.create_task(run(deployment(keys), settings, self.rim))

    async def ready(self) -> bool:
        return self.rim.health.ready or self.task.done()

    async def end(self) -> None:
        self.rim.stop.set()
        try:
            await self.task
        finally:
            await self.rim.broker.close()


def settings(**changed: object) -> Settings:
    port = free_port()
    given = Settings(setup_url=f"http://127.0.0.1:{port}", setup_port=port, setup_link_keys=Secret(KEY))
    return replace(given, **changed)


async def test_a_link_leads_into_a_running_authorizer(store: Store, tmp_path: Path) -> None:
    told = settings()
    running = Running(store, tmp_path / "keys", told)
    await until(running.ready)
    token = signed("acme", "user-7", key=KEY, public_url=told.setup_url, now=clock.now())
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
        browser.get(address(token, told.setup_url)) as answer,
    ):
        assert answer.status == 200
        assert "Connect your organisation" in await answer.text()
    assert await orgs.all_orgs(store) == ()
    await running.end()


async def test_without_an_address_nothing_listens(store: Store, tmp_path: Path) -> None:
    told = settings(setup_url="")
    running = Running(store, tmp_path / "keys", told)
    await until(running.ready)
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", told.setup_port)
    await running.end()


async def test_a_port_that_is_taken_is_said_in_a_sentence(store: Store, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        rim, told = rim_over(store), settings(setup_port=taken.getsockname()[1])
        with pytest.raises(SystemExit, match="SETUP_HOST and _PORT"):
            await run(deployment(tmp_path / "keys"), told, rim)
        await rim.broker.close()


def test_a_setup_page_without_keys_does_not_start() -> None:
    with pytest.raises(SystemExit, match="busyline authorizer: the setup page needs"):
        see_setup(settings(setup_link_keys=Secret()))
