"""A PostgreSQL for tests: from BUSYLINE_TEST_PG_URL, from binaries on this machine, or from a container.

One server a test run, started when first asked for and ended with the process; every test has a database of its own.
"""

import asyncio
import atexit
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import asyncpg
import pytest

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/usr/bin")


@contextmanager
def fresh_database() -> Iterator[str]:
    """Give the URL of an empty database, dropped afterwards; skip the test where no PostgreSQL can be had."""
    server = _server()
    if server is None:
        pytest.skip("no PostgreSQL: set BUSYLINE_TEST_PG_URL, install postgresql, or start Docker")
    name = f"test_{secrets.token_hex(6)}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield f"{server.rsplit('/', 1)[0]}/{name}"
    finally:
        _execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as elsewhere:  # the caller may hold a running loop
        elsewhere.submit(asyncio.run, work()).result()


@cache
def _server() -> str | None:
    return os.environ.get("BUSYLINE_TEST_PG_URL") or _from_binaries() or _from_container()


def _from_binaries() -> str | None:
    found = sorted(path for place in PLACES for path in Path("/").glob(f"{place.lstrip('/')}/initdb"))
    if not found:
        return None
    bin_folder = found[-1].resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="busyline-pg-"))
    owner = _owner(folder)
    initdb = [bin_folder / "initdb", "-D", folder / "data", "-U", "busyline", "-A", "trust", "--no-sync"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=owner, cwd=folder)
    port = _free_port()
    options = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "fsync": "off"}
    arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [bin_folder / "postgres", "-D", folder / "data", *arguments], stdout=log, stderr=log, user=owner, cwd=folder
    )
    atexit.register(_end, server, folder)
    url = f"postgresql://busyline@127.0.0.1:{port}/postgres"
    _wait(url)
    return url


def _owner(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: another user then owns the folder."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    owner = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, owner)
    return owner


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(url: str) -> None:
    """Return once the server answers; tries last at most half a minute."""
    end = time.monotonic() + 30
    while True:
        try:
            _execute(url, "SELECT 1")
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _end(server: subprocess.Popen[bytes], folder: Path) -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _from_container() -> str | None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode != 0:
        return None
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415 -- slow to import, and rarely needed

    container = PostgresContainer("postgres:17-alpine", driver=None)
    container.start()
    atexit.register(container.stop)
    url: str = container.get_connection_url()
    return url.replace("postgresql+psycopg2", "postgresql")
