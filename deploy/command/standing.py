"""How an org does, for its operator: beside what its platform is told, what to do about it and when what comes next."""

from typing import Any

import msgspec
from sqlalchemy import func, select

from deploy.command import receipts
from services.publisher.answers import OrgStatus
from services.publisher.standing import org_status
from shared import clock
from shared.connections import decoded
from shared.contracts.messages import EwsConnection
from shared.store import Store
from shared.tables import mailboxes, orgs


async def standing(store: Store, org_id: str) -> dict[str, Any] | None:
    """Return what to show of an org, by title, in its order; None where there is no such org."""
    leaving = await _leaving(store, org_id)
    if leaving is not None:
        return leaving
    found = await org_status(store, org_id)
    if found is None:
        return None
    return told(found) | {"server": await _server(store, org_id), "next": await _next(store, org_id)}


def told(found: OrgStatus) -> dict[str, Any]:
    """Return an org's status as it is shown: a removal held back with the command that lets it happen."""
    shown: dict[str, Any] = msgspec.to_builtins(found)
    del shown["org_id"]
    if found.held is not None:
        shown["held"] = (
            f"{found.held.removal} of {found.held.of} mailboxes would be removed, which may be a mistake: "
            f"busyline allow-removal {found.org_id}"
        )
    return shown


async def _server(store: Store, org_id: str) -> str:
    """Return where an Exchange server is and how it is signed in to; empty for Microsoft 365, or before it is known."""
    async with store.read() as reading:
        encoded = (await reading.execute(select(orgs.c.connection).where(orgs.c.org_id == org_id))).scalar_one_or_none()
    connection = decoded(encoded) if encoded else None
    if not isinstance(connection, EwsConnection):
        return ""
    return f"{connection.endpoint} ({connection.scheme})" if connection.endpoint else connection.url


async def _leaving(store: Store, org_id: str) -> dict[str, Any] | None:
    """Return what to show of an org that is being disconnected, None for any other."""
    purge = await receipts.latest(store, org_id)
    if purge is None or purge.ended_at is not None:
        return None
    return {
        "state": "disconnecting",
        "since": clock.moment(purge.started_at),
        "nothing left": ", ".join(purge.done),
        "rows left": await receipts.held(store, org_id),
    }


async def _next(store: Store, org_id: str) -> dict[str, str]:
    """Return when the org is verified, searched and read next, as far as that is planned."""
    planned = select(orgs.c.verify_at, orgs.c.enumerate_at).where(orgs.c.org_id == org_id)
    due = select(func.min(mailboxes.c.due_at)).where(mailboxes.c.org_id == org_id)
    async with store.read() as reading:
        row = (await reading.execute(planned)).one_or_none()
        reading_at = (await reading.execute(due)).scalar_one()
    times = {
        "verification": row.verify_at if row else None,
        "directory": row.enumerate_at if row else None,
        "reading": reading_at,
    }
    return {name: clock.moment(at) for name, at in times.items() if at is not None}
