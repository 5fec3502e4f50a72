"""Edge: what the names of endpoints mean. A name server that does not answer holds up its own names, and no others.

It remembers nothing: each dialling asks anew. The threads are its own, one for each name that is being looked up: in
the event loop's few, a handful of slow names would hold up every other endpoint, and the end of the process.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

MOST: Final = 256  # names that are looked up at a time
Key = tuple[str, int, int]


class Names(AbstractResolver):
    """Looks names up; whoever asks while the same is being looked up is given the same answer."""

    def __init__(self) -> None:
        """Begin with nothing under way."""
        self._under_way: dict[Key, asyncio.Future[list[Any]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises OSError where it has none, or too many names are looked up."""
        key = (host, port, int(family))
        if key not in self._under_way:
            if len(self._under_way) >= MOST:
                raise OSError("too many names at a time")
            self._begin(key)
        found = await asyncio.shield(self._under_way[key])
        return [_result(host, each) for each in found if each[0] in {socket.AF_INET, socket.AF_INET6}]

    async def close(self) -> None:
        """Leave to themselves the lookups that nobody waits for any more."""
        self._under_way.clear()

    def _begin(self, key: Key) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()

        def settle(found: list[Any], error: OSError | None) -> None:
            self._under_way.pop(key, None)
            if error is None:
                future.set_result(found)
            else:
                future.set_exception(error)
                future.exception()  # seen: who asked may have gone meanwhile

        def look_up() -> None:
            found, error = _looked_up(key)
            with suppress(RuntimeError):  # the loop ended meanwhile
                loop.call_soon_threadsafe(settle, found, error)

        threading.Thread(target=look_up, daemon=True, name="webhook-name").start()
        self._under_way[key] = future


def _looked_up(key: Key) -> tuple[list[Any], OSError | None]:
    host, port, family = key
    try:
        return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)), None
    except OSError as error:
        return [], error
    except UnicodeError:  # a label that IDNA does not allow
        return [], OSError("no name")


def _result(host: str, found: Any) -> ResolveResult:
    family, _, proto, _, address = found
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address[0], port=address[1], family=family, proto=proto, flags=numeric)
