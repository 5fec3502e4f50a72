"""The one loop of every service and both engines: take, decode, handle, publish, commit, acknowledge, decide fates.

A delivery is acknowledged only after what its handler returned is confirmed and what it learned is committed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from shared import clock, logs
from shared.broker import fates, parked, wire
from shared.broker.fates import Again, Back, Limits, Park
from shared.broker.interface import Consumer, Delivery, Unroutable
from shared.broker.wire import Letter, Taken
from shared.errors import Fate, Halt, Reject

LONGEST_REST = 2 * 86_400  # seconds; nothing of ours rests longer than a day, so a header that says so is not ours

Send = Callable[[Sequence[Letter]], Awaitable[None]]


class Consumption(Protocol):
    """Deliveries coming in from some queues, through whatever breaks and heals beneath."""

    failed: asyncio.Future[None]  # holds the error when it cannot go on

    def settle(self, taken: Taken) -> None:
        """Acknowledge; in silence where the delivery's channel is gone."""

    def release(self, taken: Taken) -> None:
        """Put a delivery back into its queue; in silence where its channel is gone."""

    def pause(self) -> None:
        """Take no more."""

    async def close(self) -> None:
        """Hand back whatever is neither settled nor released, and close."""


class Engine(Protocol):
    """What an engine can do: publish letters with confirms, and deliver."""

    async def send(self, letters: Sequence[Letter]) -> None:
        """Return once every letter is confirmed. Raises Unroutable."""

    def consume(self, wanted: Mapping[str, int], take: Callable[[Taken], None]) -> Consumption:
        """Call `take` for each delivery of the queues wanted, at most so many unsettled ones a queue."""
        ...


class Outcome(Struct, frozen=True):
    """One line in the log: what became of a delivery."""

    name: str
    fate: Again | Park | Back | None = None


DONE = Outcome("done")
EARLY = Outcome("early")
STALE = Outcome("stale")


async def run(
    engine: Engine, send: Send, consumers: Sequence[Consumer], *, shift: "Shift", stop: asyncio.Event
) -> None:
    """Work until `stop` is set or a handler halts; what is in hand finishes within the deadline, the rest goes back."""
    consumption = engine.consume({consumer.queue: consumer.in_flight for consumer in consumers}, shift.take)
    hands = [
        asyncio.create_task(shift.work(consumer, consumption, send), name=f"{consumer.queue} {number}")
        for consumer in consumers
        for number in range(consumer.in_flight)
    ]
    stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({stopped, shift.halted, consumption.failed}, return_when=asyncio.FIRST_COMPLETED)
        consumption.pause()
        shift.end()
        await asyncio.wait(hands, timeout=shift.limits.deadline)
    finally:
        stopped.cancel()
        for hand in hands:
            hand.cancel()
        await asyncio.gather(stopped, *hands, return_exceptions=True)
        await consumption.close()
    for ended in (shift.halted, consumption.failed):
        if ended.done() and not ended.cancelled():
            ended.result()


class Shift:
    """The deliveries waiting for a hand, and what the hands do with them."""

    def __init__(self, service: str, consumers: Sequence[Consumer], limits: Limits) -> None:
        """Prepare a line of deliveries for each consumer. Raises ValueError for a queue consumed twice."""
        self.limits = limits
        self.halted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines: dict[str, asyncio.Queue[Taken | None]] = {each.queue: asyncio.Queue() for each in consumers}
        if len(self._lines) != len(consumers):
            raise ValueError("each queue has one consumer")
        self._hands = {each.queue: each.in_flight for each in consumers}
        self._ending = False
        self._log = logs.get(service)
        self._tells_all = self._log.is_enabled_for(logging.DEBUG)

    def take(self, taken: Taken) -> None:
        """Lay a delivery in its line."""
        self._lines[taken.queue].put_nowait(taken)

    def end(self) -> None:
        """Let every hand go home once it has finished what it holds; what still waits stays with the broker."""
        self._ending = True
        for queue, line in self._lines.items():
            for _ in range(self._hands[queue]):
                line.put_nowait(None)

    async def work(self, consumer: Consumer, consumption: Consumption, send: Send) -> None:
        """Be one hand: one delivery after the other, to the end of the shift."""
        line = self._lines[consumer.queue]
        try:
            while (taken := await line.get()) is not None and not self._ending:
                await self._one(taken, consumer, consumption, send)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it must end the run, not this hand alone
            self._halt(error)

    async def _one(self, taken: Taken, consumer: Consumer, consumption: Consumption, send: Send) -> None:
        started = asyncio.get_running_loop().time()
        try:
            outcome = await self._handled(taken, consumer, send)
        except Exception as error:  # noqa: BLE001 -- every error has a fate
            outcome = await self._fallen(taken, error, send)
        if isinstance(outcome.fate, Back):
            self._halt(outcome.fate.halt)
            consumption.release(taken)
        elif outcome is not STALE:
            consumption.settle(taken)
        self._note(taken, outcome, asyncio.get_running_loop().time() - started)

    async def _handled(self, taken: Taken, consumer: Consumer, send: Send) -> Outcome:
        if not taken.source.alive:  # its channel is gone, so it comes again by another
            return STALE
        if taken.not_before and (now := clock.exact()) < taken.not_before:
            if taken.not_before - now > LONGEST_REST:
                raise Reject("malformed", "headers.not_before")
            again = wire.again(taken, attempt=taken.attempt)
            await send((wire.delayed(again, taken.queue, not_before=taken.not_before, now=now),))
            return EARLY
        if taken.deliveries >= self.limits.deliveries:
            raise Reject("crash_loop")
        message = wire.decode(taken)
        done = await consumer.handle(message, _delivery(taken))
        if done.messages:
            now = clock.exact()
            await send([wire.letter(each, now=now) for each in done.messages])
        if done.commit is not None:
            await done.commit()
        return DONE

    async def _fallen(self, taken: Taken, error: Exception, send: Send) -> Outcome:
        if not isinstance(error, Fate | Unroutable):
            self._log.error("message.failed", queue=taken.queue, reason="bug", **logs.failure(error))
        fate = fates.fate_of(error, attempt=taken.attempt, limits=self.limits)
        now = clock.exact()
        try:
            match fate:
                case Again():
                    await send((_retried(taken, fate, now),))
                    return Outcome("retried", fate)
                case Park():
                    await send((parked.letter(taken, fate, now=int(now)),))
                    return Outcome("parked", fate)
                case Back():
                    return Outcome("halted", fate)
        except Unroutable:  # not even our own queues are there: nothing can be done with any message
            return Outcome("halted", Back(halt=Halt("topology_missing")))

    def _halt(self, error: Exception) -> None:
        self._ending = True
        if not self.halted.done():
            self.halted.set_exception(error)

    def _note(self, taken: Taken, outcome: Outcome, seconds: float) -> None:
        if outcome.fate is not None:
            self._log.warning("message.handled", **_line(taken, outcome, seconds))
        elif self._tells_all:
            self._log.debug("message.handled", **_line(taken, outcome, seconds))


def _delivery(taken: Taken) -> Delivery:
    return Delivery(taken.message_id, taken.attempt, taken.redelivered, taken.timestamp)


def _retried(taken: Taken, fate: Again, now: float) -> Letter:
    again = wire.again(taken, attempt=fate.attempt)
    return wire.delayed(again, taken.queue, not_before=now + fate.after, now=now) if fate.after else again


def _line(taken: Taken, outcome: Outcome, seconds: float) -> dict[str, Any]:
    line: dict[str, Any] = {
        "outcome": outcome.name,
        "queue": taken.queue,
        "message_type": wire.known_type(taken.message_type),
        "message_id": wire.word(taken.message_id),
        "attempt": taken.attempt,
        "duration_ms": round(seconds * 1000, 3),
    }
    match outcome.fate:
        case Again(reason=reason, where=where, after=after):
            line |= {"reason": reason, "where": where, "after": after}
        case Park(reason=reason, where=where):
            line |= {"reason": reason, "where": where}
        case Back(halt=halt):
            line |= {"reason": getattr(halt, "reason", "halt"), "where": getattr(halt, "where", "")}
    return line
