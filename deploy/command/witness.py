"""The witness: everything that names an org's people, listed before it is disconnected, to be searched for later.

It is personal data. It goes into a file of the operator's own, readable by that user alone, and nowhere else.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from sqlalchemy import Select, select

from deploy.command.failures import Wrong
from deploy.command.searching import Wanted
from services.authorizer.credentials import DEFAULT, LONGEST_PREFIX
from shared.connections import decoded
from shared.contracts.messages import Connection, EwsConnection, GroupSource, LdapSource, ListSource, Source
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
    servers: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()

    def wanted(self) -> Iterator[Wanted]:
        """Give every text with what sort it is."""
        for kind, texts in (
            ("address", self.addresses),
            ("mailbox id", self.mailbox_ids),
            ("subscription id", self.subscription_ids),
            ("tenant id", self.tenant_ids),
            ("server", self.servers),
            ("credential", self.credentials),
        ):
            yield from (Wanted(kind, text) for text in texts)


async def witnessed(store: Store, org_id: str, *, now: Instant) -> Witness:
    """List what the database holds that names an org or its people.

    What another org holds as well stays, so it is left out: at one Exchange server several may name the same mailbox.
    """

    async def column(query: Select[Any]) -> set[str]:
        async with store.read() as reading:
            return {found for found in (await reading.execute(query)).scalars() if found}

    def of(column_: Any) -> Select[Any]:
        return select(column_).where(column_.table.c.org_id == org_id)

    stored = await column(select(credentials.c.credential_id))
    known, others = await _connections(store, org_id)
    shared = servers_of(others)
    addresses = await _split(store, org_id, mailboxes.c.address, timelines.c.address)
    ids = await _split(store, org_id, mailboxes.c.mailbox_id, timelines.c.mailbox_id)
    return Witness(
        org_id=org_id,
        made_at=now,
        addresses=_sorted((addresses[True] | addresses_of(known)) - addresses[False] - addresses_of(others)),
        mailbox_ids=_sorted(ids[True] - ids[False]),
        subscription_ids=_sorted(await column(of(subscriptions.c.subscription_id))),
        tenant_ids=_sorted(
            (tenants_of(known) | await column(of(orgs.c.tenant_id))) - {f"ews:{host}" for host in shared}
        ),
        servers=_sorted(servers_of(known) - shared),
        credentials=_sorted(own_credentials(org_id, stored, known, others)),
    )


async def _split(store: Store, org_id: str, *columns: Any) -> dict[bool, set[str]]:
    """Return what columns hold of an org (True), and of all others."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    async with store.read() as reading:
        for each in columns:
            for whose, text in await reading.execute(select(each.table.c.org_id, each)):
                found[whose == org_id].add(text)
    return {mine: texts - {""} for mine, texts in found.items()}


async def _connections(store: Store, org_id: str) -> tuple[list[Connection], list[Connection]]:
    """Return an org's connections, in force and asked for, and those of all others."""
    found: dict[bool, list[Connection]] = {True: [], False: []}
    async with store.read() as reading:
        for row in await reading.execute(select(orgs.c.org_id, orgs.c.connection, orgs.c.asked)):
            found[row.org_id == org_id] += [decoded(text) for text in (row.connection, row.asked) if text]
    return found[True], found[False]


def tenants_of(known: Iterable[Connection]) -> set[str]:
    """Return the tenants that connections name."""
    return {connection.tenant_id for connection in known} - {""}


def servers_of(known: Iterable[Connection]) -> set[str]:
    """Return the hosts of an Exchange server and of a directory that connections name: they name the customer."""
    urls = [url for connection in known if isinstance(connection, EwsConnection) for url in _urls(connection)]
    return {(urlsplit(url).hostname or "").lower() for url in urls} - {""}


def addresses_of(known: Iterable[Connection]) -> set[str]:
    """Return the addresses that connections to Exchange servers name, and the names in their directory."""
    found: set[str] = set()
    for connection in known:
        if isinstance(connection, EwsConnection):
            found |= {connection.member.lower(), connection.outsider.lower()}
            found |= {name for source in connection.directory for name in _named(source)}
    return found - {""}


def _urls(connection: EwsConnection) -> list[str]:
    told = [source.url for source in connection.directory if isinstance(source, LdapSource)]
    return [connection.url, connection.endpoint, connection.resource, *told]


def _named(source: Source) -> tuple[str, ...]:
    match source:
        case LdapSource(base=base, group=group):
            return base, group
        case GroupSource(address=address):
            return (address.lower(),)
        case ListSource(addresses=addresses):
            return tuple(address.lower() for address in addresses)
        case _:
            return ()


def own_credentials(
    org_id: str, stored: set[str], known: Iterable[Connection], others: Iterable[Connection]
) -> set[str]:
    """Return the credentials that go with an org: named after it, or used by it alone; never the deployment's own."""
    after_it = re.compile(re.escape(org_id[:LONGEST_PREFIX]) + "-[0-9a-f]{8}")
    used = {connection.credential for connection in known} & stored
    mine = {name for name in stored if after_it.fullmatch(name)} | used
    foreign = {connection.credential for connection in others}
    return mine - foreign - {DEFAULT, org_id}  # the org's own id is looked for in any case


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
