"""A service whose clock is off: `python -m tests.pipeline.shifted SERVICE SECONDS`, ahead where positive."""

import sys
from collections.abc import Callable
from typing import TypeVar

from shared import clock
from tests.pipeline.dying import run

N = TypeVar("N", int, float)


def shift(seconds: int) -> None:
    """Let every reading of the clock in this process be off by so many seconds."""
    clock.now = _off(clock.now, seconds)
    clock.exact = _off(clock.exact, seconds)


def _off(read: Callable[[], N], seconds: int) -> Callable[[], N]:
    return lambda: read() + seconds


if __name__ == "__main__":
    shift(int(sys.argv[2]))
    run(sys.argv[1])
