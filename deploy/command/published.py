"""What a consumer can see of an org, brought into the rows that the demo shows and writes."""

import asyncio
from datetime import datetime
from typing import Any

from msgspec import Struct

from deploy.command.api import Api

AT_ONCE = 16


class ReadingProgress(Struct, frozen=True):
    """How far the first reading is: mailboxes settled, of how many, and whether that is all there will be."""

    done: int
    total: int
    complete: bool


def progress(status: dict[str, Any] | None) -> ReadingProgress:
    """Judge an org's status: complete once enumeration ended and every active mailbox has coverage."""
    if status is None:
        return ReadingProgress(done=0, total=0, complete=False)
    readable, covered = int(status["buckets"]["active"]), int(status["coverage"]["full"])
    enumeration = status.get("enumeration")
    finished = enumeration is not None and enumeration.get("finished_at") is not None
    return ReadingProgress(done=covered, total=readable, complete=finished and covered >= readable)


async def rows(api: Api) -> list[dict[str, Any]]:
    """Return a row for every directory object, sorted by address, with its blocks where its coverage is full."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(listed: dict[str, Any]) -> dict[str, Any]:
        async with gate:
            known = await api.availability(listed["mailbox"]) if listed["coverage"] == "full" else None
        return _row(listed, known)

    return list(await asyncio.gather(*(one(listed) for listed in await api.mailboxes())))


def _row(listed: dict[str, Any], known: dict[str, Any] | None) -> dict[str, Any]:
    row = {
        "mailbox": listed["mailbox"],
        "bucket": listed["bucket"],
        "reason": listed.get("reason"),
        "coverage": listed["coverage"],
        "as_of": known["as_of"] if known else None,
        "version": known["version"] if known else None,
        "time_zone": known["time_zone"] if known else None,
        "busy": known["busy"] if known else [],
    }
    if known and known.get("events") is not None:
        row["events"] = known["events"]
    return row


def for_table(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with its blocks as (start, end, status) in UTC seconds, as the board draws them."""
    busy = [(_instant(block["start"]), _instant(block["end"]), block["status"]) for block in row["busy"]]
    return {**row, "busy": busy}


def _instant(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())
