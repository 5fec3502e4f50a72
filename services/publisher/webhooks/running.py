"""Wires webhooks into the publisher: what is delivered with, from the settings, and the dispatcher beside the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.publisher.accounting import Tally
from services.publisher.bell import Bell
from services.publisher.settings import Settings
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.dispatch import Dispatcher
from services.publisher.webhooks.sending import Sender
from services.publisher.webhooks.signing import Keys
from services.publisher.webhooks.sweeping import sweep_for_ever
from shared.addresses import networks_of
from shared.config import Deployment
from shared.store import Store


@asynccontextmanager
async def post_office(deployment: Deployment, settings: Settings, store: Store, tally: Tally) -> AsyncIterator[Post]:
    """Give what is delivered with while the block runs. Raises SystemExit with a sentence where a setting is wrong."""
    try:
        sender = Sender(networks_of(deployment.reach_networks), ca_file=deployment.ca_file)
    except OSError:  # an ssl.SSLError is one
        raise SystemExit("busyline publisher: the file named by BUSYLINE_CA_FILE holds no certificate") from None
    except ValueError:
        raise SystemExit(
            "busyline publisher: BUSYLINE_REACH_NETWORKS is a list of networks such as 127.0.0.0/8, separated by commas"
        ) from None
    keys = Keys(settings.keys_file or deployment.keys_file)
    try:
        yield Post(store=store, keys=keys, sender=sender, tally=tally, requests=settings.webhook_requests)
    finally:
        await sender.close()


async def deliver_for_ever(post: Post, bell: Bell, *, stop: asyncio.Event) -> None:
    """Deliver to every webhook until `stop` is set; requests under way have a few seconds then."""
    async with asyncio.TaskGroup() as group:
        group.create_task(Dispatcher(post, bell, stop).run())
        group.create_task(sweep_for_ever(post.store, post.keys, stop))
