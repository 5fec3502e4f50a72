"""Wires the fetcher: store, schema, keys and broker are verified before the first message is taken."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from services.fetcher import exchange_shares
from services.fetcher.connect import Access, Tenants
from services.fetcher.context import Context
from services.fetcher.enumeration import enumerate_page
from services.fetcher.erasing import erase
from services.fetcher.exchange_listening import Listener
from services.fetcher.handler import read
from services.fetcher.listening import served_notifications
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.polling import poll
from services.fetcher.purging import drop_orphans, purge
from services.fetcher.restart import recover
from services.fetcher.settings import Settings
from services.fetcher.subscribing import keep_subscribed
from shared import clock, logs, process
from shared.broker import Broker, Consumer, Delivery, Done
from shared.config import Deployment
from shared.contracts.messages import MailboxEnumerate, MailboxErase, MailboxRead, Message, OrgPurge
from shared.errors import Reject
from shared.ews.dialling import Surroundings, surroundings
from shared.graph import open_session
from shared.identity import Tokens
from shared.migrate import schema_is_current
from shared.process import Rim
from shared.reach import reached
from shared.store import Store
from shared.vault import Vault, VaultError, load_vault

PATIENCE: Final = 30  # seconds that store and broker have at start-up
PURGES: Final = 4  # purges and erasures at a time
TIDIED: Final = 600.0  # seconds between two looks for what an org that is gone left behind


async def run(deployment: Deployment, settings: Settings, rim: Rim) -> None:
    """Read calendars until told to stop; raise SystemExit with a sentence where the surroundings are wrong."""
    rim.health.set("fetcher", ready=False)
    await _see_schema(rim.store)
    vault = _see_vault(deployment.keys_file)
    await _see_broker(rim.broker)
    tokens = Tokens(ca_file=deployment.ca_file)
    try:
        async with open_session(deployment.ca_file, connections=2 * settings.readings + 16) as session:
            access = Access(
                store=rim.store,
                vault=vault,
                tokens=tokens,
                session=session,
                sandbox_url=deployment.sandbox_url,
                surroundings=_surroundings(deployment),
                exchange_requests=settings.exchange_requests,
            )
            context = Context(
                store=rim.store,
                mailboxes=Mailboxes(rim.store),
                tenants=Tenants(access),
                settings=settings,
                log=logs.get("fetcher"),
                patience=asyncio.Semaphore(max(1, settings.readings // 2)),
            )
            if deployment.broker_url.reveal().startswith("memory:"):
                await recover(context, rim.broker, clock.now())
            try:
                await serve(context, rim, vault)
            finally:
                await context.tenants.close()
    finally:
        tokens.close()


async def serve(context: Context, rim: Rim, vault: Vault) -> None:
    """Take messages and hints, look for due mailboxes, and look after subscriptions until told to stop."""
    async with _listening(context, rim, vault):
        loops = (
            poll(context, rim.broker, rim.stop),
            keep_subscribed(context, rim.broker, vault=vault, stop=rim.stop),
            _tidy(context, rim.stop),
            *_streams(context, rim),
        )
        tasks = [asyncio.create_task(loop) for loop in loops]
        rim.health.set("fetcher", ready=True)
        try:
            await rim.broker.run(consumers(context, rim.broker), service="fetcher", stop=rim.stop)
        finally:
            for task in tasks:  # it may be waiting for a broker that is away
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _streams(context: Context, rim: Rim) -> tuple[Coroutine[None, None, None], ...]:
    """Return what listens to Exchange servers, where that is wanted."""
    if not context.settings.exchange_streaming:
        return ()
    return (Listener(context, rim.broker, replica=uuid4().hex).keep(rim.stop),)


@asynccontextmanager
async def _listening(context: Context, rim: Rim, vault: Vault) -> AsyncIterator[None]:
    """Listen for Microsoft's notifications meanwhile, where there is an address at which it reaches us."""
    if not context.settings.notify_url:
        yield
        return
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(served_notifications(context, rim.broker, rim.health, vault=vault))
        except OSError:
            raise SystemExit(
                "busyline fetcher: nothing can listen where BUSYLINE_FETCHER_NOTIFY_HOST and _NOTIFY_PORT say"
            ) from None
        context.log.info("notifications.listening", address_host=context.settings.notify_host, port=port)
        yield


async def _tidy(context: Context, stop: asyncio.Event) -> None:
    """Drop now and then what was written of an org after it was purged; a store that is away is asked again."""
    while not stop.is_set():
        try:
            while await drop_orphans(context.store):
                pass
            await exchange_shares.forget(context.store, now=clock.now())
        except Exception as error:  # noqa: BLE001 -- it outlives whatever befalls the store
            context.log.error("tidying.failed", **logs.failure(error))  # noqa: TRY400 -- never its text
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TIDIED)


def consumers(context: Context, broker: Broker) -> tuple[Consumer, ...]:
    """Return the queues with their handlers; live readings have a lane of their own and so go first."""
    settings = context.settings
    reading, enumerating = partial(_read, context), partial(_enumerate, context)
    return (
        Consumer("fetcher.live", reading, settings.readings),
        Consumer("fetcher.backfill", reading, settings.readings),
        Consumer("fetcher.exchange", reading, settings.exchange_readings),
        Consumer("fetcher.enumerate", enumerating, settings.directory_pages),
        Consumer("fetcher.purge", partial(_purge, context, broker), PURGES),
    )


async def _read(context: Context, message: Message, delivery: Delivery) -> Done:
    if not isinstance(message, MailboxRead):
        raise Reject("unknown_type")
    async with reached():
        return _reaching(await read(context, message, delivery))


async def _enumerate(context: Context, message: Message, delivery: Delivery) -> Done:
    if not isinstance(message, MailboxEnumerate):
        raise Reject("unknown_type")
    async with reached():
        return _reaching(await enumerate_page(context, message, delivery))


async def _purge(context: Context, broker: Broker, message: Message, delivery: Delivery) -> Done:
    async with reached():
        match message:
            case OrgPurge():
                return _reaching(await purge(context, broker, message, delivery))
            case MailboxErase():
                return _reaching(await erase(context, message, delivery))
    raise Reject("unknown_type")


def _reaching(done: Done) -> Done:
    """Return the same, its commit waiting for a database that is away, too."""
    commit = done.commit
    if commit is None:
        return done

    async def committed() -> None:
        async with reached():
            await commit()

    return Done(done.messages, committed)


async def _see_schema(store: Store) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            current = await schema_is_current(store)
    except (SQLAlchemyError, OSError):  # a TimeoutError is an OSError
        raise SystemExit("busyline fetcher: the database named by BUSYLINE_DATABASE_URL does not answer") from None
    if not current:
        raise SystemExit(
            "busyline fetcher: the database is not at this release's schema; run `busyline database upgrade`"
        )


async def _see_broker(broker: Broker) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await broker.depth("fetcher.enumerate")
    except Exception:  # noqa: BLE001 -- each engine has errors of its own; the sentence is the same
        raise SystemExit("busyline fetcher: the broker named by BUSYLINE_BROKER_URL does not answer") from None


def _surroundings(deployment: Deployment) -> Surroundings:
    try:
        return surroundings(deployment.ca_file, deployment.reach_networks)
    except ValueError:
        raise SystemExit(
            "busyline fetcher: BUSYLINE_REACH_NETWORKS is a list of networks such as 127.0.0.0/8, separated by commas"
        ) from None


def _see_vault(keys_file: str) -> Vault:
    try:
        return load_vault(keys_file)
    except VaultError as error:
        raise SystemExit(
            f"busyline fetcher: the key file named by BUSYLINE_KEYS_FILE cannot be used ({error.reason})"
        ) from None


if __name__ == "__main__":
    process.main("fetcher", Settings, run)
