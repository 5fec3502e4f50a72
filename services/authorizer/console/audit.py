"""The audit tab: who did what and when, the newest first, and whether the chain of entries is whole."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from msgspec import Struct

from services.authorizer import audit as log
from services.authorizer.audit import Entry
from services.authorizer.console.place import place_of, visit_of
from services.authorizer.console.rendering import page
from services.authorizer.console.texts import CATALOGUE, text
from services.authorizer.receipts import receipts
from shared.store import Store

PAGE: Final = 50  # entries
_FLAGS: Final = {True: "audit.yes", False: "audit.no"}


class AuditPage(Struct, frozen=True, kw_only=True):
    """Some entries of an org's chain, the newest first; `broken` is the number of the first that does not fit.

    `older` and `newer` are the pages beside this one, None where there is none; `total` counts the whole chain.
    """

    entries: tuple[Entry, ...]
    total: int
    broken: int | None
    number: int
    newer: int | None
    older: int | None


async def audit_page(store: Store, org_id: str, number: int) -> AuditPage:
    """Return a page of an org's audit log, from 1; one past the end is the last."""
    entries = await log.entries(store, org_id)
    printed = [receipt.audit_hash for receipt in await receipts(store, org_id)]
    last = max(1, -(-len(entries) // PAGE))
    number = min(number, last)
    newest_first = entries[::-1]
    return AuditPage(
        entries=newest_first[(number - 1) * PAGE : number * PAGE],
        total=len(entries),
        broken=log.verify(entries, known=printed),
        number=number,
        newer=number - 1 if number > 1 else None,
        older=number + 1 if number < last else None,
    )


def act_of(action: str) -> str:
    """Return what an action is in words, "" where there are none for it."""
    return CATALOGUE.get(f"audit.act.{action}", "")


def told(details: Mapping[str, str | int | bool]) -> tuple[tuple[str, str], ...]:
    """Return what an entry tells, each with its name in words; what is empty, and a code of 0, say nothing."""
    return tuple(
        (CATALOGUE.get(f"audit.told.{name}", name), text(_FLAGS[value]) if isinstance(value, bool) else str(value))
        for name, value in details.items()
        if value != "" and (name, value) != ("code", 0)
    )


async def show(request: web.Request) -> web.Response:
    """GET /setup/audit."""
    found = await audit_page(place_of(request).store, visit_of(request).org_id, _number(request))
    return await page(request, "audit.html", {"found": found, "act_of": act_of, "told": told}, tab="audit")


def _number(request: web.Request) -> int:
    asked = request.query.get("page", "1")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= 9 and int(asked) else 1


ROUTES: Final = (web.get("/setup/audit", show),)
