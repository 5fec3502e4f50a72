"""Random requests to find time, the mailboxes they speak of, and the way from them through the pure modules."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import strategies as st

from services.publisher.finding.answers import SlotsAsked
from services.publisher.finding.line import Line
from services.publisher.finding.search import answered
from services.publisher.finding.sought import sought_of
from services.publisher.finding.standing import standing_of
from shared.contracts.values import WorkingHours, WorkPeriod
from tests.unit.publisher.finding_oracle import DAYS, MINUTE, Person

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "Africa/Casablanca", "Pacific/Apia",
]  # fmt: skip
# Clocks go forward or back within the 14 hours after: Berlin, New York, Lord Howe (by half an hour), each both ways.
BEGINS = [
    datetime(2026, 3, 28, 12, tzinfo=UTC),
    datetime(2026, 10, 24, 12, tzinfo=UTC),
    datetime(2026, 3, 7, 20, tzinfo=UTC),
    datetime(2026, 10, 31, 20, tzinfo=UTC),
    datetime(2026, 4, 4, 6, tzinfo=UTC),
    datetime(2026, 10, 3, 6, tzinfo=UTC),
    datetime(2026, 1, 7, tzinfo=UTC),
]
STATUSES = ["busy", "oof", "tentative", "unknown", "elsewhere", "free"]
HOURS_LONG = 20


def found_by_us(request: dict[str, Any], people: Mapping[str, Person]) -> dict[str, Any]:
    """Return our answer to a request as plain values."""
    asked = msgspec.convert(request, SlotsAsked)
    sought = sought_of(asked)
    everybody = [
        standing_of(sought, wish, line_of(people[wish.name]) if wish.name in people else None) for wish in sought.wishes
    ]
    answer: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answered(asked, sought, everybody)))
    return answer


def line_of(person: Person) -> Line:
    if not person.known:
        return Line(mailbox_id="m", known=False, reason="access_denied")
    blocks = [[seconds(start), seconds(end), status] for start, end, status in person.line]
    return Line(
        mailbox_id="m",
        known=True,
        window=(seconds(person.window[0]), seconds(person.window[1])),
        blocks=json.dumps(blocks, separators=(",", ":")).encode(),
        hours=None if person.hours is None else msgspec.json.encode(working_hours(person.hours)),
    )


def working_hours(weekly: dict[str, Any]) -> WorkingHours:
    periods = {
        (DAYS.index(day), minutes(each["start"]), minutes(each["end"]))
        for each in weekly["periods"]
        for day in each["days"]
    }
    return WorkingHours(time_zone=weekly["time_zone"], periods=tuple(WorkPeriod(*each) for each in sorted(periods)))


def minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def seconds(at: datetime) -> int:
    return int(at.timestamp())


def written(at: datetime) -> str:
    return at.isoformat()


@st.composite
def hours(draw: st.DrawFn) -> dict[str, Any]:
    clocks = sorted(draw(st.lists(st.sampled_from(range(0, 1441, 15)), min_size=2, max_size=4, unique=True)))
    pairs = zip(clocks[::2], clocks[1::2], strict=False)
    periods = [
        {
            "days": draw(st.lists(st.sampled_from(DAYS), min_size=5, max_size=7, unique=True)),
            "start": f"{start // 60:02}:{start % 60:02}",
            "end": f"{end // 60:02}:{end % 60:02}",
        }
        for start, end in pairs
    ]
    return {"time_zone": draw(st.sampled_from(ZONES)), "periods": periods}


@st.composite
def persons(draw: st.DrawFn, begin: datetime) -> Person:
    cuts = sorted(draw(st.lists(st.integers(-240, HOURS_LONG * 60 + 240), min_size=4, max_size=14, unique=True)))
    line = tuple(
        (begin + start * MINUTE, begin + end * MINUTE, draw(st.sampled_from(STATUSES)))
        for start, end in pairwise(cuts)
        if draw(st.booleans())
    )
    early, late = draw(st.sampled_from([(24, 24)] * 7 + [(-5, 24), (24, -7), (-40, 60)]))
    return Person(
        known=draw(st.sampled_from([True] * 9 + [False])),
        window=(begin - timedelta(hours=early), begin + timedelta(hours=HOURS_LONG + late)),
        line=line,
        hours=draw(st.none() | hours()),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Person]]:
    """Draw a request over a day or so, and the mailboxes there are; one that is asked about may not be among them."""
    begin = draw(st.sampled_from(BEGINS))
    people = {f"m{number}": draw(persons(begin)) for number in range(draw(st.integers(1, 5)))}
    names = st.lists(st.sampled_from([*people, *people, *people, "nobody"]), unique=True, max_size=3)
    asked = draw(_lists(names, people))
    asked |= {
        "periods": draw(_periods(begin)),
        "duration_minutes": draw(st.sampled_from([15, 30, 45, 60, 90])),
        "step_minutes": draw(st.sampled_from([15, 30, 60])),
        "time_zone": draw(st.sampled_from(ZONES)),
        "buffer_before_minutes": draw(st.sampled_from([0, 0, 10, 60])),
        "buffer_after_minutes": draw(st.sampled_from([0, 0, 5, 45])),
        "working_hours": draw(st.sampled_from(["own", "ignored"]) | hours()),
        "limit": draw(st.sampled_from([1, 5, 200])),
        "rank": draw(st.sampled_from(["earliest", "fewest_conflicts"])),
        "ignore_unknown": draw(st.booleans()),
        "explain": True,
    }
    if draw(st.booleans()):
        asked["blocking"] = draw(st.lists(st.sampled_from(STATUSES[:-1]), unique=True))
    return asked, people


def _lists(names: st.SearchStrategy[list[str]], people: dict[str, Person]) -> st.SearchStrategy[dict[str, Any]]:
    listed = names.map(lambda some: [{"mailbox": name} for name in some])
    group = st.lists(st.sampled_from([*people, "nobody"]), unique=True, min_size=1, max_size=4).flatmap(
        lambda some: st.fixed_dictionaries(
            {"need": st.integers(1, len(some)), "members": st.just([{"mailbox": name} for name in some])}
        )
    )
    groups = (st.just([]) | st.lists(group, max_size=2)).map(
        lambda some: [{"name": f"g{n}", **each} for n, each in enumerate(some)]
    )
    found = st.fixed_dictionaries(
        {"required": listed, "optional": listed, "groups": groups, "rooms": st.just([]) | names}
    )
    return found.filter(lambda asked: any(asked.values()))


@st.composite
def _periods(draw: st.DrawFn, begin: datetime) -> list[dict[str, str]]:
    if draw(st.sampled_from([True, True, False])):
        return [{"from": written(begin), "to": written(begin + timedelta(hours=HOURS_LONG))}]
    cuts = sorted(draw(st.lists(st.integers(0, HOURS_LONG * 60), min_size=2, max_size=5, unique=True)))
    return [
        {"from": written(begin + start * MINUTE), "to": written(begin + end * MINUTE)}
        for start, end in pairwise(cuts)
        if end == cuts[1] or draw(st.booleans())
    ]
