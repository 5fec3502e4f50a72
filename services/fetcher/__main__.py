"""Wires the fetcher: store, schema, keys and broker are verified before the first message is taken."""

import asyncio
from functools import partial
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.fetcher.connect import Access, Tenants
from services.fetcher.context import Context
from services.fetcher.enumeration import enumerate_page
from services.fetcher.handler import read
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.polling import poll
from services.fetcher.restart import recover
from services.fetcher.settings import Settings
from shared import clock, logs, process
from shared.broker import Broker, Consumer, Delivery, Done
from shared.config import Deployment
from shared.contracts.messages import MailboxEnumerate, MailboxRead, Message
from shared.errors import Reject
from shared.graph import open_session
from shared.identity import Tokens
from shared.migrate import schema_is_current
from shared.process import Rim
from shared.reach import reached
from shared.store import Store
from shared.vault import Vault, VaultError, load_vault

PATIENCE: Final = 30  # seconds that store and broker have at start-up


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
                store=rim.store, vault=vault, tokens=tokens, session=session, sandbox_url=deployment.sandbox_url
            )
            context = Context(
                store=rim.store,
                mailboxes=Mailboxes(rim.store),
                tenants=Tenants(access),
                settings=settings,
                log=logs.get("fetcher"),
            )
            if deployment.broker_url.reveal().startswith("memory:"):
                await recover(context, rim.broker, clock.now())
            await serve(context, rim)
    finally:
        tokens.close()


async def serve(context: Context, rim: Rim) -> None:
    """Take messages and look for due mailboxes until told to stop."""
    polling = asyncio.create_task(poll(context, rim.broker, rim.stop))
    rim.health.set("fetcher", ready=True)
    try:
        await rim.broker.run(consumers(context), service="fetcher", stop=rim.stop)
    finally:
        polling.cancel()  # it may be waiting for a broker that is away
        await asyncio.gather(polling, return_exceptions=True)


def consumers(context: Context) -> tuple[Consumer, ...]:
    """Return the three queues with their handlers; live readings have a lane of their own and so go first."""
    settings = context.settings
    reading, enumerating = partial(_read, context), partial(_enumerate, context)
    return (
        Consumer("fetcher.live", reading, settings.readings),
        Consumer("fetcher.backfill", reading, settings.readings),
        Consumer("fetcher.enumerate", enumerating, settings.directory_pages),
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


def _see_vault(keys_file: str) -> Vault:
    try:
        return load_vault(keys_file)
    except VaultError as error:
        raise SystemExit(
            f"busyline fetcher: the key file named by BUSYLINE_KEYS_FILE cannot be used ({error.reason})"
        ) from None


if __name__ == "__main__":
    process.main("fetcher", Settings, run)
