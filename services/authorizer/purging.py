"""Pure: what a disconnection needs next, from the answers so far, what is left, and the time; what its receipt counts.

It closes nothing on a service's word alone: what the database still holds of the org is asked for again.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from shared.contracts.messages import Purged
from shared.contracts.values import Instant

SERVICES: Final[tuple[Purged, ...]] = ("normalizer", "publisher", "fetcher")
LAST: Final[Purged] = "fetcher"  # forgets the letters that others parked, so it is asked again after them
ASK_AGAIN: Final = 15  # seconds
HOLDERS: Final[Mapping[str, Purged]] = {  # who deletes the rows that the authorizer counts
    "mailboxes": "fetcher",
    "subscriptions": "fetcher",
    "timelines": "publisher",
    "updates": "publisher",
}


class Purge(Struct, frozen=True, kw_only=True):
    """One disconnection. `done` names the services that have answered.

    `counts`, by kind: what the org had when it left, and what the authorizer deleted itself; under `service.kind` what
    a service says it deleted. Once ended they are the receipt's, by kind alone.
    """

    purge_id: str
    org_id: str
    generation: int
    actor: str
    started_at: Instant
    asked_at: Instant | None = None
    done: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    ended_at: Instant | None = None
    audit_hash: str | None = None


class Ask(Struct, frozen=True):
    """Ask these services to delete what they hold."""

    services: tuple[Purged, ...]


class Wait(Struct, frozen=True):
    """There is nothing to do yet, or nothing any more."""


class Close(Struct, frozen=True):
    """Every service has nothing left: delete what is the authorizer's own, and write the receipt."""


def step(purge: Purge, *, left: Mapping[str, int], now: Instant) -> Ask | Wait | Close:
    """Return what is to be done now. `left` counts the rows that there still are, by the kinds of HOLDERS."""
    if purge.ended_at is not None:
        return Wait()
    holding = {HOLDERS[kind] for kind, count in left.items() if count}
    missing = tuple(service for service in SERVICES if service not in purge.done or service in holding)
    if not missing:
        return Close()
    asked_lately = purge.asked_at is not None and 0 <= now - purge.asked_at < ASK_AGAIN
    return Wait() if asked_lately else Ask(missing)


def answered(purge: Purge, service: Purged, counts: Mapping[str, int]) -> Purge:
    """Return the purge with a service's answer in it: repeated, the larger count of each kind holds.

    Where LAST is done before the others they may have parked letters since: it is then asked once more, and at once.
    """
    told = {f"{service}.{kind}": count for kind, count in counts.items()}
    done, counted = {*purge.done, service}, larger(purge.counts, told)
    if service not in {LAST, *purge.done} and done == {*SERVICES}:
        return replace(purge, done=tuple(sorted(done - {LAST})), asked_at=None, counts=counted)
    return replace(purge, done=tuple(sorted(done)), counts=counted)


def larger(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return of each kind the larger count."""
    return {kind: max(one.get(kind, 0), other.get(kind, 0)) for kind in sorted({*one, *other})}


def totals(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the receipt's counts by kind: those of the services added up.

    What was also counted at the start is not counted twice: the larger number holds.
    """
    own: dict[str, int] = {}
    told: dict[str, int] = {}
    for name, count in counts.items():
        _, dot, kind = name.rpartition(".")
        if dot:
            told[kind] = told.get(kind, 0) + count
        else:
            own[kind] = count
    return larger(own, told)
