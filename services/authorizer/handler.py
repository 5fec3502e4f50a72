"""What the platform says of its orgs becomes a stored request, and what the fetcher and others report is remembered.

Whether a connection holds is verified, and an org purged, outside the queue: a message is settled as soon as it is safe
in the store, and a slow or failing tenant blocks no other.
"""

from collections.abc import Awaitable, Callable

from services.authorizer import leaving, requests
from services.authorizer.timer import Wakes
from services.authorizer.word import Word, spoken
from shared import clock, logs
from shared.broker import Delivery, Done
from shared.clouds import cloud
from shared.contracts.messages import (
    ConnectionDoubted,
    Message,
    OrgConnected,
    OrgDisconnected,
    OrgPurged,
    PolicyChanged,
)
from shared.errors import Reject
from shared.reach import reached
from shared.store import Store

Handle = Callable[[Message, Delivery], Awaitable[Done]]


def of_orgs(store: Store, sandbox_url: str, wakes: Wakes) -> Handle:
    """Return the handler of authorizer.orgs; what is stored wakes the timer that goes on with it."""

    async def handle(message: Message, delivery: Delivery) -> Done:
        match message:
            case OrgConnected():
                cloud(message.connection.cloud, sandbox_url=sandbox_url)  # rejects a name that no retry can make known
            case PolicyChanged() | OrgDisconnected():
                pass
            case _:
                raise Reject("wrong_queue", "type")

        async def commit() -> None:
            word = spoken(message.actor, delivery, clock.now())
            async with reached():
                event = await _heard(store, message, word)
            logs.get("authorizer").info(event, org_id=message.org_id)
            for wake in (wakes.verify, wakes.enumerate, wakes.purge):
                wake.set()

        return Done(commit=commit)

    return handle


async def _heard(store: Store, message: OrgConnected | PolicyChanged | OrgDisconnected, word: Word) -> str:
    """Do as the platform says, and return the event's name. Raises Retry."""
    match message:
        case OrgConnected(org_id=org_id, connection=connection, policy=policy):
            counts = await requests.connect(store, org_id, connection=connection, policy=policy, word=word)
            event = "org.requested"
        case PolicyChanged(org_id=org_id, policy=policy):
            counts = await requests.change_policy(store, org_id, policy, word=word)
            event = "policy.changed"
        case OrgDisconnected(org_id=org_id):
            counts = await leaving.begin(store, org_id, word=word) is not None
            event = "org.disconnected"
    return event if counts else "request.overtaken"


def of_reports(store: Store, wakes: Wakes) -> Handle:
    """Return the handler of authorizer.reports: doubts about a connection, and answers of services asked to purge."""

    async def handle(message: Message, _: Delivery) -> Done:
        if not isinstance(message, ConnectionDoubted | OrgPurged):
            raise Reject("wrong_queue", "type")

        async def commit() -> None:
            async with reached():
                await _reported(store, message, wakes)

        return Done(commit=commit)

    return handle


async def _reported(store: Store, message: ConnectionDoubted | OrgPurged, wakes: Wakes) -> None:
    log = logs.get("authorizer").bind(org_id=message.org_id)
    match message:
        case ConnectionDoubted(generation=generation, reason=reason):
            if await requests.doubt(store, message.org_id, generation=generation, now=clock.now()):
                log.info("org.doubted", reason=reason, generation=generation)
                wakes.verify.set()
        case OrgPurged():
            if await leaving.answer(store, message):
                log.info("purge.answered")
                wakes.purge.set()
