"""What a mailbox's availability must be, worked out from the sandbox's own items in another way than the product's:
every boundary is a cut, every piece between two cuts takes the highest status that covers it.
"""

from collections.abc import Iterable
from itertools import pairwise
from zoneinfo import ZoneInfo

from deploy.sandbox.calendar import Item
from shared import zones
from shared.contracts.values import Window

WORD = {"tentative": "tentative", "busy": "busy", "oof": "oof", "workingElsewhere": "elsewhere", "unknown": "unknown"}
RANK = ["elsewhere", "unknown", "tentative", "busy", "oof"]

Line = list[tuple[int, int, str]]


def blocks(items: Iterable[Item], window: Window, time_zone: str) -> Line:
    """Return the sorted, joined, clipped blocks that the default policy must publish."""
    zone = zones.resolve(time_zone) or ZoneInfo("UTC")
    spans = [
        (*_placed(item, zone), WORD.get(item.show_as, "busy"))
        for item in items
        if not item.cancelled and item.response != "declined" and item.show_as != "free"
    ]
    spans = [(max(a, window.start), min(b, window.end), status) for a, b, status in spans]
    spans = [span for span in spans if span[0] < span[1]]
    cuts = sorted({edge for a, b, _ in spans for edge in (a, b)})
    line: Line = []
    for a, b in pairwise(cuts):
        over = [status for start, end, status in spans if start <= a and b <= end]
        if not over:
            continue
        status = max(over, key=RANK.index)
        if line and line[-1][1] == a and line[-1][2] == status:
            line[-1] = (line[-1][0], b, status)
        else:
            line.append((a, b, status))
    return line


def _placed(item: Item, zone: ZoneInfo) -> tuple[int, int]:
    if not item.all_day:
        return item.start, item.end
    return zones.local_midnight(item.start, zone), zones.local_midnight(item.end, zone)
