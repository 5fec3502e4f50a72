"""A consumer that uses nothing of ours, written from the documentation alone: json, pika, sqlite3, urllib.

AMQP_URL=amqp://consumer-crm:...@.../busyline TOKEN=busyline_... \
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

QUEUE = os.environ.get("QUEUE", "consumer.crm.updates")
TABLES = """
CREATE TABLE IF NOT EXISTS orgs (org PRIMARY KEY, position INTEGER);
CREATE TABLE IF NOT EXISTS mailboxes (org, id, address, position INTEGER, blocks, PRIMARY KEY (org, id));
"""


def asked(url: str, **query: Any) -> Any:
    """Return what the HTTP API answers."""
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    with urlopen(Request(f"{url}?{urlencode(query)}", headers=headers), timeout=60) as answer:  # noqa: S310 -- the operator's URL
        return json.load(answer)


def begin(base: sqlite3.Connection, url: str, org: str) -> None:
    """Replace all that is held of an organisation by its snapshot, in one transaction."""
    while True:
        try:
            with base:
                return take_snapshot(base, f"{url}/v1/orgs/{org}/snapshot", org)
        except HTTPError as error:
            if error.code != 410:  # the organisation left and came back between two pages
                raise


def take_snapshot(base: sqlite3.Connection, url: str, org: str) -> None:
    """Write down every page. A mailbox on none of them is not published (any more)."""
    base.execute("DELETE FROM mailboxes WHERE org = ?", (org,))
    cursor: dict[str, str] = {}
    while True:
        page = asked(url, limit=500, **cursor)
        for told in page["mailboxes"]:
            keep(base, told, told["position"], applied(None, told))
        if page["next"] is None:
            base.execute("INSERT OR REPLACE INTO orgs VALUES (?, ?)", (org, page["position"]))
            return
        cursor = {"cursor": page["next"]}


def keep(base: sqlite3.Connection, told: dict[str, Any], position: int, blocks: Any) -> None:
    """Write down what is known of a mailbox; None: it is not known when it is busy."""
    row = (told["org_id"], told["mailbox_id"], told["mailbox"], position, json.dumps(blocks))
    base.execute("INSERT OR REPLACE INTO mailboxes VALUES (?, ?, ?, ?, ?)", row)


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


def take(base: sqlite3.Connection, event: dict[str, Any]) -> bool:
    """Apply one event; False: it is a repetition, or in the snapshot already, or of a type not known here."""
    position, org, told = int(event["sequence"]), event["orgid"], event["data"]
    (begun,) = base.execute("SELECT position FROM orgs WHERE org = ?", (org,)).fetchone() or (0,)
    if position <= begun:
        return False
    if event["type"] == "org.removed.v1":
        base.execute("DELETE FROM mailboxes WHERE org = ?", (org,))
        base.execute("INSERT OR REPLACE INTO orgs VALUES (?, ?)", (org, position))
        return True
    query = "SELECT position, blocks FROM mailboxes WHERE org = ? AND id = ?"
    last, held = base.execute(query, (org, event["subject"])).fetchone() or (0, "null")
    if position <= last:
        return False
    if event["type"] == "mailbox.removed.v1":  # the position stays, so that a repetition brings nothing back
        keep(base, {"org_id": org, "mailbox_id": event["subject"], "mailbox": None}, position, None)
    elif event["type"] == "availability.updated.v1":
        keep(base, told, position, applied(json.loads(held), told))
    else:
        return False
    return True


def main(url: str, org: str, file: str = "availability.db") -> None:
    """Take the snapshot, then consume: the queue has collected updates since the operator made it."""
    amqp = pika.URLParameters(os.environ["AMQP_URL"])
    base = sqlite3.connect(file)
    base.executescript(TABLES)
    begin(base, url, org)
    with pika.BlockingConnection(amqp) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=100)
        print("consuming", flush=True)
        for method, _, body in channel.consume(QUEUE):
            event = json.loads(body)
            with base:  # stored first, then acknowledged
                changed = take(base, event)
            channel.basic_ack(method.delivery_tag)
            if changed:
                print(int(event["sequence"]), event["type"], event["subject"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
