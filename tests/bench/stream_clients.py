"""So many clients of the stream in a process of its own, as bare as can be: what each was told, and when.

Arguments: port, tokens as a JSON list, clients of each. It prints a line once all are connected; given a line of JSON
with the instant at which each position was committed, by org, it prints what was missed, told twice, and the latencies.
"""

import asyncio
import json
import re
import resource
import sys
import time
from collections import Counter
from typing import Any

_ID = re.compile(rb"id: (\d+)\nevent: (\w)")


class Client(asyncio.Protocol):
    """One connection; notes every position told, with the instant its bytes came."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.told: list[tuple[int, float]] = []
        self.begun = asyncio.get_running_loop().create_future()
        self.lost = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Note what was told."""
        now = time.monotonic()
        if not self.begun.done() and data.startswith(b"HTTP/1.1 200"):
            self.begun.set_result(None)
        data = self._rest + data
        end = 0
        for found in _ID.finditer(data):
            end = found.end()
            if found[2] != b"p":  # not `position`
                self.told.append((int(found[1]), now))
        self._rest = data[max(end, len(data) - 40) :]

    def connection_lost(self, _: Exception | None) -> None:
        """Note that it ended."""
        self.lost = True


async def main(port: int, tokens: list[str], each: int) -> None:
    """Connect all, wait for the word, and report."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    loop = asyncio.get_running_loop()
    clients: list[tuple[int, Client]] = []
    started = time.monotonic()
    for number, token in enumerate(tokens):
        made = await asyncio.gather(
            *(loop.create_connection(lambda token=token: Client(token), "127.0.0.1", port) for _ in range(each))  # type: ignore[misc]
        )
        clients += [(number, client) for _, client in made]
    await asyncio.wait_for(asyncio.gather(*(client.begun for _, client in clients)), 120)
    print(json.dumps({"connected": time.monotonic() - started}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        committed = [{int(position): at for position, at in org.items()} for org in json.loads(line)]
        await _all_told(clients, committed)
        print(json.dumps(_report(clients, committed)), flush=True)
        for _, client in clients:
            client.told.clear()


async def _all_told(clients: list[tuple[int, Client]], committed: list[dict[int, float]]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and any(len(client.told) < len(committed[number]) for number, client in clients):
        await asyncio.sleep(0.05)


def _report(clients: list[tuple[int, Client]], committed: list[dict[int, float]]) -> dict[str, Any]:
    missed = twice = strange = 0
    late: list[float] = []
    for number, client in clients:
        seen = Counter(position for position, _ in client.told)
        missed += len(committed[number].keys() - seen.keys())
        strange += len(seen.keys() - committed[number].keys())
        twice += sum(seen.values()) - len(seen)
        late += [at - committed[number][position] for position, at in client.told if position in committed[number]]
    late.sort()
    first = min((at for org in committed for at in org.values()), default=0.0)
    return {
        "told": len(late),
        "missed": missed,
        "twice": twice,
        "strange": strange,
        "lost": sum(client.lost for _, client in clients),
        "p50": late[len(late) // 2] if late else None,
        "p99": late[len(late) * 99 // 100] if late else None,
        "last": max((at for _, client in clients for _, at in client.told[-1:]), default=0.0) - first,
        "cpu": time.process_time(),
    }


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])))
