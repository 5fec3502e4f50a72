"""An event loop whose time is its own: it passes only while there is nothing to do, up to the next timer, or in leaps.

Sleeps, pauses and timers of everything that runs on the loop follow, and so does `shared.clock`. What threads do for
the loop (SQLite, msal) takes no time, unless it waits for something that does.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msal.application
import msal.individual_cache
import msal.token_cache
from aiosqlite import core

from shared import clock

_BY_THE_CLOCK = (msal.application, msal.individual_cache, msal.token_cache)  # tokens end by it
QUIET = 0.001  # seconds of real time without an event, after which nothing is under way on sockets
STUCK = 0.5  # after which a thread that works for the loop, and does not compute, waits for its time to pass
PATIENCE = 60  # times so long a thread may compute, or wait for a processor, before time passes nevertheless
_THREADS = Path("/proc/self/task")


class _Patient(selectors.DefaultSelector):
    """Waits for events a moment; then the time waited for is over."""

    passed = 0.0
    in_threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(STUCK if self.in_threads else QUIET)
        for _ in range(PATIENCE):
            if events or not self.in_threads or not _others_compute():
                break
            events = super().select(STUCK)
        if not events:
            self.passed += timeout
        return events


def _others_compute() -> bool:
    """Say whether a thread of this process besides this one runs, waits for a processor or for a disk."""
    mine = str(threading.get_native_id())
    others = (one / "stat" for one in _THREADS.glob("*") if one.name != mine)
    return any(_state(each) in "RD" for each in others)


def _state(stat: Path) -> str:
    try:
        return stat.read_text().rpartition(") ")[2][0]
    except OSError:  # it has ended meanwhile
        return "X"


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop in a time of its own, which begins at zero."""

    def __init__(self) -> None:
        self._patient = _Patient()
        super().__init__(self._patient)

    def time(self) -> float:
        """Return the seconds that have passed here."""
        return self._patient.passed

    def leap(self, seconds: float) -> None:
        """Let so much time pass at once: every timer due by then fires in the next turn, each once."""
        self._patient.passed += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Run in a thread, and know of it until it is done."""
        running = super().run_in_executor(executor, func, *args)
        self.knows_of(running)
        return running

    def knows_of(self, future: "asyncio.Future[Any]") -> None:
        """Know of what a thread does until it is done."""
        self._patient.in_threads += 1
        future.add_done_callback(lambda _: self._came_back())

    def _came_back(self) -> None:
        self._patient.in_threads -= 1


class _Told(SimpleQueue[Any]):
    """What a connection's thread is to do, each with the future that waits for it."""

    def put_nowait(self, item: Any) -> None:
        loop = item[0].get_loop() if item[0] is not None else None
        if isinstance(loop, SteppedLoop):  # the schema is made on a loop of its own
            loop.knows_of(item[0])
        super().put_nowait(item)


class _Time:
    """The module `time`, for those who ask it how late it is."""

    def __init__(self, passing: Callable[[], float]) -> None:
        self.time = passing

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def stepped(start: float) -> Iterator[SteppedLoop]:
    """Give a loop and let `shared.clock` follow it from an instant (UTC seconds) on."""
    made = SteppedLoop()
    now, exact = clock.now, clock.exact
    clock.now = lambda: int(start + made.time())
    clock.exact = lambda: start + made.time()
    core.SimpleQueue = _Told  # type: ignore[attr-defined]
    for module in _BY_THE_CLOCK:
        module.time = _Time(clock.exact)
    try:
        yield made
    finally:
        clock.now, clock.exact = now, exact
        core.SimpleQueue = SimpleQueue  # type: ignore[attr-defined]
        for module in _BY_THE_CLOCK:
            module.time = time
