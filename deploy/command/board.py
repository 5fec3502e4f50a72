"""What the terminal shows: a day as a line of cells, a table of mailboxes, one line per update. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from shared.contracts.values import DAY, Instant

CELL = 1_800  # half an hour
RANK = {"free": 0, "elsewhere": 1, "unknown": 2, "tentative": 3, "busy": 4, "oof": 5}
GLYPH = {"free": "·", "elsewhere": "e", "unknown": "?", "tentative": "░", "busy": "█", "oof": "▓"}
STYLE = {"free": "dim", "elsewhere": "cyan", "unknown": "magenta", "tentative": "yellow", "busy": "red", "oof": "blue"}

Busy = Sequence[tuple[Instant, Instant, str]]


def cells(busy: Busy, day: Instant) -> list[str]:
    """Return the highest status of each half hour of the UTC day that begins at `day`; no block means free."""
    line = ["free"] * (DAY // CELL)
    for start, end, status in busy:
        first = max(0, (start - day) // CELL)
        last = min(len(line), -((day - end) // CELL))
        for index in range(first, last):
            if RANK[status] > RANK[line[index]]:
                line[index] = status
    return line


def day_line(busy: Busy, day: Instant) -> Text:
    """Draw one UTC day as 48 cells, six hours apart by a thin bar."""
    text = Text()
    for index, status in enumerate(cells(busy, day)):
        if index and index % 12 == 0:
            text.append("│", "dim")
        text.append(GLYPH[status], STYLE[status])
    return text


def legend() -> Text:
    """Explain the cells."""
    text = Text("  ")
    for status in ("busy", "oof", "tentative", "elsewhere", "unknown", "free"):
        text.append(GLYPH[status], STYLE[status])
        text.append(f" {status}   ", "dim")
    return text


def mailbox_table(rows: Sequence[Mapping[str, Any]], day: Instant, *, most: int = 40) -> Table:
    """Lay out mailboxes with bucket, coverage and today's line; rows carry `mailbox bucket reason coverage busy`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("mailbox", "bucket", "coverage"):
        table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=38)
    table.add_column("today, 00-24 UTC", no_wrap=True)
    for row in rows[:most]:
        known = row["coverage"] == "full"
        line = day_line(row["busy"], day) if known else Text(row.get("reason") or "", "dim")
        table.add_row(row["mailbox"], row["bucket"], Text(row["coverage"], "green" if known else "dim"), line)
    if len(rows) > most:
        table.add_row(f"… and {len(rows) - most} more", "", "", "")
    return table


def update_line(position: int, kind: str, data: Mapping[str, Any]) -> Text:
    """Write one update of the log as a line: who, which range, and the blocks in it."""
    text = Text(f"{position:>8}  ", "dim")
    text.append(data["mailbox"], "bold")
    if kind.startswith("mailbox.removed"):
        return text.append(f"  removed ({data['reason']})", "red")
    if data["coverage"] != "full":
        return text.append(f"  coverage unknown ({data.get('reason')})", "magenta")
    text.append(f"  {data['from']} … {data['to']}  ", "dim")
    for block in data["busy"][:4]:
        text.append(f"{block['status']} {block['start'][5:16]}-{block['end'][11:16]}  ", STYLE[block["status"]])
    if len(data["busy"]) > 4:
        text.append(f"and {len(data['busy']) - 4} more", "dim")
    return text if data["busy"] else text.append("all free", "green")
