"""Decides who an Exchange organisation's mailboxes are, from what its sources say together, and each one's bucket.

It refuses to count one mailbox twice because two sources name it differently.
"""

import hashlib
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import astuple, replace

from services.fetcher.directory import Answer, DirectoryUser, MailboxSettings, Verdict, after_asking, before_asking
from shared.contracts.policy import Scope
from shared.contracts.values import Bucket, Kind
from shared.ldap_entries import Entry

ELSEWHERE: Final = "hosted_elsewhere"
_ONLINE: Final = (".office365.com", ".office365.us", ".office.com", ".outlook.cn")


class Found(Struct, frozen=True, kw_only=True):
    """A mailbox that a source names. `names` are all its addresses and its sign-in name, in lower case.

    `elsewhere`: it is an object of this directory whose mailbox another connection reaches.
    """

    mailbox_id: str
    address: str
    names: frozenset[str]
    kind: Kind | None = None
    elsewhere: bool = False


class Gathered(Struct, frozen=True, kw_only=True):
    """What the sources of a connection say: objects of directories, addresses, rooms, and who is in a scope group."""

    entries: tuple[Entry, ...] = ()
    addresses: frozenset[str] = frozenset()
    rooms: frozenset[str] = frozenset()
    scope: frozenset[str] = frozenset()


def everybody(gathered: Gathered, *, online: bool) -> list[Found]:
    """Return every mailbox once, by id. An address is that of the object that has it, or a mailbox of its own.

    `online` says that the connection reaches Exchange Online: then the remote ones are here, and the others elsewhere.
    """
    found = _objects(gathered.entries, online=online)
    index = _by_name(found.values())
    for address in sorted(gathered.addresses | gathered.rooms):
        if address not in index:
            found[id_of(address)] = Found(mailbox_id=id_of(address), address=address, names=frozenset({address}))
            index[address] = id_of(address)
    for address in gathered.rooms:
        found[index[address]] = replace(found[index[address]], kind=Kind.ROOM)
    return sorted(found.values(), key=lambda each: each.mailbox_id)


def judge(found: Found, scope: Scope, *, in_group: bool) -> Verdict:
    """Return a mailbox's verdict as far as the directory knows it: a reading decides the rest."""
    user = DirectoryUser(id=found.mailbox_id, mail=found.address)
    early = before_asking(user, scope, in_group=in_group, names=found.names)
    if early is not None:
        return early
    purpose = None if found.kind is None else found.kind.value
    verdict = after_asking(user, scope, Answer(status=200, settings=MailboxSettings(user_purpose=purpose)))
    if found.elsewhere and verdict.bucket is Bucket.ACTIVE:
        return replace(verdict, bucket=Bucket.ON_ANOTHER_CONNECTION, reason=ELSEWHERE)
    return verdict


def id_of(address: str) -> str:
    """Return the id of a mailbox of which nothing but the address is known: the same for ever, whoever names it."""
    return "a-" + hashlib.sha256(address.lower().encode()).hexdigest()[:40]


def is_online(endpoint: str) -> bool:
    """Say whether an endpoint is Exchange Online's, of any cloud."""
    host = (urlsplit(endpoint).hostname or "").lower()
    return f".{host}".endswith(_ONLINE)


def _objects(entries: Iterable[Entry], *, online: bool) -> dict[str, Found]:
    """Return objects by id; of two with one address the one whose mailbox is here counts, else the first by id."""
    kept: dict[str, Found] = {}
    for each in sorted(map(_named, entries), key=lambda each: (each.remote != online, astuple(each))):
        if each.mailbox_id:
            kept.setdefault(each.address or each.mailbox_id, _of(each, elsewhere=each.remote != online))
    return {found.mailbox_id: found for found in kept.values()}


def _named(entry: Entry) -> Entry:
    """Return an entry with an id, where it has an address to make one of."""
    return entry if entry.mailbox_id or not entry.address else replace(entry, mailbox_id=id_of(entry.address))


def _of(entry: Entry, *, elsewhere: bool) -> Found:
    names = frozenset({entry.address, entry.upn, *entry.aliases} - {""})
    return Found(mailbox_id=entry.mailbox_id, address=entry.address, names=names, kind=entry.kind, elsewhere=elsewhere)


def _by_name(found: Iterable[Found]) -> dict[str, str]:
    """Return the id of each name's mailbox; a primary address goes before another's alias."""
    index: dict[str, str] = {}
    everyone = list(found)
    for each in everyone:
        index.setdefault(each.address, each.mailbox_id)
    for each in everyone:
        for name in sorted(each.names):
            index.setdefault(name, each.mailbox_id)
    index.pop("", None)
    return index
