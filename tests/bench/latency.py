"""From a change at Microsoft to the update in a consumer's hands, and where the time goes; changes at a steady pace."""

import asyncio
import json
import threading
import time
from pathlib import Path

import pika

from shared.broker import topology
from shared.contracts.policy import Policy
from tests.bench.surroundings import SandboxProcess, Servers, sandbox
from tests.pipeline.fleet import Fleet, notified

ORG = "latency"
STAGES = {  # a binding key, and what has happened when a message of it is there
    "mailbox.read.v1.live": "fetcher has the hint",
    "calendar.snapshot.v1.live": "fetcher has read",
    "availability.snapshot.v1.live": "normalizer is done",
    "update": "publisher has announced",
}


class Stamps:
    """When which message came by, in a thread of its own: (stage, mailbox id, what tells readings apart, instant)."""

    def __init__(self, url: str) -> None:
        self.seen: list[tuple[str, str, int, float]] = []
        self.addresses: dict[str, str] = {}
        self._end = threading.Event()
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(url,))
        self._thread.start()
        self._bound.wait(10)

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join()

    def _listen(self, url: str) -> None:
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            channel = connection.channel()
            for stage in STAGES:
                queue = str(channel.queue_declare("", exclusive=True).method.queue)
                exchange, key = (topology.AVAILABILITY, "#") if stage == "update" else (topology.EXCHANGE, stage)
                channel.queue_bind(queue, exchange, key)
                channel.basic_consume(queue, self._taker(stage), auto_ack=True)
            self._bound.set()
            while not self._end.is_set():
                connection.process_data_events(0.05)

    def _taker(self, stage: str) -> object:
        def take(_channel: object, _method: object, _properties: object, raw: bytes) -> None:
            now = time.time()  # noqa: TID251 -- the real time
            body = json.loads(raw)
            body = body.get("data", body)
            mailbox = body.get("mailbox")
            named = body.get("mailbox_id") or (mailbox or {}).get("mailbox_id", "")
            if stage == "update":
                self.addresses[named] = str(mailbox)
            self.seen.append((stage, named, int(body.get("version") or 0), now))

        return take


async def latency(folder: Path, servers: Servers, *, mailboxes: int = 2_000, per_second: int = 50) -> None:
    """Print percentiles of changes to updates, the share of each service, and CPU."""
    seconds = 60
    print(f"\n## latency: {mailboxes} mailboxes subscribed, {per_second} changes a second for {seconds} s")
    broker, database = servers.broker(), await asyncio.to_thread(servers.database)
    with sandbox(folder / "sandbox", mailboxes=mailboxes, events=20) as microsoft:
        settings = {**reached(microsoft), **notified(), "BUSYLINE_FETCHER_SUBSCRIBE_PER_SECOND": "500"}
        with Fleet(folder, broker_url=broker, database_url=database, **settings) as fleet:
            tenant = microsoft.reach["tenant_id"]
            await subscribed(fleet, microsoft, ORG, tenant=tenant, count=mailboxes)
            stamps = await asyncio.to_thread(Stamps, broker)
            before, began = fleet.cpu() | servers.cpu(), time.perf_counter()
            changes = await microsoft.change(per_second * seconds, per_second=per_second, tenant=tenant)
            await asyncio.sleep(5)
            wall = time.perf_counter() - began
            used = {name: after - before[name] for name, after in (fleet.cpu() | servers.cpu()).items()}
            await asyncio.to_thread(stamps.stop)
    report(changes, stamps)
    for name, cpu in used.items():
        print(f"  {name:<11} CPU {cpu:6.2f} s in {wall:.0f} s")


def reached(microsoft: SandboxProcess) -> dict[str, str]:
    """Return the settings that make a sandbox the cloud named `sandbox`, and logs quiet."""
    return {
        "BUSYLINE_SANDBOX_URL": microsoft.reach["url"],
        "BUSYLINE_CA_FILE": microsoft.reach["ca_file"],
        "BUSYLINE_LOG_LEVEL": "warning",
    }


async def subscribed(fleet: Fleet, microsoft: SandboxProcess, org_id: str, *, tenant: str, count: int) -> None:
    """Start a fleet, connect an org, and wait until it is read and every mailbox subscribed."""
    fleet.start_all()
    await fleet.ready()
    await fleet.connect(org_id, microsoft.reach | {"tenant_id": tenant}, Policy())
    began = time.perf_counter()
    await fleet.settled(org_id, within=900)
    read = time.perf_counter() - began
    while await microsoft.subscriptions(tenant) < count:
        await asyncio.sleep(0.5)
    await fleet.quiet()
    await fleet.relayed()
    print(f"read in {read:.1f} s, subscribed in {time.perf_counter() - began:.1f} s")


def report(changes: list[tuple[str, float]], stamps: Stamps) -> None:
    """Print how long changes took; each is answered by the first update of its mailbox after it."""
    ids = {address: mailbox_id for mailbox_id, address in stamps.addresses.items()}
    by: dict[tuple[str, str], list[float]] = {}
    for stage, mailbox_id, _, at in stamps.seen:
        by.setdefault((stage, mailbox_id), []).append(at)
    parts: dict[str, list[float]] = {stage: [] for stage in STAGES}
    whole: list[float] = []
    for address, changed in changes:
        last = changed
        for stage in STAGES:
            later = [at for at in by.get((stage, ids.get(address, "")), []) if at >= last]
            if not later:
                break
            parts[stage].append(later[0] - last)
            last = later[0]
        else:
            whole.append(last - changed)
    print(f"{len(changes)} changes, {len(whole)} of them followed to the end")
    print("  change → update in the consumer's hands   " + percentiles(whole))
    for stage, what in STAGES.items():
        print(f"  {'… → ' + what:<41} " + percentiles(parts[stage]))


def percentiles(seconds: list[float]) -> str:
    """Return p50, p95, p99 and the longest, in milliseconds."""
    if not seconds:
        return "nothing was measured"
    line = sorted(seconds)
    found = {f"p{part}": line[min(len(line) - 1, len(line) * part // 100)] for part in (50, 95, 99)}
    return "  ".join(f"{name} {value * 1000:7.1f} ms" for name, value in (found | {"max": line[-1]}).items())
