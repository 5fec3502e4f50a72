"""Decides what an RRULE text says and on which days and times it falls (RFC 5545 3.3.10, RFC 7529 for SKIP).

Works on wall clocks alone: zones, UNTIL and COUNT are the caller's. Refuses rules outside the grammar as Malformed.
"""

import re
from dataclasses import dataclass, field

from tests.independent.values import Malformed

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_RANGES = {  # part: lowest and highest size, and whether it may count from the end
    "BYSECOND": (0, 60, False),
    "BYMINUTE": (0, 59, False),
    "BYHOUR": (0, 23, False),
    "BYMONTH": (1, 12, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYSETPOS": (1, 366, True),
}
_BYDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,9}\Z", re.ASCII)


@dataclass(frozen=True)
class Rule:
    """A recurrence rule. `parts` holds the number lists; `by_day` pairs of (ordinal or 0, weekday from Monday 0)."""

    frequency: str
    interval: int = 1
    count: int | None = None
    until: str | None = None
    week_start: int = 0
    skip: str = "OMIT"
    by_day: tuple[tuple[int, int], ...] = ()
    parts: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def get(self, name: str) -> tuple[int, ...]:
        """Return the numbers of a BYxxx part, or nothing."""
        return self.parts.get(name, ())


def read_rule(text: str) -> Rule:
    """Read an RRULE value. Unknown part names are ignored; a bad value in a known part spoils the whole rule."""
    said = _said(text)
    if said.get("FREQ") not in FREQUENCIES or said.get("RSCALE", "GREGORIAN") != "GREGORIAN":
        raise Malformed("rule")
    return Rule(
        frequency=said["FREQ"],
        interval=_positive(said.get("INTERVAL", "1")),
        count=_positive(said["COUNT"]) if "COUNT" in said else None,
        until=said.get("UNTIL"),
        week_start=_one_of(WEEKDAYS, said.get("WKST", "MO")),
        skip=("OMIT", "BACKWARD", "FORWARD")[_one_of(("OMIT", "BACKWARD", "FORWARD"), said.get("SKIP", "OMIT"))],
        by_day=_by_day(said["BYDAY"]) if "BYDAY" in said else (),
        parts={name: _numbers(name, said[name]) for name in _RANGES if name in said},
    )


def _said(text: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for piece in filter(None, (piece.strip() for piece in text.upper().split(";"))):
        name, equals, value = piece.partition("=")
        if not equals or name in said:
            raise Malformed("rule part")
        said[name] = value.strip()
    return said


def _positive(text: str) -> int:
    if not _NUMBER.match(text) or int(text) < 1:
        raise Malformed("rule number")
    return int(text)


def _one_of(words: tuple[str, ...], word: str) -> int:
    if word not in words:
        raise Malformed("rule word")
    return words.index(word)


def _by_day(text: str) -> tuple[tuple[int, int], ...]:
    pairs = []
    for piece in text.split(","):
        found = _BYDAY.match(piece.strip())
        if found is None or (found.group(1) and not 1 <= abs(int(found.group(1))) <= 53):
            raise Malformed("rule weekday")
        pairs.append((int(found.group(1) or 0), WEEKDAYS.index(found.group(2))))
    return tuple(pairs)


def _numbers(name: str, text: str) -> tuple[int, ...]:
    lowest, highest, signed = _RANGES[name]
    numbers = []
    for piece in text.split(","):
        if not _NUMBER.match(piece.strip()):
            raise Malformed("rule number")
        number = int(piece)
        if not lowest <= (abs(number) if signed else number) <= highest:
            raise Malformed("rule number")
        numbers.append(min(number, 59) if name == "BYSECOND" else number)
    return tuple(sorted(set(numbers)))
