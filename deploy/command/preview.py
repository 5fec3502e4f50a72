"""Decides what a change of an org's policy would do to what is stored: who leaves, who comes, what is shown otherwise.

Pure. It refuses to guess: members of groups, free time never read and statuses that were joined are counted as open.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from services.normalizer.merge import merge
from shared.contracts.policy import Policy
from shared.contracts.values import Block, Bucket, Instant, Kind, Status, Window

Figures = Counter[tuple[str, str]]  # (what is counted, which word of it): how many

READ: Final = frozenset({Bucket.ACTIVE.value, Bucket.FAILING.value, Bucket.DENIED.value})
_ROOMS: Final = frozenset({Kind.ROOM.value, Kind.EQUIPMENT.value})
_MAPPED: Final = (Status.TENTATIVE, Status.OOF, Status.ELSEWHERE)


class Member(Struct, frozen=True, kw_only=True):
    """A mailbox as enumeration left it."""

    address: str
    kind: str
    bucket: str
    reason: str | None


class Line(Struct, frozen=True, kw_only=True):
    """A mailbox's timeline: its blocks, and of how many events details are stored."""

    blocks: tuple[Block, ...]
    events: int


def changed_fields(old: Policy, new: Policy) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ, each as it was and as it would be; the scope's by their own names."""
    before, after = (_flat(msgspec.to_builtins(policy)) for policy in (old, new))
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _flat(policy: dict[str, Any]) -> dict[str, Any]:
    scope = {f"scope.{name}": value for name, value in policy.pop("scope").items()}
    return policy | scope


def of_mailboxes(old: Policy, new: Policy, members: Iterable[Member]) -> Figures:
    """Count mailboxes: "leave" and "join" by reason, "open" where only Microsoft knows, "read" that are read anew."""
    figures: Figures = Counter()
    for member in members:
        read_now = member.bucket in READ
        word = _leaving(old, new, member) if read_now else _joining(old, new, member)
        if word == "open":
            figures["open", "groups"] += 1
        elif word:
            figures["leave" if read_now else "join", word] += 1
        if read_now and (not word or word == "open"):
            figures["read", "mailboxes"] += 1
    return figures


def _leaving(old: Policy, new: Policy, member: Member) -> str:
    """Return why a mailbox that is read would not be any more, "open" where it depends on groups, "" where it stays."""
    scope, before = new.scope, old.scope
    if member.address in scope.exclude:
        return "excluded_by_list"
    if member.kind in _ROOMS and before.rooms and not scope.rooms:
        return "rooms_excluded"
    if not scope.groups or member.address in scope.include:
        return ""
    same = set(scope.groups) >= set(before.groups) and before.groups and member.address not in before.include
    return "" if same else "open"


def _joining(old: Policy, new: Policy, member: Member) -> str:
    """Return why a mailbox left out would be read, "open" where it depends on groups, "" where it stays out."""
    scope = new.scope
    if member.bucket != Bucket.EXCLUDED or member.address in scope.exclude:
        return ""
    if member.reason == "rooms_excluded":
        return "rooms" if scope.rooms else ""
    if member.reason not in ("excluded_by_list", "outside_scope_groups"):
        return ""  # an erased one never comes back
    if not scope.groups or member.address in scope.include:
        return "lists" if member.reason == "excluded_by_list" or member.address in scope.include else "groups"
    known = member.reason == "outside_scope_groups" and set(scope.groups) <= set(old.scope.groups)
    return "" if known else "open"


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
    words = {word: getattr(old, word.value) for word in _MAPPED}
    sources = {word for word, shown in words.items() if shown is status}
    plain = {status} if status not in _MAPPED else set()
    return plain | {getattr(new, word.value) for word in sources}


def unread(old: Policy, new: Policy, *, now: Instant) -> tuple[str, ...]:
    """Return what is not stored and therefore not counted: fixed words."""
    before, after = old.window_at(now), new.window_at(now)
    wider = after.start < before.start or after.end > before.end
    dropped = [word for word in _MAPPED if getattr(old, word.value) is Status.FREE and not old.show_free]
    return (
        *(("statuses",) if any(getattr(new, word.value) is not Status.FREE for word in dropped) else ()),
        *(("free_entries",) if new.show_free and not old.show_free else ()),
        *(("window",) if wider else ()),
        *(("details",) if new.detail != old.detail and new.detail.value == "details" else ()),
        *(("groups",) if new.scope.groups and set(new.scope.groups) != set(old.scope.groups) else ()),
    )
