"""What every command starts from: settings read strictly, a store or a broker opened and closed around its work."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
from msgspec import Struct
from rich.console import Console

from deploy.command.everything import SETTINGS, AllSettings
from deploy.command.failures import BROKER, DATABASE, Wrong, reaching
from services.authorizer.settings import Settings as AuthorizerSettings
from services.fetcher.settings import Settings as FetcherSettings
from services.normalizer.settings import Settings as NormalizerSettings
from services.publisher.settings import Settings as PublisherSettings
from shared import config
from shared.broker import Broker, open_broker
from shared.config import Deployment
from shared.store import Store, open_store

console = Console()
NOT_SETTINGS = (config.PREFIX + "TEST_", config.PREFIX + "BROKER_PASSWORD_")  # read by tests, by `broker definitions`


def known_variables() -> list[str]:
    """Return the name of every setting there is."""
    sections: list[tuple[str, type[Struct]]] = [("", Deployment), *SETTINGS.items()]
    return [config.variable(section, field) for section, kind in sections for field in kind.__struct_fields__]


def deployment() -> Deployment:
    """Read the deployment's settings; a click error names what is wrong."""
    try:
        config.refuse_unknown(
            {k: v for k, v in os.environ.items() if not k.startswith(NOT_SETTINGS)}, known_variables()
        )
        return config.load(Deployment, os.environ)
    except config.SettingsError as error:
        raise Wrong(str(error)) from None


def all_settings() -> AllSettings:
    """Read every service's settings; a click error names what is wrong."""
    try:
        return AllSettings(
            authorizer=config.load(AuthorizerSettings, os.environ, "authorizer"),
            fetcher=config.load(FetcherSettings, os.environ, "fetcher"),
            normalizer=config.load(NormalizerSettings, os.environ, "normalizer"),
            publisher=config.load(PublisherSettings, os.environ, "publisher"),
        )
    except config.SettingsError as error:
        raise Wrong(str(error)) from None


@asynccontextmanager
async def opened_store() -> AsyncIterator[Store]:
    """Open the store of the settings around a command's work."""
    store = open_store(deployment().database_url.reveal())
    try:
        with reaching(DATABASE):
            yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_broker(purpose: str = "to look into its queues") -> AsyncIterator[Broker]:
    """Open the broker of the settings; the embedded one lives inside `busyline up` and cannot be reached from here."""
    url = deployment().broker_url.reveal()
    if url.startswith("memory:"):
        raise click.ClickException(
            "the embedded broker lives inside the process of `busyline up` and ends with it; "
            f"set BUSYLINE_BROKER_URL to a RabbitMQ server {purpose}"
        )
    broker = open_broker(url)
    try:
        with reaching(BROKER):
            yield broker
    finally:
        await broker.close()
