"""Decides what a change of an org's policy would do to its mailboxes: who leaves, who comes, what was never read.

Pure. It refuses to guess: who is in a group is counted as open. Nothing of anybody's calendar is looked at.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from shared.contracts.policy import Policy
from shared.contracts.values import Bucket, Instant, Kind, Status

Figures = Counter[tuple[str, str]]  # (what is counted, which word of it): how many
Sort = tuple[str, str, str | None]  # a mailbox's kind, bucket and reason

READ: Final = frozenset({Bucket.ACTIVE.value, Bucket.FAILING.value, Bucket.DENIED.value})
MAPPED: Final = (Status.TENTATIVE, Status.OOF, Status.ELSEWHERE)  # what a policy may show as another word
_ROOMS: Final = frozenset({Kind.ROOM.value, Kind.EQUIPMENT.value})


class Member(Struct, frozen=True, kw_only=True):
    """A mailbox as enumeration left it."""

    address: str
    kind: str
    bucket: str
    reason: str | None


class Preview(Struct, frozen=True, kw_only=True):
    """What a change would do: the fields that differ, whether it is stricter, figures, and what cannot be foreseen."""

    org_id: str
    changes: Mapping[str, tuple[Any, Any]]
    stricter: bool
    figures: Figures
    unread: tuple[str, ...]


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


def listed(*policies: Policy) -> frozenset[str]:
    """Return the addresses that policies name: of all others only the sort counts."""
    lists = (addresses for policy in policies for addresses in (policy.scope.include, policy.scope.exclude))
    return frozenset(address for addresses in lists for address in addresses)


def of_sorts(old: Policy, new: Policy, sorts: Mapping[Sort, int], named: Iterable[Member]) -> Figures:
    """Count as `of_mailboxes` does, of so many mailboxes of each sort; `named` are those among them that are listed."""
    others, ones = Counter(sorts), list(named)
    others.subtract((member.kind, member.bucket, member.reason) for member in ones)
    figures = of_mailboxes(old, new, ones)
    for (kind, bucket, reason), count in (+others).items():
        member = Member(address="", kind=kind, bucket=bucket, reason=reason)
        figures.update({word: count * each for word, each in of_mailboxes(old, new, [member]).items()})
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


def unread(old: Policy, new: Policy, *, now: Instant) -> tuple[str, ...]:
    """Return what is not stored and therefore not counted: fixed words."""
    before, after = old.window_at(now), new.window_at(now)
    wider = after.start < before.start or after.end > before.end
    dropped = [word for word in MAPPED if getattr(old, word.value) is Status.FREE and not old.show_free]
    return (
        *(("statuses",) if any(getattr(new, word.value) is not Status.FREE for word in dropped) else ()),
        *(("free_entries",) if new.show_free and not old.show_free else ()),
        *(("window",) if wider else ()),
        *(("details",) if new.detail != old.detail and new.detail.value == "details" else ()),
        *(("groups",) if new.scope.groups and set(new.scope.groups) != set(old.scope.groups) else ()),
    )
