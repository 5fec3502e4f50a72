"""Reads from where, and of which orgs, a request wants to follow the update log.

It refuses an org that does not exist for who asks, and one that left and of which nothing more is to be heard.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

from aiohttp import web
from msgspec import Struct
from sqlalchemy import func, select

from services.publisher.access import STORE, org_unknown
from services.publisher.asking import invalid
from services.publisher.consumers import Known
from services.publisher.log import PositionGone, Scope
from services.publisher.news import ORG_REMOVED
from services.publisher.operations import Parameter
from services.publisher.problems import Problem
from shared.contracts.values import ORG_ID
from shared.reach import reached
from shared.store import Store
from shared.tables import orgs, updates

MOST_ORGS: Final = 1000
_POSITION = re.compile(r"[0-9]{1,19}", re.ASCII)
_TITLES = {
    "position_forgotten": "Something after this position is not kept any more; take a snapshot",
    "position_unknown": "This log has no such position; take a snapshot",
}


class Asked(Struct, frozen=True, kw_only=True):
    """What a request brings: the orgs named (none: all in scope), the position, and its other parameters."""

    only: tuple[str, ...]
    after: int | None
    rest: dict[str, str]


def asked(request: web.Request, others: Collection[str] = ()) -> Asked:
    """Return what a request brings; `Last-Event-ID` is heard before `after`. Raises Problem 422 naming a parameter."""
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name == "org":
            continue
        if name in found or (name != "after" and name not in others):
            raise invalid(name[:64], "This parameter is not known, or is given twice.")
        found[name] = value
    only = tuple(dict.fromkeys(request.query.getall("org", [])))
    if len(only) > MOST_ORGS:
        raise invalid("org", f"At most {MOST_ORGS} may be named.")
    after = found.pop("after", None)
    return Asked(only=only, after=None if after is None else position_of("after", after), rest=found)


def position_of(field: str, text: str) -> int:
    """Return a position, written with or without its zeros in front. Raises Problem 422 naming the field."""
    if not _POSITION.fullmatch(text) or int(text) >= 1 << 63:
        raise invalid(field, "A position in the update log is needed: a whole number.")
    return int(text)


async def scope_asked(request: web.Request, known: Known, only: tuple[str, ...], *, after: int) -> Scope:
    """Return what may be heard after a position, which for an org that left is at most the word that it did.

    Raises Problem 404 where an org does not exist for who asks, and where of those named nothing more is to be heard.
    """
    if not only:
        return Scope(None if known.every_org else frozenset(known.orgs), _later(known.departed.values(), after))
    if not all(ORG_ID.fullmatch(each) and (known.may_ask(each) or each in known.departed) for each in only):
        raise org_unknown()
    mine = [each for each in only if known.may_ask(each)]
    present, left = await _present(request.app[STORE], mine)
    words = _later((known.departed[each] for each in only if each in known.departed), after)
    if any(each not in present and each not in left and each not in known.departed for each in mine):
        raise org_unknown()
    if not present and not words and not _later(left.values(), after):
        raise org_unknown()
    return Scope(frozenset(mine), words)


async def _present(store: Store, mine: Collection[str]) -> tuple[set[str], dict[str, int]]:
    """Return which of the orgs are here, and where in the log it says that they left."""
    here = select(orgs.c.org_id).where(orgs.c.org_id.in_(mine))
    word = (
        select(updates.c.org_id, func.max(updates.c.position).label("position"))
        .where(updates.c.org_id.in_(mine), updates.c.mailbox_id == "", updates.c.type == ORG_REMOVED)
        .group_by(updates.c.org_id)
    )
    async with reached(), store.read() as connection:
        present = set((await connection.execute(here)).scalars())
        return present, {row.org_id: row.position for row in await connection.execute(word)}


def _later(positions: Iterable[int], after: int) -> frozenset[int]:
    return frozenset(each for each in positions if each > after)


def gone(error: PositionGone) -> Problem:
    """Return the problem of a position from which nobody can go on."""
    return Problem(410, error.reason, title=_TITLES[error.reason])


AFTER = Parameter(
    name="after",
    description="Position in the update log: only what comes after it.",
    schema={"type": "string", "pattern": "^[0-9]{1,19}$"},
)
ORG = Parameter(name="org", description="Only this org; may be given several times.", repeatable=True)
