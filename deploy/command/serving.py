"""The commands that serve: one service a process, or all of them in one."""

import asyncio

import click

from deploy.command.context import all_settings, deployment
from deploy.command.everything import RUNS, SETTINGS, run_everything
from shared import health, logs, process
from shared.broker import open_broker
from shared.config import Deployment
from shared.health import Health
from shared.process import Rim
from shared.store import open_store

SENTENCES = {
    "authorizer": "Keep the right to read: verify connections, hold policies, ask for enumeration.",
    "fetcher": "Read Microsoft: find mailboxes, read calendars. Scale it by starting more of them.",
    "normalizer": "Be the privacy border: a raw snapshot and a policy in, a public snapshot out.",
    "publisher": "Show availability: the update log, its announcements, the HTTP API.",
}


def _service(name: str) -> click.Command:
    def command() -> None:
        deployment()  # refuses what is misspelt, for every section
        process.main(name, SETTINGS[name], RUNS[name])

    return click.Command(name, callback=command, help=SENTENCES[name] + " Runs until SIGTERM.")


COMMANDS = tuple(_service(name) for name in RUNS)


async def up(ready: Deployment) -> None:
    """Run every service in this process until a signal comes."""
    logs.configure(level=ready.log_level, form=ready.log_format)
    settings = all_settings()
    broker = open_broker(ready.broker_url.reveal())
    store = open_store(ready.database_url.reveal())
    rim = Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health())
    process.stop_on_signals(rim.stop)
    try:
        async with health.served(rim.health, host=ready.health_host, port=ready.health_port):
            await run_everything(ready, settings, rim)
    finally:
        await broker.close()
        await store.close()
