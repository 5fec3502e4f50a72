"""What docs/finding-time.md promises, worked out minute by minute with the standard library alone."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

MINUTE = timedelta(minutes=1)
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DEFAULT = ["busy", "oof", "tentative", "unknown"]


class Person(Struct, frozen=True, kw_only=True):
    """One mailbox: `line` is a list of (first minute, last minute after, status); `hours` as in the request or None."""

    known: bool = True
    window: tuple[datetime, datetime]
    line: tuple[tuple[datetime, datetime, str], ...] = ()
    hours: dict[str, Any] | None = None


def answer_to(request: dict[str, Any], people: dict[str, Person]) -> dict[str, Any]:
    """Return the parts of the answer that can be worked out: complete, found, slots, figures, misses."""
    lists, starts = _lists(request), list(_starts(request))
    causes = {
        (place, mailbox): {start: _causes(request, people.get(mailbox), hours, start) for start in starts}
        for place, mailbox, hours in _everybody(request, lists)
    }
    in_the_way = {start: _in_the_way(request, lists, causes, start) for start in starts}
    slots = [_slot(request, lists, causes, start) for start, barriers in in_the_way.items() if not barriers]
    if request.get("rank") == "fewest_conflicts":
        slots.sort(key=lambda slot: -len(slot["free"]))  # sorting is stable: the earlier first
    return {
        "complete": not any("window" in found for each in causes.values() for found in each.values())
        and all(mailbox in people and people[mailbox].known for _, mailbox in causes),
        "found": len(slots),
        "slots": slots[: request.get("limit", 20)],
        "figures": [_figures(request, place, mailbox, each, in_the_way) for (place, mailbox), each in causes.items()],
        "groups": [
            {
                "group": name,
                "blocks": sum(name in barriers for barriers in in_the_way.values()),
                "alone": sum(barriers == [name] for barriers in in_the_way.values()),
            }
            for name, _ in _groups(lists)
        ],
        "misses": [
            (_written(start), barriers)
            for start, barriers in sorted(in_the_way.items(), key=lambda found: len(found[1]))
            if barriers
        ][:5],
    }


def _lists(request: dict[str, Any]) -> dict[str, tuple[int, list[dict[str, Any]]]]:
    """Return every list by its name, with how many of it are needed (0: as many as may be)."""
    found = {"required": (-1, request.get("required", [])), "optional": (0, request.get("optional", []))}
    found |= {"group " + group["name"]: (group["need"], group["members"]) for group in request.get("groups", [])}
    if request.get("rooms"):
        rooms = [{"mailbox": room, "working_hours": "ignored"} for room in request["rooms"]]
        found["group rooms"] = (1, rooms)
    return found


def _groups(lists: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name.removeprefix("group "), found) for name, found in lists.items() if name.startswith("group ")]


def _everybody(request: dict[str, Any], lists: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for place, (_, listed) in lists.items():
        for each in listed:
            yield place, each["mailbox"], each.get("working_hours", request.get("working_hours", "own"))


def _starts(request: dict[str, Any]) -> Iterator[datetime]:
    zone, step = ZoneInfo(request.get("time_zone", "UTC")), request.get("step_minutes", 30)
    periods = [
        (datetime.fromisoformat(each["from"]), datetime.fromisoformat(each["to"])) for each in request["periods"]
    ]
    at = min(start for start, _ in periods)
    while at < max(end for _, end in periods):
        clock = at.astimezone(zone)
        if (clock.hour * 60 + clock.minute) % step == 0 and _all(
            at, request["duration_minutes"], lambda minute: any(start <= minute < end for start, end in periods)
        ):
            yield at.astimezone(UTC)
        at += MINUTE


def _all(first: datetime, minutes: int, holds: Callable[[datetime], bool]) -> bool:
    return all(holds(first + number * MINUTE) for number in range(minutes))


def _causes(request: dict[str, Any], person: Person | None, hours: Any, start: datetime) -> set[str]:
    found = set()
    if hours == "own":
        hours = person.hours if person is not None and person.known else None
    if isinstance(hours, dict) and not _all(start, request["duration_minutes"], lambda at: _works(hours, at)):
        found.add("hours")
    if person is None or not person.known:
        return found | {"unknown"}
    before, after = request.get("buffer_before_minutes", 0), request.get("buffer_after_minutes", 0)
    first, minutes = start - before * MINUTE, before + request["duration_minutes"] + after
    if not _all(first, minutes, lambda at: person.window[0] <= at < person.window[1]):
        found.add("window")
    blocking = {*request.get("blocking", DEFAULT), "unknown"}
    if not _all(first, minutes, lambda at: _status(person, at) not in blocking):
        found.add("busy")
    return found


def _works(hours: dict[str, Any], at: datetime) -> bool:
    day, shown = _clock(hours["time_zone"], at)
    return any(day in each["days"] and each["start"] <= shown < each["end"] for each in hours["periods"])


@lru_cache(maxsize=100_000)
def _clock(zone: str, at: datetime) -> tuple[str, str]:
    clock = at.astimezone(ZoneInfo(zone))
    return DAYS[clock.weekday()], f"{clock.hour:02}:{clock.minute:02}"


def _status(person: Person, at: datetime) -> str:
    return next((status for start, end, status in person.line if start <= at < end), "free")


def _blocks(request: dict[str, Any], place: str, causes: set[str]) -> bool:
    forgiven = place == "required" and request.get("ignore_unknown", False)
    return bool(causes - {"window", "unknown"} if forgiven else causes)


def _free(request: dict[str, Any], lists: Any, causes: Any, place: str, start: datetime) -> list[str]:
    listed = [each["mailbox"] for each in lists[place][1]]
    return [mailbox for mailbox in listed if not _blocks(request, place, causes[place, mailbox][start])]


def _in_the_way(request: dict[str, Any], lists: Any, causes: Any, start: datetime) -> list[str]:
    free = _free(request, lists, causes, "required", start)
    barriers = [each["mailbox"] for each in lists["required"][1] if each["mailbox"] not in free]
    return barriers + [
        name for name, (need, _) in _groups(lists) if len(_free(request, lists, causes, f"group {name}", start)) < need
    ]


def _slot(request: dict[str, Any], lists: Any, causes: Any, start: datetime) -> dict[str, Any]:
    return {
        "start": _written(start),
        "end": _written(start + request["duration_minutes"] * MINUTE),
        "free": _free(request, lists, causes, "optional", start),
        "groups": [
            {"group": name, "free": _free(request, lists, causes, f"group {name}", start)} for name, _ in _groups(lists)
        ],
        "unverified": [
            each["mailbox"]
            for each in lists["required"][1]
            if {"window", "unknown"} & causes["required", each["mailbox"]][start]
        ],
    }


def _figures(request: dict[str, Any], place: str, mailbox: str, each: Any, in_the_way: Any) -> dict[str, Any]:
    blocks = {start for start, causes in each.items() if _blocks(request, place, causes)}
    figures = {
        "mailbox": mailbox,
        "blocks": len(blocks),
        **{cause: sum(cause in causes for causes in each.values()) for cause in ("busy", "hours", "window", "unknown")},
    }
    return figures | ({"alone": sum(len(in_the_way[at]) == 1 for at in blocks)} if place == "required" else {})


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
