"""The JSON API about how an org stands, its audit log and its receipt: what the pages of the same names show."""

from typing import Final

from msgspec.structs import replace

from services.authorizer import orgs
from services.authorizer.console import audit, phases
from services.authorizer.console.api_answers import (
    Act,
    AuditTold,
    CauseTold,
    OrgStatus,
    ProgressTold,
    Reach,
    ReceiptTold,
)
from services.authorizer.console.api_calls import Call, number
from services.authorizer.console.api_problems import Problem
from services.authorizer.orgs import OrgState
from services.authorizer.standing import Standing, standing
from shared import clock
from shared.contracts.messages import Connection, EwsConnection, GraphConnection

MOST_PAGES: Final = 10**9


async def status(call: Call) -> OrgStatus:
    """Return how the org stands."""
    found = await standing(call.place.store, call.visit.org_id, now=clock.now())
    return told(call.visit.org_id, found)


def told(org_id: str, found: Standing) -> OrgStatus:
    """Return an org's standing as the API tells it."""
    search = found.search
    bare = OrgStatus(
        org_id=org_id,
        phase=phases.phase(found),
        causes=tuple(CauseTold(bucket=one.bucket, reason=one.reason, count=one.count) for one in found.causes),
        waiting=found.waiting,
        oldest_reading_at=found.oldest,
        median_reading_at=found.median,
        verify_at=found.verify_at,
        held=search.held if search else 0,
        held_of=search.held_of if search else 0,
        left=found.left,
    )
    return bare if found.org is None else _with(bare, found.org, progress(found))


def _with(bare: OrgStatus, state: OrgState, far: ProgressTold) -> OrgStatus:
    return replace(
        bare,
        pending=state.pending,
        generation=state.generation,
        reason=state.reason or "",
        sentence=state.sentence or "",
        connection=reach(state.connection),
        connected_at=state.connected_at,
        progress=far,
        search_at=state.enumerate_at,
    )


def progress(found: Standing) -> ProgressTold:
    """Return how far reading is."""
    seen = phases.progress(found)
    names = ProgressTold.__struct_fields__
    return ProgressTold(**{name: getattr(seen, name) for name in names})


def reach(connection: Connection) -> Reach:
    """Return how an org is reached, without the name of its credential."""
    match connection:
        case GraphConnection():
            return Reach(kind="graph", cloud=connection.cloud, tenant_id=connection.tenant_id)
        case EwsConnection():
            return Reach(
                kind="ews",
                cloud=connection.cloud,
                tenant_id=connection.tenant_id,
                server=connection.endpoint or connection.url,
                scheme=connection.scheme or connection.auth,
                member=connection.member,
                outsider=connection.outsider,
                directory=connection.directory,
            )


async def log(call: Call) -> AuditTold:
    """Return a page of the org's audit log, the newest entry first."""
    asked = number(call.query, "page", among=(1, MOST_PAGES), otherwise=1)
    found = await audit.audit_page(call.place.store, call.visit.org_id, asked)
    names = Act.__struct_fields__
    acts = tuple(Act(**{name: getattr(entry, name) for name in names}) for entry in found.entries)
    return AuditTold(entries=acts, total=found.total, broken=found.broken, older=found.older)


async def receipt(call: Call) -> ReceiptTold:
    """Return the receipt of the org's last disconnection. Raises Problem: 404 where there is none."""
    found = await orgs.receipt(call.place.store, call.visit.org_id)
    if found is None:
        raise Problem(404, "no_receipt", detail="This organisation was never disconnected, or is being so now.")
    return ReceiptTold(**{name: getattr(found, name) for name in ReceiptTold.__struct_fields__})
