"""All four services in one process: the embedded form (memory broker, SQLite) or a small real one.

The services run exactly as they do apart; only their surroundings are shared.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from deploy.command.failures import DATABASE, reaching
from services.authorizer.__main__ import run as run_authorizer
from services.authorizer.settings import Settings as AuthorizerSettings
from services.fetcher.__main__ import run as run_fetcher
from services.fetcher.settings import Settings as FetcherSettings
from services.normalizer.__main__ import run as run_normalizer
from services.normalizer.settings import Settings as NormalizerSettings
from services.publisher.__main__ import run as run_publisher
from services.publisher.settings import Settings as PublisherSettings
from shared.config import Deployment
from shared.migrate import upgrade
from shared.process import Rim
from shared.vault import load_vault

SETTINGS: dict[str, type[Struct]] = {
    "authorizer": AuthorizerSettings,
    "fetcher": FetcherSettings,
    "normalizer": NormalizerSettings,
    "publisher": PublisherSettings,
}
RUNS: dict[str, Callable[[Deployment, Any, Rim], Awaitable[None]]] = {
    "authorizer": run_authorizer,
    "fetcher": run_fetcher,
    "normalizer": run_normalizer,
    "publisher": run_publisher,
}


class AllSettings(Struct, frozen=True, kw_only=True):
    """The settings of every service, for running them together."""

    authorizer: AuthorizerSettings = AuthorizerSettings()
    fetcher: FetcherSettings = FetcherSettings()
    normalizer: NormalizerSettings = NormalizerSettings()
    publisher: PublisherSettings = PublisherSettings()


def prepare(deployment: Deployment) -> None:
    """Bring the schema up to date and make the key file where there is none: what a newcomer must not have to do."""
    Path(deployment.keys_file).parent.mkdir(parents=True, exist_ok=True)
    load_vault(deployment.keys_file, create=True)
    with reaching(DATABASE):
        upgrade(deployment.database_url.reveal())


async def run_everything(deployment: Deployment, settings: AllSettings, rim: Rim) -> None:
    """Run the four services side by side until `rim.stop` is set; the first failure stops the others and is raised."""

    async def one(name: str) -> None:
        try:
            await RUNS[name](deployment, getattr(settings, name), rim)
        finally:
            rim.stop.set()

    async with asyncio.TaskGroup() as group:
        for name in RUNS:
            group.create_task(one(name), name=name)
