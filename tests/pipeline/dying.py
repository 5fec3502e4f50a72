"""A service that kills itself at an exact step of the loop: `python -m tests.pipeline.dying SERVICE STEP COUNT`.

The loop is wrapped from outside, the product has no hooks for it. SERVICE is one of the four, or `up` for all in one.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, Protocol, cast

import msgspec

from shared import process
from shared.broker import Consumer, Delivery, Done, loop
from shared.contracts.messages import Message

STEPS = (
    "decoded",  # the message is read, nothing is done yet
    "handled",  # what follows is known and not published
    "published",  # and not committed
    "committed",  # and not acknowledged
)


class Death:
    """Waits for a step to come the COUNTth time and kills this very process there, as kill -9 does."""

    def __init__(self, step: str, count: int) -> None:
        if step not in STEPS:
            raise ValueError(f"STEP is one of {', '.join(STEPS)}")
        self._step = step
        self._left = count

    def at(self, step: str) -> None:
        """Die here if the time has come."""
        if step == self._step:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class _Consumption(Protocol):
    def settle(self, taken: Any) -> None: ...


class _Doomed:
    """A consumption whose acknowledgements may come too late."""

    def __init__(self, inner: _Consumption, death: Death) -> None:
        self._inner = inner
        self._death = death

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def settle(self, taken: Any) -> None:
        self._death.at("committed")
        self._inner.settle(taken)


def doomed(consumer: Consumer, death: Death) -> Consumer:
    """Return a consumer that dies before or after its handler's work, or before what it learned is committed."""

    async def handle(message: Message, delivery: Delivery) -> Done:
        death.at("decoded")
        done = await consumer.handle(message, delivery)
        death.at("handled")
        return Done(done.messages, _committing(done.commit, death))

    return msgspec.structs.replace(consumer, handle=handle)


def _committing(commit: Callable[[], Awaitable[None]] | None, death: Death) -> Callable[[], Awaitable[None]]:
    async def committed() -> None:
        death.at("published")
        if commit is not None:
            await commit()

    return committed


def wrap(death: Death) -> None:
    """Put the death into every hand of every loop of this process."""
    work = loop.Shift.work

    async def dying(shift: loop.Shift, consumer: Consumer, consumption: loop.Consumption, send: loop.Send) -> None:
        wrapped = cast("loop.Consumption", _Doomed(consumption, death))
        await work(shift, doomed(consumer, death), wrapped, send)

    loop.Shift.work = dying  # type: ignore[assignment, method-assign]


def run(service: str) -> None:
    """Run a service, or everything, as its command does."""
    if service == "up":
        import_module("deploy.command.main").main(["up"])
    else:
        wired = import_module(f"services.{service}.__main__")
        process.main(service, wired.Settings, wired.run)


if __name__ == "__main__":
    name, step, count = sys.argv[1:]
    wrap(Death(step, int(count)))
    run(name)
