"""Edge: the sealed credentials: stored, sealed anew, and forgotten once nobody is reached by them.

A credential is an org's own if it is named after the org, or if the org is the only one reached by it. `default` is the
deployment's and stays.
"""

import re
import secrets
from typing import Final

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.authorizer import audit
from shared.connections import about_credential, decoded
from shared.contracts.messages import GraphConnection
from shared.contracts.values import Instant
from shared.ews.credential import EwsCredential
from shared.identity import GraphCredential
from shared.store import Store
from shared.tables import credentials, orgs
from shared.vault import Vault, VaultError

LONGEST_PREFIX: Final = 55  # of an org's id in a credential's name, which has at most 64 characters
DEFAULT: Final = GraphConnection(tenant_id="any").credential


async def put_credential(  # noqa: PLR0913 -- what is stored, where, and for the audit log for whom and by whom
    store: Store,
    vault: Vault,
    credential_id: str,
    credential: GraphCredential | EwsCredential,
    *,
    now: Instant,
    org_id: str = audit.DEPLOYMENT,
    actor: str = "operator",
) -> None:
    """Seal a credential and store it under its name, in place of the one that was there; the same one changes nothing.

    The audit log tells of it in the org's chain, or the deployment's, without its name.
    """
    encoded, about = msgspec.json.encode(credential), about_credential(credential_id)
    values = {"sealed": vault.seal(encoded, about=about), "changed_at": now}
    insert = store.upsert(credentials).values(credential_id=credential_id, **values)
    details = {"form": form_of(credential)}
    async with store.write() as writing:
        await store.publication_lock(writing)
        query = select(credentials.c.sealed).where(credentials.c.credential_id == credential_id)
        there = (await writing.execute(query)).scalar_one_or_none()
        if there is not None and _opened(vault, there, about) == encoded:
            return
        await writing.execute(insert.on_conflict_do_update(index_elements=["credential_id"], set_=values))
        act = {"chain": org_id, "actor": actor, "action": "credential.stored"}
        await audit.append(store, writing, **act, details=details, now=now)


def form_of(credential: GraphCredential | EwsCredential) -> str:
    """Return what a credential signs in with, in a word."""
    match credential:
        case EwsCredential(app=None):
            return "password"
        case EwsCredential():
            return "app"
        case GraphCredential(certificate=certificate):
            return "certificate" if certificate else "client_secret"


def _opened(vault: Vault, sealed: bytes, about: str) -> bytes | None:
    try:
        return vault.open(sealed, about=about)
    except VaultError:
        return None


def credential_name(org_id: str) -> str:
    """Return a fresh name for an org's credential: the one in force stays until Microsoft has accepted the new one."""
    return f"{org_id[:LONGEST_PREFIX]}-{secrets.token_hex(4)}"


async def forget_unused(store: Store, org_id: str) -> int:
    """Delete an org's credentials that no connection, in force or asked for, names any more; return how many."""
    own = _own_names(org_id)
    async with store.write() as writing:
        used = await _used(writing)
        unused = [name for name in await _names(writing) if own.fullmatch(name) and name not in used]
        await writing.execute(delete(credentials).where(credentials.c.credential_id.in_(unused)))
    return len(unused)


async def forget_own(writing: AsyncConnection, org_id: str) -> int:
    """Delete the credentials of an org that leaves; return how many. One that another org is reached by stays."""
    own = _own_names(org_id)
    others = await _used(writing, but=org_id)
    named = await _used(writing) - others - {DEFAULT}
    gone = [name for name in await _names(writing) if name in named or (own.fullmatch(name) and name not in others)]
    await writing.execute(delete(credentials).where(credentials.c.credential_id.in_(gone)))
    return len(gone)


async def _names(writing: AsyncConnection) -> list[str]:
    """Return every credential's name, the rows locked in the order in which everybody locks them."""
    query = select(credentials.c.credential_id).order_by(credentials.c.credential_id).with_for_update()
    return list((await writing.execute(query)).scalars())


async def _used(writing: AsyncConnection, *, but: str | None = None) -> set[str]:
    query = select(orgs.c.connection, orgs.c.asked)
    if but is not None:
        query = query.where(orgs.c.org_id != but)
    rows = (await writing.execute(query)).all()
    return {decoded(text).credential for row in rows for text in row if text}


def _own_names(org_id: str) -> re.Pattern[str]:
    return re.compile(re.escape(org_id[:LONGEST_PREFIX]) + "-[0-9a-f]{8}")


async def reseal(store: Store, vault: Vault, *, now: Instant) -> int:
    """Seal every credential under the newest key; return how many were not so yet.

    Raises VaultError where one cannot be opened, and then changes none.
    """
    count = 0
    query = select(credentials).order_by(credentials.c.credential_id).with_for_update()
    async with store.write() as writing:
        for row in (await writing.execute(query)).all():
            if not vault.is_newest(row.sealed):
                sealed = vault.rotate(row.sealed, about=about_credential(row.credential_id))
                where = credentials.c.credential_id == row.credential_id
                await writing.execute(update(credentials).where(where).values(sealed=sealed, changed_at=now))
                count += 1
    return count


async def open_all(store: Store, vault: Vault) -> None:
    """See that every credential can be opened. Raises VaultError."""
    async with store.read() as reading:
        for row in (await reading.execute(select(credentials))).all():
            vault.open(row.sealed, about=about_credential(row.credential_id))
