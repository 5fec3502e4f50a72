"""Waiting for something to come about, with a deadline instead of a fixed pause."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 60.0) -> None:
    """Return as soon as it holds; fail after so many seconds."""
    begun = time.monotonic()
    while True:
        answer = holds()
        if answer if isinstance(answer, bool) else await answer:
            return
        waited = time.monotonic() - begun
        assert waited < seconds, f"did not come about in {seconds} s"
        await asyncio.sleep(min(0.01 + waited / 20, 0.1))  # whoever waits long asks less often
