"""Decides where an enumeration goes on: its stages in order, and that no directory is walked in circles.

A place travels in the message as text, `users:12:5f2c...`; nothing else is remembered between pages.
"""

import hashlib
from typing import Final

from msgspec import Struct

from shared.contracts.policy import Scope
from shared.errors import Reject

GROUPS: Final = "groups"
USERS: Final = "users"
ROOMS: Final = "rooms"
SWEEP: Final = "sweep"
EXCHANGE: Final = "exchange"  # all of an Exchange organisation's sources in one, in place of the first three
_STAGES: Final = (GROUPS, USERS, ROOMS, SWEEP)


class LinkLoop(Exception):  # noqa: N818 -- it says what was found
    """A link led back to a page seen before."""


class Place(Struct, frozen=True, kw_only=True):
    """Where an enumeration is: the stage, which group of it, how many pages were seen, and the mark of one of them."""

    stage: str
    group: int = 0
    page: int = 0
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.stage}:{self.group}:{self.page}:{self.mark}"


def parse(text: str) -> Place:
    """Return the place that a message names. Raises Reject("stage_unknown")."""
    stage, *rest = text.split(":")
    group, page, mark = rest if len(rest) == 3 else ("0", "0", "")
    if stage not in (*_STAGES, EXCHANGE) or not group.isdecimal() or not page.isdecimal():
        raise Reject("stage_unknown", "stage")
    return Place(stage=stage, group=int(group), page=int(page), mark=mark)


def first(scope: Scope, *, exchange: bool = False) -> Place:
    """Return where an enumeration begins; an Exchange organisation is not walked page by page."""
    if exchange:
        return Place(stage=EXCHANGE)
    return Place(stage=GROUPS if scope.groups else USERS)


def after(place: Place, scope: Scope) -> Place | None:
    """Return where it goes once a stage (or a group of it) is read to its end, None after the last."""
    if place.stage == GROUPS and place.group + 1 < len(scope.groups):
        return Place(stage=GROUPS, group=place.group + 1)
    if place.stage == SWEEP:
        return None
    if place.stage == EXCHANGE:
        return Place(stage=SWEEP)
    following = _STAGES[_STAGES.index(place.stage) + 1]
    return Place(stage=SWEEP if following == ROOMS and not scope.rooms else following)


def advance(place: Place, cursor: str, link: str) -> Place:
    """Return the place of the next page of the same stage. Raises LinkLoop.

    The mark is the digest of one link passed before, moved on at every power of two (Brent): whatever the length of
    a circle, it is met before the third time round, with nothing more to carry along than one mark.
    """
    digest = hashlib.blake2s(link.encode(), digest_size=12).hexdigest()
    if link == cursor or digest == place.mark:
        raise LinkLoop
    page = place.page + 1
    is_power_of_two = page & (page - 1) == 0
    return Place(stage=place.stage, group=place.group, page=page, mark=digest if is_power_of_two else place.mark)
