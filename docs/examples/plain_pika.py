"""A consumer that uses nothing of ours, written from docs/consumers.md alone: json, pika, sqlite3, urllib.

BUSYLINE_AMQP_URL=amqp://consumer-crm:...@.../busyline BUSYLINE_TOKEN=... \
    python docs/examples/plain_pika.py http://127.0.0.1:8080 acme
"""

import json
import os
import sqlite3
import sys
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pika

QUEUE = os.environ.get("BUSYLINE_QUEUE", "consumer.crm.updates")
TABLE = "CREATE TABLE IF NOT EXISTS mailboxes (org, id, address, sequence INTEGER, blocks, PRIMARY KEY (org, id))"


def asked(url: str, **query: Any) -> Any:
    """Return what the HTTP API answers."""
    headers = {"Authorization": f"Bearer {os.environ['BUSYLINE_TOKEN']}"}
    with urlopen(Request(f"{url}?{urlencode(query)}", headers=headers)) as answer:  # noqa: S310 -- the operator's URL
        return json.load(answer)


def begin(base: sqlite3.Connection, url: str, org: str) -> None:
    """Write down each mailbox's whole window and its position, before anything is consumed."""
    base.execute("DELETE FROM mailboxes WHERE org = ?", (org,))
    cursor: dict[str, str] = {}
    while True:
        page = asked(f"{url}/v1/orgs/{org}/mailboxes", **cursor)
        for listed in page["mailboxes"]:
            if listed["coverage"] == "full":
                read(base, f"{url}/v1/orgs/{org}/mailboxes/{listed['mailbox_id']}/availability")
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


def read(base: sqlite3.Connection, url: str) -> None:
    """Write down one mailbox's whole window, unless it is not known any more: then the queue says so."""
    try:
        told = asked(url)
    except HTTPError as error:
        if error.code not in (404, 409):
            raise
    else:
        keep(base, told, told["position"], told["busy"])


def keep(base: sqlite3.Connection, told: dict[str, Any], sequence: int, blocks: Any) -> None:
    """Write down what is known of a mailbox; None: it is not known when it is busy."""
    row = (told["org_id"], told["mailbox_id"], told["mailbox"], sequence, json.dumps(blocks))
    base.execute("INSERT OR REPLACE INTO mailboxes VALUES (?, ?, ?, ?, ?)", row)
    base.commit()


def applied(held: Any, update: dict[str, Any]) -> Any:
    """Return a mailbox's blocks after an update, or None where they are not known: docs/consumers.md."""
    if update["coverage"] != "full":
        return None
    first, last = update["window"]["start"], update["window"]["end"]
    blocks = list(update["busy"])
    for block in held or []:
        before = max(block["start"], first), min(block["end"], update["from"])
        after = max(block["start"], update["to"]), min(block["end"], last)
        blocks += [{**block, "start": start, "end": end} for start, end in (before, after) if start < end]
    return sorted(blocks, key=lambda block: block["start"])


def take(base: sqlite3.Connection, event: dict[str, Any]) -> None:
    """Apply one event, unless it is a repetition or of a type not known here."""
    sequence, org, told = int(event["sequence"]), event["orgid"], event["data"]
    if event["type"] == "org.removed.v1":
        base.execute("DELETE FROM mailboxes WHERE org = ? AND sequence < ?", (org, sequence))
        base.commit()
        print(sequence, event["type"], event["subject"], flush=True)
        return
    query = "SELECT sequence, blocks FROM mailboxes WHERE org = ? AND id = ?"
    last, held = base.execute(query, (org, event["subject"])).fetchone() or (0, "null")
    if sequence <= last:
        return
    if event["type"] == "mailbox.removed.v1":  # the sequence stays, so that a repetition brings nothing back
        keep(base, {"org_id": org, "mailbox_id": event["subject"], "mailbox": None}, sequence, None)
    elif event["type"] == "availability.updated.v1":
        keep(base, told, sequence, applied(json.loads(held), told))
    print(sequence, event["type"], event["subject"], flush=True)


def main(url: str, org: str, file: str = "availability.db") -> None:
    """Declare and bind, then read what there is, then consume: nothing is missed between."""
    base = sqlite3.connect(file)
    base.execute(TABLE)
    with pika.BlockingConnection(pika.URLParameters(os.environ["BUSYLINE_AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(QUEUE, "availability", f"{org}.#")
        begin(base, url, org)
        print("consuming", flush=True)
        channel.basic_qos(prefetch_count=100)
        for method, _, body in channel.consume(QUEUE):
            take(base, json.loads(body))
            channel.basic_ack(method.delivery_tag)


if __name__ == "__main__":
    main(*sys.argv[1:])
