"""Every real calendar: what the sandbox shows of it, normalized, equals the independent evaluation of the same file."""

from functools import cache
from pathlib import Path

import pytest

from deploy.sandbox.calendar import instances, read_calendar
from services.normalizer.handler import normalize
from shared.contracts.messages import CalendarSnapshot, RawEvent
from shared.contracts.policy import Policy
from shared.contracts.values import Mailbox, Window
from tests.independent.busy import evaluate

CORPUS = Path(__file__).parents[2] / ".." / "shared" / "data" / "corpus"
FILES = sorted(CORPUS.glob("*.ics")) if CORPUS.exists() else []
WINDOW = Window(631_152_000, 1_924_905_600)  # 1990-01-01 to 2030-12-31
PARTS = 16

# Where a file is not what RFC 5545 allows, two careful readers differ; these are the product's readings.
READ_ANOTHER_WAY = {
    "051": "an EXDATE without a zone is read in its series' zone, not in the mailbox's",
    "232": "a duration beyond any calendar: the event has no length",
    "252": "blanks inside BYDAY: the rule is bad, the event counts once",
    "343": "two definitions of one TZID: the last one counts",
    "358": "an end without a zone beside a start with one: the start's zone",
    "359": "the same",
    "362": "the same",
    "429": "an EXDATE that names an override removes it",
    "446": "an all-day event whose DURATION is in hours: whole days",
    "501": "a rule that names itself twice: readable",
    "525": "an unreadable DURATION is as good as none: one day",
    "554": "two definitions of one TZID: the last one counts",
    "555": "an unreadable end is as good as none",
    "556": "two definitions of one TZID: the last one counts",
    "560": "the same",
    "561": "an unreadable end is as good as none",
    "611": "a TZID in the wrong case that the file defines itself: as defined",
    "637": "an EXDATE that names an override removes it",
    "779": "a time as RDATE of an all-day series: its date",
}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not FILES, reason="needs ../shared/data/corpus")]


def published(data: bytes) -> list[tuple[int, int, str]]:
    calendar = read_calendar(data)
    items, _ = instances(calendar, Window(WINDOW.start - 172_800, WINDOW.end + 172_800))
    events = tuple(
        RawEvent(item.start, item.end, item.show_as, item.sensitivity, item.all_day, item.cancelled, item.response)
        for item in items
    )
    mailbox = Mailbox(mailbox_id="m", address="a@sandbox.example", time_zone=calendar.time_zone)
    snapshot = CalendarSnapshot(
        org_id="o", generation=1, mailbox=mailbox, version=1, window=WINDOW, as_of=0, policy=Policy(), events=events
    )
    return [(block.start, block.end, block.status.value) for block in normalize(snapshot).blocks]


@cache
def difference(path: Path) -> tuple[object, object] | None:
    """Return where our reading of a file first differs from the independent one, None where they agree."""
    data = path.read_bytes()
    ours, theirs = published(data), evaluate(data, WINDOW.start, WINDOW.end)
    if ours == theirs:
        return None
    return next((a, b) for a, b in zip([*ours, None], [*theirs, None], strict=False) if a != b)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("part", range(PARTS))
def test_busy_times_of_real_calendars_equal_an_independent_evaluation(part: int) -> None:
    differing = {path.name[:3]: first for path in FILES[part::PARTS] if (first := difference(path)) is not None}
    assert {name: first for name, first in differing.items() if name not in READ_ANOTHER_WAY} == {}


def test_every_reading_of_its_own_is_still_one() -> None:
    """Keep the list above honest: a file that no longer differs leaves it."""
    named = {path.name[:3]: path for path in FILES}
    assert [name for name in READ_ANOTHER_WAY if difference(named[name]) is None] == []
