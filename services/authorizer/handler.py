"""A platform's word that an org connected becomes a stored request; whether it holds is verified outside the queue.

So a message is settled as soon as it is safe in the store, and a slow or failing tenant blocks no other.
"""

import asyncio
from collections.abc import Awaitable, Callable

from services.authorizer import orgs
from shared import clock, logs
from shared.broker import Delivery, Done
from shared.clouds import cloud
from shared.contracts.messages import Message, OrgConnected
from shared.errors import Reject
from shared.store import Store


def handler(store: Store, *, sandbox_url: str, wake: asyncio.Event) -> Callable[[Message, Delivery], Awaitable[Done]]:
    """Return the handler of authorizer.orgs; `wake` is set once a request is stored."""

    async def handle(message: Message, _: Delivery) -> Done:
        if not isinstance(message, OrgConnected):
            raise Reject("wrong_queue", "type")
        cloud(message.connection.cloud, sandbox_url=sandbox_url)  # rejects a name that no retry can make known

        async def commit() -> None:
            await orgs.request(
                store,
                org_id=message.org_id,
                connection=message.connection,
                policy=message.policy,
                now=clock.now(),
            )
            logs.get("authorizer").info("org.requested", org_id=message.org_id)
            wake.set()

        return Done(commit=commit)

    return handle
