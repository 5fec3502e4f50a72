"""The sandbox as a process of its own, so that its CPU is counted apart; one JSON line says how to reach it.

On standard input it takes lines, each answered by one of JSON: `change NUMBER PER_SECOND TENANT` adds events to the
mailboxes in turn at that pace (answer: [address, UTC seconds] of each); `keep NUMBER TENANT` removes all other people;
`subscriptions TENANT` counts the living ones; `requests` tells how many of which kind there were.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from deploy.sandbox import Sandbox, SandboxOptions, start
from deploy.sandbox.calendar import Item


async def serve(options: SandboxOptions) -> None:
    """Serve until standard input ends."""
    sandbox = await start(options)
    _say(
        {
            "url": sandbox.url,
            "ca_file": str(sandbox.ca_file),
            "tenant_id": sandbox.tenant_id,
            "tenant_ids": sandbox.tenant_ids,
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "control_token": sandbox.control_token,
            "ews_url": sandbox.ews_url,
            "ews_user": sandbox.ews_user,
            "ews_password": sandbox.ews_password,
            "ews_scope": sandbox.ews_scope,
            "member": sandbox.mailboxes()[0].address,
        }
    )
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match line.split():
            case ["change", number, per_second, tenant]:
                _say(await _change(sandbox, int(number), float(per_second), tenant=tenant))
            case ["keep", number, tenant]:
                for person in sandbox.mailboxes(tenant=tenant)[int(number) :]:
                    sandbox.remove_user(person.address, tenant=tenant)
                _say(len(sandbox.mailboxes(tenant=tenant)))
            case ["requests"]:
                _say(dict(sandbox.requests.kinds))
            case ["subscriptions", tenant]:
                _say(len(sandbox.subscriptions(tenant=tenant)))
    await sandbox.stop()


async def _change(sandbox: Sandbox, number: int, per_second: float, *, tenant: str) -> list[tuple[str, float]]:
    """Add a busy hour to one mailbox after the other, where nothing is yet."""
    people, done = sandbox.mailboxes(tenant=tenant), []
    loop = asyncio.get_running_loop()
    begun, quiet = loop.time(), int(time.time()) // 86_400 * 86_400 + 150 * 86_400  # noqa: TID251 -- the real time
    for turn in range(number):
        await asyncio.sleep(max(0.0, begun + turn / per_second - loop.time()))
        address = people[turn % len(people)].address
        at = quiet + turn // len(people) * 7200
        done.append((address, time.time()))  # noqa: TID251 -- the real time
        sandbox.add_event(address, Item(item_id="", start=at, end=at + 3600, show_as="oof"), tenant=tenant)
    return done


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    asyncio.run(serve(SandboxOptions(folder=Path(sys.argv[1]), **given)))
