"""The sandbox as a process of its own, so that its CPU is counted apart; one JSON line says how to reach it."""

import asyncio
import json
import sys
from pathlib import Path

from deploy.sandbox import SandboxOptions, start


async def serve(folder: Path, mailboxes: int, events: int, latency: float) -> None:
    """Serve until standard input ends."""
    sandbox = await start(SandboxOptions(folder=folder, mailboxes=mailboxes, events=events, latency=latency))
    reach = {
        "url": sandbox.url,
        "ca_file": str(sandbox.ca_file),
        "tenant_id": sandbox.tenant_id,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "control_token": sandbox.control_token,
    }
    sys.stdout.write(json.dumps(reach) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await sandbox.stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
