"""How a service lives as a process: settings read once, surroundings opened and verified, signals, an orderly end."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from msgspec import Struct

from shared import config, health, logs
from shared.broker import Broker, open_broker
from shared.config import Deployment
from shared.health import Health
from shared.store import Store, open_store

S = TypeVar("S", bound=Struct)


class Rim(Struct, frozen=True, kw_only=True):
    """The surroundings a service is given: where messages pass, where state lies, when to stop, how it does."""

    broker: Broker
    store: Store
    stop: asyncio.Event
    health: Health


Run = Callable[[Deployment, S, Rim], Awaitable[None]]


def main(service: str, kind: type[S], run: Run[S], environ: Mapping[str, str] = os.environ) -> None:
    """Run one service until SIGTERM or SIGINT (a second one ends at once); exit 2 on a wrong setting."""
    try:
        deployment = config.load(Deployment, environ)
        settings = config.load(kind, environ, service)
    except config.SettingsError as error:
        sys.stderr.write(f"busyline {service}: {error}\n")
        sys.exit(2)
    logs.configure(level=deployment.log_level, form=deployment.log_format)
    asyncio.run(alone(service, deployment, settings, run))


async def alone(service: str, deployment: Deployment, settings: S, run: Run[S]) -> None:
    """Open what a service needs, run it, and close in order."""
    broker = open_broker(deployment.broker_url.reveal())
    store = open_store(deployment.database_url.reveal())
    rim = Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health())
    stop_on_signals(rim.stop)
    try:
        async with health.served(rim.health, host=deployment.health_host, port=deployment.health_port):
            logs.get(service).info("service.started")
            await run(deployment, settings, rim)
            logs.get(service).info("service.stopped")
    finally:
        await broker.close()
        await store.close()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at the first SIGTERM or SIGINT; end the process at the second."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
