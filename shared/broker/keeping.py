"""Keeps a connection to RabbitMQ open: connects with patience, again after each loss. It sends and takes nothing."""

import asyncio
from collections.abc import Awaitable, Callable

from pika.exceptions import AMQPError

from shared import logs
from shared.broker import backoff
from shared.errors import Halt

Open = Callable[[], Awaitable["asyncio.Future[BaseException]"]]


async def keep(opened: Open, on_lost: Callable[[BaseException], None]) -> None:
    """Connect through `opened`, which gives the future of the loss, and call `on_lost` with its reason, for ever.

    Raises Halt("broker_refused") where the broker turns us away before it ever took us.
    """
    log = logs.get("broker")
    failures, ever = 0, False
    while True:
        try:
            lost = await opened()
        except (*backoff.Trouble, AMQPError) as error:
            if backoff.refused(error) and not ever:
                raise Halt("broker_refused") from error
            failures += 1
            after = backoff.pause(failures)
            log.warning("publisher.failed", error_type=type(error).__name__, after=round(after, 2))
            await asyncio.sleep(after)
            continue
        failures, ever = 1, True
        reason = await lost
        on_lost(reason)
        log.warning("publisher.lost", error_type=type(reason).__name__)
        await asyncio.sleep(backoff.pause(failures))
