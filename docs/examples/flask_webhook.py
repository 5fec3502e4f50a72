"""A receiver of webhooks in Flask: it believes what is signed, and says what it heard.

WEBHOOK_SECRETS=whsec_... flask --app docs/examples/flask_webhook.py run --port 5000
"""

import os

from flask import Flask, request

from shared.client import AvailabilityUpdated, MailboxRemoved, NotVerified, Update, verified

app = Flask(__name__)
SECRETS = os.environ["WEBHOOK_SECRETS"].split()  # two of them while one is being changed
last: dict[tuple[str, str], int] = {}  # the position of each mailbox's last update: the same one can come twice


@app.post("/busyline")
def receive() -> tuple[str, int]:
    """Take one update; whatever is answered but 2xx makes it come again."""
    try:
        update = verified(request.headers, request.get_data(), SECRETS)
    except NotVerified:
        return "", 401
    if update is None:
        print("a test, or an event of a type not known here", flush=True)
    elif update.position > last.get((update.org_id, update.mailbox_id), 0):
        print(told(update), flush=True)
        last[update.org_id, update.mailbox_id] = update.position
    return "", 204


def told(update: Update) -> str:
    """Return an update in one line."""
    match update.data:
        case AvailabilityUpdated(coverage="full") as data:
            return f"{update.position}: {data.mailbox} has {len(data.busy)} blocks in [{data.start}, {data.end})"
        case AvailabilityUpdated() as data:
            return f"{update.position}: {data.mailbox} is not known: {data.reason}"
        case MailboxRemoved():
            return f"{update.position}: forget mailbox {update.mailbox_id}"
        case _:
            return f"{update.position}: forget the organisation {update.org_id}"
