"""What consumers must be told of a sandbox's people, by the oracle; and what they were told, in the same form."""

from datetime import datetime
from typing import Any

from deploy.sandbox import Sandbox
from shared.contracts.values import DAY, Window
from tests.pipeline import oracle


def expected_rows(sandbox: Sandbox, window: Window) -> dict[str, oracle.Line]:
    """Return address -> blocks for every mailbox of the sandbox that can be read."""
    return {
        person.address: oracle.blocks(sandbox.events(person.address, window=wider(window)), window, person.time_zone)
        for person in sandbox.mailboxes()
    }


def wider(window: Window) -> Window:
    """Return a window a day longer at both ends: an all-day item lies where the mailbox's zone places it."""
    return Window(window.start - DAY, window.end + DAY)


def published_line(row: dict[str, Any]) -> oracle.Line:
    """Return a row's blocks as (start, end, status) in UTC seconds."""
    return [(_instant(block["start"]), _instant(block["end"]), block["status"]) for block in row["busy"]]


def _instant(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())
