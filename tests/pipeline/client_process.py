"""Follows with a replica in a file, as a process to be killed: python -m tests.pipeline.client_process FILE URL [AMQP].

The token comes by the environment, as tokens do.
"""

import asyncio
import os
import sys

from shared.client import Http, Queue, Replica, follow


async def main(path: str, url: str, amqp: str = "") -> None:
    """Follow until killed."""
    http = Http(url=url, token=os.environ["BUSYLINE_TOKEN"], orgs=("acme",))
    queue = Queue(url=amqp, name="consumer.tests.updates", orgs=("acme",)) if amqp else None
    with Replica(path) as replica:
        await follow(replica, http, queue)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
