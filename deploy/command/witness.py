"""The witness: everything that names an org's people, listed before it is disconnected, to be searched for later.

It is personal data. It goes into a file of the operator's own, readable by that user alone, and nowhere else.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Select, select

from deploy.command.failures import Wrong
from deploy.command.searching import Wanted
from services.authorizer.credentials import DEFAULT, LONGEST_PREFIX
from shared.contracts.messages import GraphConnection
from shared.contracts.values import Instant
from shared.store import Store
from shared.tables import credentials, mailboxes, orgs, subscriptions, timelines

_PRIVATE: Final = 0o600


class Witness(Struct, frozen=True, kw_only=True):
    """What must have vanished once the org is purged. `made_at` is when it was listed; texts are sorted, each once."""

    org_id: str
    made_at: Instant
    addresses: tuple[str, ...] = ()
    mailbox_ids: tuple[str, ...] = ()
    subscription_ids: tuple[str, ...] = ()
    tenant_ids: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()

    def wanted(self) -> Iterator[Wanted]:
        """Give every text with what sort it is."""
        for kind, texts in (
            ("address", self.addresses),
            ("mailbox id", self.mailbox_ids),
            ("subscription id", self.subscription_ids),
            ("tenant id", self.tenant_ids),
            ("credential", self.credentials),
        ):
            yield from (Wanted(kind, text) for text in texts)


async def witnessed(store: Store, org_id: str, *, now: Instant) -> Witness:
    """List what the database holds that names an org or its people."""

    async def column(query: Select[Any]) -> set[str]:
        async with store.read() as reading:
            return {found for found in (await reading.execute(query)).scalars() if found}

    def of(column_: Any) -> Select[Any]:
        return select(column_).where(column_.table.c.org_id == org_id)

    stored = await column(select(credentials.c.credential_id))
    own = await _own(store, org_id, stored)
    return Witness(
        org_id=org_id,
        made_at=now,
        addresses=_sorted(await column(of(mailboxes.c.address)) | await column(of(timelines.c.address))),
        mailbox_ids=_sorted(await column(of(mailboxes.c.mailbox_id)) | await column(of(timelines.c.mailbox_id))),
        subscription_ids=_sorted(await column(of(subscriptions.c.subscription_id))),
        tenant_ids=_sorted(await _tenants(store, org_id)),
        credentials=_sorted(own),
    )


async def _tenants(store: Store, org_id: str) -> set[str]:
    query = select(orgs.c.connection, orgs.c.asked, orgs.c.tenant_id).where(orgs.c.org_id == org_id)
    async with store.read() as reading:
        row = (await reading.execute(query)).one_or_none()
    if row is None:
        return set()
    named = {msgspec.json.decode(text, type=GraphConnection).tenant_id for text in (row.connection, row.asked) if text}
    return (named | {row.tenant_id}) - {""}


async def _own(store: Store, org_id: str, stored: set[str]) -> set[str]:
    """Return the credentials that go with an org: named after it, or used by it alone; never the deployment's own."""
    named: dict[bool, set[str]] = {True: set(), False: set()}
    async with store.read() as reading:
        for row in await reading.execute(select(orgs.c.org_id, orgs.c.connection, orgs.c.asked)):
            found = [msgspec.json.decode(text, type=GraphConnection) for text in (row.connection, row.asked) if text]
            named[row.org_id == org_id].update(connection.credential for connection in found)
    after_it = re.compile(re.escape(org_id[:LONGEST_PREFIX]) + "-[0-9a-f]{8}")
    mine = {name for name in stored if after_it.fullmatch(name)} | (named[True] & stored)
    return mine - named[False] - {DEFAULT, org_id}  # the org's own id is looked for in any case


def _sorted(texts: set[str]) -> tuple[str, ...]:
    return tuple(sorted(texts))


def write(file: Path, witness: Witness) -> None:
    """Write a witness for its owner's eyes alone. Raises OSError."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "wb") as opened:
        os.fchmod(opened.fileno(), _PRIVATE)  # a file that was there keeps its mode otherwise
        opened.write(msgspec.json.format(msgspec.json.encode(witness), indent=1) + b"\n")


def read(file: Path, org_id: str) -> Witness:
    """Return the witness of an org from a file; a usage error where it is none, or another org's."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Witness)
    except (msgspec.DecodeError, UnicodeError):
        raise Wrong(f"{file} is not a file that `busyline disconnect --witness` wrote") from None
    if found.org_id != org_id:
        raise Wrong(f"{file} is the witness of another org")
    return found
