"""Decides what a change of an org's policy would do to the blocks that are published: what is shown otherwise.

Pure. It refuses to guess: free time never read and statuses that were joined are counted as open. What the change does
to mailboxes is services.authorizer.policy_preview's; who is busy when, the authorizer may not read.
"""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from services.authorizer.policy_preview import MAPPED, Figures
from services.normalizer.merge import merge
from shared.contracts.policy import Policy
from shared.contracts.values import Block, Instant, Status, Window


class Line(Struct, frozen=True, kw_only=True):
    """A mailbox's timeline: its blocks, and of how many events details are stored."""

    blocks: tuple[Block, ...]
    events: int


def of_timelines(old: Policy, new: Policy, lines: Iterable[Line], *, now: Instant, stricter: bool) -> Figures:
    """Count blocks by status "before" and "after", those "open" until they are read again, and "events" deleted."""
    figures: Figures = Counter()
    window = new.window_at(now)
    for line in lines:
        known, unsure = shown_as(old, new, line.blocks)
        figures.update(("before", block.status.value) for block in line.blocks)
        figures.update(("after", block.status.value) for block in merge(known, window))
        figures.update(("unsure", block.status.value) for block in merge(unsure, window))
        figures["outside", "blocks"] += sum(not _within(block, window) for block in line.blocks)
        figures["events", "deleted"] += line.events if stricter else 0
    return +figures


def _within(block: Block, window: Window) -> bool:
    return block.start < window.end and block.end > window.start


def shown_as(old: Policy, new: Policy, blocks: Iterable[Block]) -> tuple[list[Block], list[Block]]:
    """Return blocks as the new policy shows them, and those of which that is open until they are read again.

    What two words were shown as alike cannot be told apart any more, so it is open unless both are shown alike again.
    """
    known: list[Block] = []
    unsure: list[Block] = []
    after = {status: _after(old, new, status) for status in Status}
    for block in blocks:
        statuses = after[block.status]
        if len(statuses) > 1:
            unsure.append(block)
        known += [replace(block, status=status) for status in statuses if len(statuses) == 1]
    return [block for block in known if block.status is not Status.FREE or new.show_free], unsure


def _after(old: Policy, new: Policy, status: Status) -> set[Status]:
    """Return as what a stored status may be shown: as the new policy shows each word that was shown as it."""
    words = {word: getattr(old, word.value) for word in MAPPED}
    sources = {word for word, shown in words.items() if shown is status}
    plain = {status} if status not in MAPPED else set()
    return plain | {getattr(new, word.value) for word in sources}
