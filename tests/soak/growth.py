"""Decides from the days of a soak whether anything grew that must not: rows, memory, queues, dead letters."""

from collections.abc import Sequence
from statistics import mean
from typing import Final

from tests.soak.soak import Day

LOGS: Final = frozenset({"audit", "updates", "policies", "purges"})  # a row for each thing that happened
ALLOWED: Final = 1.2  # of the last quarter to the second one


def grown(days: Sequence[Day]) -> list[str]:
    """Return a line for everything that grew or was left over; empty where all is flat."""
    found = [f"day {day.number}: parked {day.parked}" for day in days if day.parked]
    found += [f"day {day.number}: waiting {day.waiting}" for day in days[-1:] if day.waiting]
    quarter = len(days) // 4
    if not quarter:
        return found
    second, last = days[quarter : 2 * quarter], days[-quarter:]
    before, after = mean(day.resident for day in second), mean(day.resident for day in last)
    if after > ALLOWED * before:
        found.append(f"memory: {before:.0f} MiB, then {after:.0f} MiB")
    for table in days[-1].rows.keys() - LOGS:
        # a row for each person that ever was, and each is small; people come and go
        rows_before, rows_after = mean(day.rows[table] for day in second), mean(day.rows[table] for day in last)
        if rows_after > ALLOWED * rows_before + _came(second, last):
            found.append(f"{table}: {rows_before:.0f} rows, then {rows_after:.0f}")
    return found


def _came(second: Sequence[Day], last: Sequence[Day]) -> float:
    """Return by how many people the organisation grew."""
    return max(0.0, mean(day.mailboxes for day in last) - mean(day.mailboxes for day in second))
