"""A throwaway PostgreSQL cluster: port and folder of its own, on loopback, never as root; killed and started again."""

import asyncio
import os
import pwd
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg

from tests.processes import Group, found, free_port, listens, of_its_own, until_it

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/usr/bin")


class PostgresServer:
    """One PostgreSQL cluster; `url` names its database `postgres`."""

    def __init__(self, folder: Path | None = None, *, durable: bool = False) -> None:
        """Create the cluster. Raises Unavailable without the binaries. `durable` syncs to disk, for fault tests."""
        self._bin = found("initdb", PLACES).parent
        self._folder = of_its_own(folder, "busyline-postgres-")
        self._owner = _give_away(self._folder)
        self._durable = durable
        self.port = free_port()
        self.url = f"postgresql://busyline@127.0.0.1:{self.port}/postgres"
        self._server: Group | None = None
        self._run("initdb", "-D", self._data, "-U", "busyline", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Start, unless it runs, and wait until it answers."""
        if self._server is not None:
            return
        synced = "on" if self._durable else "off"
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": synced,
            "full_page_writes": synced,
            "synchronous_commit": synced,
            "max_connections": "200",
        }
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._server = Group([self._bin / "postgres", "-D", self._data, *arguments], self._folder, user=self._owner)
        until_it(self._answers, 60, "PostgreSQL")

    def kill(self) -> None:
        """Kill it where it stands."""
        if self._server is not None:
            self._server.kill()
            until_it(lambda: not listens(self.port), 60, "PostgreSQL's end")
            self._server = None

    def stop(self) -> None:
        """End it and delete everything."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def create_database(self, name: str, *, template: str = "template0") -> str:
        """Create a database, as a copy of another if told so, and return its URL."""
        execute(self.url, f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"{self.url.rpartition('/')[0]}/{name}"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self._bin / program, *arguments]
        subprocess.run(command, user=self._owner, cwd=self._folder, stdout=subprocess.DEVNULL, check=True)

    def _answers(self) -> bool:
        if self._server is not None and not self._server.alive:
            raise RuntimeError("PostgreSQL ended while starting")
        return answers_sql(self.url)


def execute(url: str, *statements: str) -> None:
    """Run statements on a PostgreSQL, each on its own, from outside any event loop."""

    async def work() -> None:
        connection = await asyncpg.connect(url, timeout=60)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as elsewhere:  # the caller may hold a running loop
        elsewhere.submit(asyncio.run, work()).result()


def answers_sql(url: str) -> bool:
    """Say whether a PostgreSQL answers."""
    try:
        execute(url, "SELECT 1")
    except (OSError, asyncpg.PostgresError):
        return False
    return True


def _give_away(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: another user then owns the folder and may walk to it."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    owner = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, owner)
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    return owner
