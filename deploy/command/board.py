"""What the terminal shows: a day as a line of cells, a table of mailboxes, one line per update. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from shared.contracts.values import DAY, Instant

WIDE, NARROW = 1_800, 3_600  # seconds a cell: half an hour where there is room, else an hour
RANK = {"free": 0, "elsewhere": 1, "unknown": 2, "tentative": 3, "busy": 4, "oof": 5}
GLYPH = {"free": "·", "elsewhere": "e", "unknown": "?", "tentative": "░", "busy": "█", "oof": "▓"}
STYLE = {"free": "dim", "elsewhere": "cyan", "unknown": "magenta", "tentative": "yellow", "busy": "red", "oof": "blue"}

Busy = Sequence[tuple[Instant, Instant, str]]


def cells(busy: Busy, day: Instant, *, cell: int) -> list[str]:
    """Return the highest status of each cell (seconds) of the UTC day that begins at `day`; no block means free."""
    line = ["free"] * (DAY // cell)
    for start, end, status in busy:
        first = max(0, (start - day) // cell)
        last = min(len(line), -((day - end) // cell))
        for index in range(first, last):
            if RANK[status] > RANK[line[index]]:
                line[index] = status
    return line


def day_line(busy: Busy, day: Instant, *, cell: int) -> Text:
    """Draw one UTC day, a thin bar every six hours."""
    text = Text()
    for index, status in enumerate(cells(busy, day, cell=cell)):
        if index and index * cell % (DAY // 4) == 0:
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


def day_to_show(lines: Sequence[Busy], today: Instant) -> Instant:
    """Return today, or the first of the next six days on which a third are busy where today nearly nobody is."""
    for day in (today + offset * DAY for offset in range(7)):
        busy = sum(any(start < day + DAY and end > day for start, end, _ in line) for line in lines)
        if busy * 3 >= len(lines):
            return day
    return today


def mailbox_table(rows: Sequence[Mapping[str, Any]], today: Instant, *, width: int = 80, most: int = 40) -> Table:
    """Lay out mailboxes with coverage and a day's line; rows carry `mailbox bucket reason coverage busy`.

    A wide terminal sees half hours, a narrow one hours; what cannot be read shows its bucket and reason instead.
    """
    cell = WIDE if width >= 96 else NARROW
    day = day_to_show([row["busy"] for row in rows if row["coverage"] == "full"], today)
    named = "today" if day == today else datetime.fromtimestamp(day, UTC).strftime("%A %d %B")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("mailbox", no_wrap=True, overflow="ellipsis", max_width=36)
    table.add_column("coverage", no_wrap=True)
    table.add_column(f"{named}, 00-24 UTC", no_wrap=True, overflow="ellipsis")
    for row in rows[:most]:
        known = row["coverage"] == "full"
        why = Text(f"{row['bucket']}: {row.get('reason') or ''}".replace("_", " "), "dim")
        line = day_line(row["busy"], day, cell=cell) if known else why
        table.add_row(row["mailbox"], Text(row["coverage"], "green" if known else "dim"), line)
    if len(rows) > most:
        table.add_row(f"… and {len(rows) - most} more", "", "")
    return table


def update_line(position: int, kind: str, data: Mapping[str, Any]) -> Text:
    """Write one update of the log as a line: who, which range, and the blocks in it."""
    text = Text(f"{position:>8}  ", "dim")
    if kind.startswith("org.removed"):
        return text.append(data["org_id"], "bold").append("  disconnected: everything of it is to be dropped", "red")
    text.append(data["mailbox"], "bold")
    if kind.startswith("mailbox.removed"):
        return text.append(f"  removed ({data['reason']})", "red")
    if data["coverage"] != "full":
        return text.append(f"  coverage unknown ({data.get('reason')})", "magenta")
    text.append(f"  {data['from']} … {data['to']}  ", "dim")
    for block in data["busy"][:4]:
        start, end = block["start"][5:16], block["end"][5:16]
        until = end[6:] if end[:5] == start[:5] else end  # a block of days names its last one
        text.append(f"{block['status']} {start}-{until}  ", STYLE[block["status"]])
    if len(data["busy"]) > 4:
        text.append(f"and {len(data['busy']) - 4} more", "dim")
    return text if data["busy"] else text.append("all free", "green")
