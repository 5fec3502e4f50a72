"""What every part of the bench runs in: a sandbox in a process of its own, a RabbitMQ and a PostgreSQL of its own."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.broker import topology
from tests.pipeline.fleet import TICKS
from tests.postgres_server import execute
from tests.processes import Group
from tests.rabbit_server import empty
from tests.servers import postgres_server, rabbit_server


class SandboxProcess:
    """A sandbox in a process of its own; `reach` says how to get at it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.reach: dict[str, Any] = self._heard()

    async def change(self, number: int, *, per_second: float, tenant: str) -> list[tuple[str, float]]:
        """Change so many calendars of a tenant at a pace and return [address, instant]."""
        return [(address, at) for address, at in await self._ask(f"change {number} {per_second} {tenant}")]

    async def keep(self, number: int, *, tenant: str) -> None:
        """Remove all but so many people of a tenant."""
        await self._ask(f"keep {number} {tenant}")

    async def subscriptions(self, tenant: str) -> int:
        """Return how many subscriptions live."""
        return int(await self._ask(f"subscriptions {tenant}"))

    async def requests(self) -> dict[str, int]:
        """Return how many requests of which kind there were."""
        return {name: int(count) for name, count in (await self._ask("requests")).items()}

    async def _ask(self, line: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        return await asyncio.to_thread(self._heard)

    def _heard(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def sandbox(folder: Path, **options: Any) -> Iterator[SandboxProcess]:
    """Give a sandbox in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.bench.sandbox_process", str(folder), json.dumps(options)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield SandboxProcess(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


class Servers:
    """RabbitMQ and PostgreSQL of the bench's own; empty queues and a fresh database for every run."""

    def __init__(self) -> None:
        """Start both."""
        self._rabbit, self._postgres = rabbit_server(), postgres_server()
        self._rabbit.start()
        self._postgres.start()
        self._count = 0

    def broker(self) -> str:
        """Return the broker's address, its queues empty."""
        empty(self._rabbit.url, list(topology.queue_arguments()))
        return self._rabbit.url

    def database(self) -> str:
        """Return the address of a database never used before."""
        self._count += 1
        execute(self._postgres.url, f"CREATE DATABASE bench_{self._count}")
        return f"{self._postgres.url.rpartition('/')[0]}/bench_{self._count}"

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds both have used so far."""
        return {"RabbitMQ": _session_cpu(self._rabbit), "PostgreSQL": _session_cpu(self._postgres)}

    def stop(self) -> None:
        """End both."""
        self._rabbit.stop()
        self._postgres.stop()


def _session_cpu(server: object) -> float:
    """Return the CPU seconds of a server's process and all its session's, the ended ones included."""
    group = getattr(server, "_server", None)
    if not isinstance(group, Group):  # in a container
        return 0.0
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(") ", 1)[1].split()
            if group.pid in (int(fields[1]), int(fields[3])):  # PostgreSQL's children open sessions of their own
                used += sum(int(field) for field in fields[11:15])
    return used / TICKS
