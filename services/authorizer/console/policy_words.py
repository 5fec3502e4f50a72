"""Decides how a change of a policy is laid out on its preview: each field as it was and will be, each figure.

Pure. Of a long list only a few entries are shown, and how many more there are.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from services.authorizer.policy_preview import Figures, Preview
from shared.contracts.values import DAY, Window

SHOWN: Final = 10  # entries of a list
_LISTS: Final = frozenset({"scope.groups", "scope.include", "scope.exclude"})
_WORDS: Final = {
    "detail": "detail", "tentative": "status", "oof": "status", "elsewhere": "status", "conferencing": "flag",
    "show_free": "flag", "scope.rooms": "flag", "window": "window",
}  # fmt: skip


class Change(Struct, frozen=True, kw_only=True):
    """A field that changes. `sort` says how `before` and `after` are to be written: of a list they are its lengths.

    What of it is `added` and `removed` are a few entries each; so many more follow (`added_more`, `removed_more`).
    """

    name: str
    sort: str
    before: Any = None
    after: Any = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added_more: int = 0
    removed_more: int = 0


class Effect(Struct, frozen=True, kw_only=True):
    """One thing that a change does, so many times; `parts` are (word, count), the largest first."""

    name: str
    count: int
    parts: tuple[tuple[str, int], ...] = ()


def changes(found: Preview) -> tuple[Change, ...]:
    """Return the fields that change, in the order of the form."""
    return tuple(_change(name, before, after) for name, (before, after) in found.changes.items())


def effects(figures: Figures, *, stricter: bool) -> tuple[Effect, ...]:
    """Return what a change does to mailboxes and calendars, as far as it can be counted."""
    found = [_counted(figures, kind) for kind in ("leave", "join")]
    found.append(Effect(name="open", count=figures["open", "groups"]))
    found.append(Effect(name="read", count=figures["read", "mailboxes"]))
    found.append(Effect(name="hidden", count=figures["shown", "calendars"] if stricter else 0))
    return tuple(found)


def nobody_stays(figures: Figures) -> bool:
    """Say whether nobody would be left of whom there are some: that is rarely meant."""
    return not figures["read", "mailboxes"] and any(kind == "leave" for kind, _ in +figures)


def _change(name: str, before: Any, after: Any) -> Change:
    if name in _LISTS:
        return _listed(name, before, after)
    if name == "window":
        return Change(name=name, sort="window", before=_window(before), after=_window(after))
    return Change(name=name, sort=_WORDS.get(name, "number"), before=before, after=after)


def _listed(name: str, before: Sequence[str], after: Sequence[str]) -> Change:
    old, new = frozenset(before), frozenset(after)
    added = [one for one in after if one not in old]
    removed = [one for one in before if one not in new]
    return Change(
        name=name,
        sort="list",
        before=len(before),
        after=len(after),
        added=tuple(added[:SHOWN]),
        removed=tuple(removed[:SHOWN]),
        added_more=max(0, len(added) - SHOWN),
        removed_more=max(0, len(removed) - SHOWN),
    )


def dates(window: Window) -> tuple[str, str]:
    """Return the beginning and the end of a span as they are written for people: its days where it has whole ones."""
    written = [datetime.fromtimestamp(instant, UTC) for instant in (window.start, window.end)]
    whole = all(instant % DAY == 0 for instant in (window.start, window.end))
    first, last = (f"{one.day} {one:%b %Y}" if whole else f"{one.day} {one:%b %Y, %H:%M} UTC" for one in written)
    return first, last


def _window(value: Sequence[int] | None) -> tuple[str, str] | None:
    """Return a window, as it is in a policy's JSON, as it is written for people."""
    return None if value is None else dates(Window(*value))


def _counted(figures: Figures, kind: str) -> Effect:
    parts = {word: count for (what, word), count in figures.items() if what == kind and count}
    ordered = sorted(parts.items(), key=lambda part: (-part[1], part[0]))
    return Effect(name=kind, count=sum(parts.values()), parts=tuple(ordered))
