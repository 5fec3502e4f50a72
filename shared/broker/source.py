"""One queue consumed through one kombu channel, the same for both engines: deliveries in, acknowledgements out."""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import Any

from shared.broker.untyped import Queue
from shared.broker.wire import Taken

Read = Callable[["Source", Any], Taken]


class Source:
    """What came by one channel and is not settled yet.

    Acknowledgements are gathered until the loop's next turn; where the engine can, one covers all before it.
    """

    def __init__(self, queue: str, channel: Any, *, prefetch: int, multiple: bool) -> None:
        """Prepare a channel for at most `prefetch` unsettled deliveries."""
        self.queue = queue
        self.channel = channel
        self.alive = True
        self.unsettled: dict[Any, None] = {}
        self._settled: set[Any] = set()
        self._multiple = multiple
        self._on_lost: Callable[[Exception], None] = lambda _: None
        channel.basic_qos(0, prefetch, False)  # noqa: FBT003 -- the channel takes it by place

    def begin(self, read: Read, take: Callable[[Taken], None], on_lost: Callable[[Exception], None]) -> None:
        """Start deliveries without waiting for the broker's answer; call `on_lost` when the channel breaks."""
        self._on_lost = on_lost

        def on_message(raw: Any) -> None:
            if self.alive:
                taken = read(self, raw)
                self.unsettled[taken.tag] = None
                take(taken)

        Queue(self.queue)(self.channel).consume(self.queue, on_message, no_ack=False, nowait=True)

    def settle(self, taken: Taken) -> None:
        """Acknowledge a delivery, soon."""
        if self.alive:
            if not self._settled:
                asyncio.get_running_loop().call_soon(self._flush)
            self._settled.add(taken.tag)

    def release(self, taken: Taken) -> None:
        """Put a delivery back. basic.reject, because RabbitMQ counts it on every version."""
        if self.alive and self.unsettled.pop(taken.tag, self) is None:
            self._tell(partial(self.channel.basic_reject, taken.tag, requeue=True))

    def end(self) -> None:
        """Neither take nor tell anything any more."""
        self._flush()
        self.alive = False

    def _flush(self) -> None:
        if not self.alive or not self._settled:
            return
        settled, self._settled = self._settled, set()
        if self._multiple:
            self._settle_first(settled)
        for tag in settled:
            self.unsettled.pop(tag, None)
            self._tell(partial(self.channel.basic_ack, tag, multiple=False))

    def _settle_first(self, settled: set[Any]) -> None:
        """Acknowledge the settled run from the oldest unsettled delivery on with one method."""
        run = list(takewhile(settled.__contains__, self.unsettled))
        if run:
            settled.difference_update(run)
            for tag in run:
                del self.unsettled[tag]
            self._tell(partial(self.channel.basic_ack, run[-1], multiple=True))

    def _tell(self, method: Callable[[], object]) -> None:
        try:
            method()
        except Exception as error:  # noqa: BLE001 -- a broken channel shows in many ways; what it held comes again
            self.alive = False
            self._on_lost(error)
