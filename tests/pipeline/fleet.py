"""The services as processes of their own, to be scaled, measured and killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import aiohttp
from sqlalchemy import text

from deploy.command.api import Api
from deploy.command.everything import prepare
from deploy.command.published import progress
from deploy.sandbox import Sandbox
from services.authorizer import orgs
from services.publisher import consumers
from shared import clock
from shared.broker import open_broker
from shared.config import Deployment, Secret
from shared.contracts.messages import GraphConnection, OrgConnected
from shared.contracts.policy import Policy
from shared.errors import Reject
from shared.ews.credential import EwsCredential
from shared.identity import GraphCredential
from shared.store import Store, open_store
from shared.vault import load_vault
from tests.processes import free_port

ROOT = Path(__file__).parents[2]
SERVICES = ("authorizer", "fetcher", "normalizer", "publisher")
TICKS = os.sysconf("SC_CLK_TCK")


class Fleet:
    """Starts, measures and kills `python -m services.<name>`; ends every process it started, by its id."""

    def __init__(self, folder: Path, *, broker_url: str, database_url: str, **more: str) -> None:
        """Take where the fleet's files go, its servers, and further settings by name."""
        self.folder = folder
        self.port = free_port()
        self.deployment = Deployment(
            broker_url=Secret(broker_url),
            database_url=Secret(database_url),
            keys_file=str(folder / "keys"),
            ca_file=more.get("BUSYLINE_CA_FILE", ""),
            sandbox_url=more.get("BUSYLINE_SANDBOX_URL", ""),
        )
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUSYLINE_")},
            "BUSYLINE_BROKER_URL": broker_url,
            "BUSYLINE_DATABASE_URL": database_url,
            "BUSYLINE_KEYS_FILE": str(folder / "keys"),
            "BUSYLINE_PUBLISHER_PORT": str(self.port),
            **more,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._health: dict[str, int] = {}
        self.token = ""
        prepare(self.deployment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all()

    def end_all(self) -> None:
        """End every process; whoever serves them meanwhile calls this in a thread."""
        for name in list(self._processes):
            self.end(name)

    def start(self, name: str, replica: int = 1, *, module: str = "", arguments: tuple[str, ...] = ()) -> None:
        """Start one replica of a service, or another module in its place with these arguments."""
        log = (self.folder / f"{name}.{replica}.log").open("ab")
        health = self._health[f"{name}.{replica}"] = free_port()
        environ = self._environ | {"BUSYLINE_HEALTH_PORT": str(health)}
        self._processes[f"{name}.{replica}"] = subprocess.Popen(
            [sys.executable, "-m", module or f"services.{name}", *arguments],
            cwd=ROOT, env=environ, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()

    def start_all(self, *, fetchers: int = 1) -> None:
        """Start one of each, and as many fetchers as asked for."""
        for name in SERVICES:
            for replica in range(1, (fetchers if name == "fetcher" else 1) + 1):
                self.start(name, replica)

    def kill(self, name: str, replica: int = 1) -> None:
        """Kill -9 one replica."""
        process = self._processes.pop(f"{name}.{replica}")
        process.send_signal(signal.SIGKILL)
        process.wait()

    async def died(self, name: str, replica: int = 1, *, within: float = 120) -> int:
        """Wait until a replica has ended by itself and return its status; -9 where it was killed."""
        process = self._processes[f"{name}.{replica}"]
        async with asyncio.timeout(within):
            while process.poll() is None:
                await asyncio.sleep(0.02)
        del self._processes[f"{name}.{replica}"]
        return int(process.returncode)

    def end(self, name: str) -> None:
        """Ask a process to end, and kill it if it does not."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def dead(self) -> list[str]:
        """Return the names of processes that ended by themselves."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds used so far by each service, replicas added up."""
        used: dict[str, float] = {}
        for name, process in self._processes.items():
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
            service = name.split(".")[0]
            used[service] = used.get(service, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS
        return used

    def peak_memory(self) -> dict[str, float]:
        """Return the largest resident size so far of each service's largest replica, in MiB."""
        peak: dict[str, float] = {}
        for name, process in self._processes.items():
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            size = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
            service = name.split(".")[0]
            peak[service] = max(peak.get(service, 0.0), size)
        return peak

    async def connect(self, org_id: str, sandbox: dict[str, str], policy: Policy) -> None:
        """Seal a credential, admit a consumer, and say, as a platform would, that the org connected."""
        store = open_store(self.deployment.database_url.reveal())
        broker = open_broker(self.deployment.broker_url.reveal())
        credential = GraphCredential(client_id=sandbox["client_id"], client_secret=sandbox["client_secret"])
        try:
            with contextlib.suppress(Reject):  # admitted before
                self.token = await consumers.add(store, f"tests-{org_id}", [org_id], now=clock.now())
            await seal(store, self.deployment, org_id, credential)
            connection = GraphConnection(tenant_id=sandbox["tenant_id"], credential=org_id, cloud="sandbox")
            await broker.publish([OrgConnected(org_id=org_id, connection=connection, policy=policy)])
        finally:
            await broker.close()
            await store.close()

    async def ready(self, *, within: float = 120) -> None:
        """Wait until every service says that it can do its work."""
        async with asyncio.timeout(within), aiohttp.ClientSession() as session:
            for port in [self._health[name] for name in self._processes]:
                while not await _is_ready(session, port):
                    await asyncio.sleep(0.05)

    async def quiet(self, *, within: float = 120) -> None:
        """Wait until nobody reads and no hint waits: what subscribing made necessary is done."""
        store = open_store(self.deployment.database_url.reveal())
        broker = open_broker(self.deployment.broker_url.reveal())
        end, quiet = time.monotonic() + within, 0
        busy = text("SELECT count(*) FROM mailboxes WHERE lease_id IS NOT NULL OR dirty")
        gaps = text("SELECT count(*) FROM subscriptions WHERE reason = 'gap' OR subscription_id IS NULL")
        try:
            while time.monotonic() < end:
                waiting = await broker.depth("fetcher.live")
                async with store.read() as connection:
                    waiting += sum([(await connection.execute(query)).scalar_one() for query in (gaps, busy)])
                quiet = quiet + 1 if not waiting else 0
                if quiet == 10:  # in a row: a hint may be between queue and table
                    return
                await asyncio.sleep(0.1)
        finally:
            await broker.close()
            await store.close()
        raise AssertionError(f"not quiet after {within} s")

    async def relayed(self, *, within: float = 120) -> None:
        """Wait until every update of the log has been announced."""
        store = open_store(self.deployment.database_url.reveal())
        end = time.monotonic() + within
        query = text("SELECT (SELECT max(position) FROM updates), (SELECT max(position) FROM relay)")
        try:
            while time.monotonic() < end:
                async with store.read() as connection:
                    last, announced = (await connection.execute(query)).one()
                if last == announced:
                    return
                await asyncio.sleep(0.1)
        finally:
            await store.close()
        raise AssertionError(f"updates are not announced after {within} s")

    def api(self, org_id: str) -> Api:
        """Return the org as a consumer sees it."""
        return Api(f"http://127.0.0.1:{self.port}", self.token, org_id)

    async def settled(self, org_id: str, *, within: float = 300) -> dict[str, Any]:
        """Return the org's status once every mailbox has coverage or a final reason."""
        end = time.monotonic() + within
        status: dict[str, Any] | None = None
        async with self.api(org_id) as api:
            while time.monotonic() < end:
                with contextlib.suppress(aiohttp.ClientError):  # the publisher may be dead just now
                    status = await api.status()
                    if status is not None and progress(status).complete:
                        return status
                await asyncio.sleep(0.3)
        raise AssertionError(f"not settled after {within} s: {status}, ended by themselves: {self.dead()}")


async def seal(store: Store, deployment: Deployment, org_id: str, credential: GraphCredential | EwsCredential) -> None:
    """Store an org's credential, under the org's own id."""
    await orgs.put_credential(store, load_vault(deployment.keys_file), org_id, credential, now=clock.now())


async def _is_ready(session: aiohttp.ClientSession, port: int) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status == 200
    return False


def entry(sandbox: Sandbox) -> dict[str, str]:
    """Return what a fleet needs to know of a sandbox in this process."""
    return {"tenant_id": sandbox.tenant_id, "client_id": sandbox.client_id, "client_secret": sandbox.client_secret}


def environment(sandbox: Sandbox) -> dict[str, str]:
    """Return the settings that make a sandbox the cloud named `sandbox`."""
    return {"BUSYLINE_SANDBOX_URL": sandbox.url, "BUSYLINE_CA_FILE": str(sandbox.ca_file)}


def notified() -> dict[str, str]:
    """Return the settings that let a sandbox notify the one fetcher of a fleet."""
    port = str(free_port())
    return {
        "BUSYLINE_FETCHER_NOTIFY_URL": f"http://127.0.0.1:{port}/graph",
        "BUSYLINE_FETCHER_NOTIFY_HOST": "127.0.0.1",
        "BUSYLINE_FETCHER_NOTIFY_PORT": port,
    }
