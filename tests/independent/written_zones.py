"""Decides which onsets a VTIMEZONE's observances have (RFC 5545 3.6.5).

Refuses, as Malformed, a VTIMEZONE without any usable observance; a bad observance beside good ones is left out.
"""

from tests.independent.lines import Component
from tests.independent.recurrence import Span, walls
from tests.independent.rules import read_rule
from tests.independent.values import DAY, Malformed, read_offset, read_written
from tests.independent.zones import WrittenZone

_LAST = 4_102_444_800  # 2100-01-01: no window reaches beyond it
_FIRST = -11_676_096_000  # 1600-01-01


def written_zone(component: Component) -> WrittenZone:
    """Build the zone a VTIMEZONE describes; before its first onset that onset's TZOFFSETFROM holds."""
    onsets: dict[int, tuple[int, int]] = {}
    for observance in component.children:
        if observance.name in ("STANDARD", "DAYLIGHT"):
            try:
                onsets.update(_onsets(observance))
            except ValueError:
                continue
    if not onsets:
        raise Malformed("vtimezone")
    ordered = sorted(onsets.items())
    return WrittenZone(ordered[0][1][0], [(instant, after) for instant, (_, after) in ordered])


def _onsets(observance: Component) -> dict[int, tuple[int, int]]:
    before, after = read_offset(_value(observance, "TZOFFSETFROM")), read_offset(_value(observance, "TZOFFSETTO"))
    start = read_written(_value(observance, "DTSTART")).wall
    found = {start}
    for item in observance.every("RDATE"):
        found |= {read_written(text.split("/")[0]).wall for text in item.value.split(",") if text.strip()}
    for item in observance.every("RRULE"):
        found |= _ruled(item.value, start, before)
    return {wall - before: (before, after) for wall in found}


def _ruled(text: str, start: int, before: int) -> set[int]:
    rule = read_rule(text)
    if rule.frequency in ("HOURLY", "MINUTELY", "SECONDLY"):
        raise Malformed("onset rule")
    last = _LAST
    if rule.until:
        until = read_written(rule.until)
        last = until.wall + (before if until.is_utc else DAY - 1 if until.is_date else 0)
    found = sorted({start, *walls(rule, start, Span(max(start, _FIRST), min(last + 1, _LAST)))})
    return set(found[: rule.count])


def _value(component: Component, name: str) -> str:
    item = component.first(name)
    if item is None:
        raise Malformed("missing")
    return item.value
