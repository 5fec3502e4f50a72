"""What consumers must be told of a sandbox's people, by the oracle; and what they were told, in the same form."""

from datetime import datetime
from typing import Any

from deploy.sandbox import Sandbox
from shared.contracts.values import Window
from tests.pipeline import oracle


def expected_rows(sandbox: Sandbox, window: Window) -> dict[str, oracle.Line]:
    """Return address -> blocks for every mailbox of the sandbox that can be read."""
    return {
        address: oracle.blocks(sandbox.items(address, window), window, time_zone)
        for address, time_zone in sandbox.readable()
    }


def published_line(row: dict[str, Any]) -> oracle.Line:
    """Return a row's blocks as (start, end, status) in UTC seconds."""
    return [(_instant(block["start"]), _instant(block["end"]), block["status"]) for block in row["busy"]]


def _instant(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())
