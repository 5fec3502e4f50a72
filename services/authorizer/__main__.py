"""Wires the authorizer: settings, vault, store and broker are verified before the first message is taken."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.authorizer import due, orgs
from services.authorizer.console.configured import setup_settings
from services.authorizer.console.place import Place, SetupSettings
from services.authorizer.console.web import served
from services.authorizer.desk import Desk
from services.authorizer.exchange_doors import exchange
from services.authorizer.handler import of_orgs, of_reports
from services.authorizer.settings import Settings
from services.authorizer.timer import Wakes, keep_enumerating, keep_purging, keep_verifying
from services.authorizer.verify import Microsoft
from shared import clock, logs, process
from shared.broker import Broker, Consumer
from shared.clouds import Cloud
from shared.config import Deployment
from shared.ews.dialling import Surroundings, surroundings
from shared.graph import GraphClient, open_session
from shared.identity import Tokens
from shared.migrate import schema_is_current
from shared.process import Rim
from shared.store import Store
from shared.vault import Vault, VaultError, load_vault

QUEUE: Final = "authorizer.orgs"
REPORTS: Final = "authorizer.reports"
PATIENCE: Final = 30  # seconds that store and broker have at start-up


async def run(deployment: Deployment, settings: Settings, rim: Rim) -> None:
    """Keep the right to read until told to stop; raise SystemExit with a sentence where the surroundings are wrong."""
    rim.health.set("authorizer", ready=False)
    see_ca(deployment.ca_file)
    around = see_networks(deployment)
    await see_schema(rim.store)
    vault = await see_vault(deployment.keys_file, rim.store)
    await see_broker(rim.broker)
    if deployment.broker_url.reveal().startswith("memory:"):
        await due.everything(rim.store, now=clock.now())
    await due.watch(rim.store, verify_at=clock.now() + settings.verify_every)
    tokens = Tokens(ca_file=deployment.ca_file)
    try:
        async with open_session(deployment.ca_file, connections=16) as session:

            def graph(cloud: Cloud, token: Callable[[], Awaitable[str]]) -> GraphClient:
                return GraphClient(session, cloud=cloud, token=token, forget=lambda: None)

            desk = Desk(
                store=rim.store,
                vault=vault,
                microsoft=Microsoft(tokens, graph),
                exchange=exchange(tokens, around),
                settings=settings,
                sandbox_url=deployment.sandbox_url,
            )
            wakes = Wakes()
            async with setup_page(desk, rim, tokens=tokens, wakes=wakes):
                await serve(desk, rim, wakes)
    finally:
        tokens.close()


@asynccontextmanager
async def setup_page(desk: Desk, rim: Rim, *, tokens: Tokens, wakes: Wakes) -> AsyncIterator[None]:
    """Serve the setup page while the block runs, where an operator wants one. Raises SystemExit with a sentence."""
    settings = desk.settings
    if not settings.setup_url:
        yield
        return
    told = see_setup(settings)
    place = Place(
        store=rim.store, vault=desk.vault, desk=desk, tokens=tokens, broker=rim.broker, wakes=wakes, settings=told
    )
    async with AsyncExitStack() as serving:
        try:
            server = served(place, rim.health, host=settings.setup_host, port=settings.setup_port)
            port = await serving.enter_async_context(server)
        except OSError:
            raise SystemExit(
                "busyline authorizer: the address that BUSYLINE_AUTHORIZER_SETUP_HOST and _PORT name is not free"
            ) from None
        logs.get("authorizer").info("http.listening", port=port)
        yield


def see_setup(settings: Settings) -> SetupSettings:
    """See that what is set of the setup page makes sense. Raises SystemExit with a sentence."""
    try:
        return setup_settings(settings)
    except ValueError as error:
        raise SystemExit(f"busyline authorizer: {error}") from None


async def serve(desk: Desk, rim: Rim, wakes: Wakes | None = None) -> None:
    """Take messages and keep the timers until told to stop; `wakes` are the timers' bells, where others ring them."""
    wakes = wakes or Wakes()
    handlers = {QUEUE: of_orgs(desk.store, desk.sandbox_url, wakes), REPORTS: of_reports(desk.store, wakes)}
    consumers = [Consumer(name, handle, desk.settings.in_flight) for name, handle in handlers.items()]
    async with asyncio.TaskGroup() as group:
        group.create_task(rim.broker.run(consumers, service="authorizer", stop=rim.stop))
        group.create_task(keep_verifying(desk, stop=rim.stop, wakes=wakes, health=rim.health))
        group.create_task(keep_enumerating(desk, rim.broker, stop=rim.stop, wakes=wakes, health=rim.health))
        group.create_task(keep_purging(desk, rim.broker, stop=rim.stop, wakes=wakes, health=rim.health))
        rim.health.set("authorizer", ready=True)


def see_ca(ca_file: str) -> None:
    """See that a private CA, if one is named, can be used. Raises SystemExit with a sentence."""
    try:
        if ca_file:
            ssl.create_default_context(cafile=ca_file)
    except OSError:  # an ssl.SSLError is one
        raise SystemExit("busyline authorizer: the file named by BUSYLINE_CA_FILE holds no certificate") from None


def see_networks(deployment: Deployment) -> Surroundings:
    """See that the networks an operator allows can be read. Raises SystemExit with a sentence."""
    try:
        return surroundings(deployment.ca_file, deployment.reach_networks)
    except ValueError:
        raise SystemExit(
            "busyline authorizer: BUSYLINE_REACH_NETWORKS is not a list of networks such as 127.0.0.0/8"
        ) from None


async def see_schema(store: Store) -> None:
    """See that the database answers and stands at this release's schema. Raises SystemExit with a sentence."""
    try:
        async with asyncio.timeout(PATIENCE):
            current = await schema_is_current(store)
    except (SQLAlchemyError, OSError):  # a TimeoutError is an OSError
        raise SystemExit("busyline authorizer: the database named by BUSYLINE_DATABASE_URL does not answer") from None
    if not current:
        raise SystemExit(
            "busyline authorizer: the database is not at this release's schema; run `busyline database upgrade`"
        )


async def see_vault(keys_file: str, store: Store) -> Vault:
    """See that the key file is good and opens every credential stored. Raises SystemExit with a sentence."""
    try:
        vault = load_vault(keys_file)
    except VaultError as error:
        raise SystemExit(
            f"busyline authorizer: the key file named by BUSYLINE_KEYS_FILE cannot be used ({error.reason})"
        ) from None
    try:
        await orgs.open_all(store, vault)
    except VaultError as error:
        raise SystemExit(
            "busyline authorizer: a stored credential cannot be opened with the keys of BUSYLINE_KEYS_FILE"
            f" ({error.reason}); restore the key that sealed it"
        ) from None
    return vault


async def see_broker(broker: Broker) -> None:
    """See that the broker answers. Raises SystemExit with a sentence."""
    try:
        async with asyncio.timeout(PATIENCE):
            await broker.depth(QUEUE)
    except Exception:  # noqa: BLE001 -- each engine has errors of its own; the sentence is the same
        raise SystemExit("busyline authorizer: the broker named by BUSYLINE_BROKER_URL does not answer") from None


if __name__ == "__main__":
    process.main("authorizer", Settings, run)
