"""Decides which objects of Active Directory are mailboxes, whose they are to read, and what is kept of each.

It refuses to let a name given from outside change the meaning of a filter, and keeps no display name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from shared.contracts.values import Kind

# msExchRecipientTypeDetails; 128 (MailUser) and contacts have an address and no mailbox in this organisation,
# arbitration, discovery and health mailboxes belong to no person: none of them is asked for.
HERE: Final = {1: Kind.USER, 2: Kind.USER, 4: Kind.SHARED, 16: Kind.ROOM, 32: Kind.EQUIPMENT}
ELSEWHERE: Final = {  # RemoteUserMailbox and its like: an object here, the mailbox in Exchange Online
    2_147_483_648: Kind.USER,
    8_589_934_592: Kind.ROOM,
    17_179_869_184: Kind.EQUIPMENT,
    34_359_738_368: Kind.SHARED,
}
ATTRIBUTES: Final = (
    "objectGUID",
    "mail",
    "proxyAddresses",
    "userPrincipalName",
    "msExchRecipientTypeDetails",
    "msExchHideFromAddressLists",
)
IN_CHAIN: Final = "1.2.840.113556.1.4.1941"  # LDAP_MATCHING_RULE_IN_CHAIN: members of members, too
ACTIVE_DIRECTORY: Final = "1.2.840.113556.1.4.800"  # LDAP_CAP_ACTIVE_DIRECTORY_OID, among supportedCapabilities
GROUPS: Final = "(|(objectClass=group)(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))"
MEMBERS: Final = ("member", "uniqueMember")

_ADDRESS: Final = re.compile(r"[^\s@]{1,128}@[^\s@]{1,190}")
_MEANS: Final = re.compile(r"[\x00()*\\]")  # RFC 4515 section 3: what has a meaning in a filter
_ESCAPES: Final = re.compile(r"(?:\\[0-9A-Fa-f]{2})+|\\(.)")  # RFC 4514 section 3
_PARTS: Final = re.compile(r"(?:\\.|[^,\\])+")


class Entry(Struct, frozen=True, kw_only=True):
    """A mailbox as the directory tells of it; addresses in lower case, "" where it has none.

    `mailbox_id` is the objectGUID as text, "" where the directory gives none. `aliases` are its other SMTP addresses.
    `remote`: an object here whose mailbox lives in Exchange Online. `hidden` from address lists, which changes nothing.
    """

    mailbox_id: str
    address: str
    aliases: tuple[str, ...] = ()
    upn: str = ""
    kind: Kind = Kind.USER
    remote: bool = False
    hidden: bool = False


def entry(attributes: Mapping[str, Sequence[bytes]]) -> Entry | None:
    """Return what is kept of an object, None for one that is no mailbox; names of attributes in any case."""
    given = {name.lower(): values for name, values in attributes.items()}
    sort = _number(given)
    kind = HERE.get(sort) or ELSEWHERE.get(sort)
    if kind is None:
        return None
    primary, others = _proxies(given.get("proxyaddresses", ()))
    address = primary or _address(_first(given, "mail"))
    return Entry(
        mailbox_id=guid(next(iter(given.get("objectguid", ())), b"")),
        address=address,
        aliases=tuple(sorted(others - {address})),
        upn=_first(given, "userprincipalname").lower(),
        kind=kind,
        remote=sort in ELSEWHERE,
        hidden=_first(given, "msexchhidefromaddresslists").upper() == "TRUE",
    )


def guid(raw: bytes) -> str:
    """Return an objectGUID as text in lower case; its first three parts come little end first [MS-DTYP] 2.3.4.2."""
    return str(UUID(bytes_le=raw)) if len(raw) == 16 else ""


def mailboxes(group: str = "") -> str:
    """Return the filter of all mailboxes, here and elsewhere; of the members of a group (a DN) where one is given.

    One that lives elsewhere need not have a msExchMailboxGuid: created as remote, it never had a mailbox here.
    """
    here, elsewhere = _any_of(HERE), _any_of(ELSEWHERE)
    members = f"(memberOf:{IN_CHAIN}:={escaped(group)})" if group else ""
    ours = f"(|(&(msExchMailboxGuid=*){here}){elsewhere})"
    return f"(&(objectCategory=person)(objectClass=user){ours}{members})"


def escaped(value: str) -> str:
    """Return a value as it stands in a filter, whatever signs are in it (RFC 4515 section 3)."""
    return _MEANS.sub(lambda sign: f"\\{ord(sign[0]):02x}", value)


def plain(dn: str) -> str:
    """Return a DN in one form to compare by: lower case, no spaces about separators, one way of escaping."""
    pairs = (part.partition("=") for part in _PARTS.findall(dn))
    return ",".join(f"{name.strip().lower()}={_unescaped(value).lower()}" for name, _, value in pairs)


def within(group: str, members: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Return who is in a group, or in a group that is in it, however they contain each other; DNs in plain form.

    `members` gives the direct members of every group known, by the plain DN of the group.
    """
    seen = {group}
    waiting = [group]
    while waiting:
        fresh = set(members.get(waiting.pop(), ())) - seen
        seen |= fresh
        waiting += fresh & members.keys()
    return frozenset(seen - {group})


def _any_of(sorts: Iterable[int]) -> str:
    return "(|" + "".join(f"(msExchRecipientTypeDetails={sort})" for sort in sorts) + ")"


def _proxies(values: Iterable[bytes]) -> tuple[str, set[str]]:
    """Return the primary address (SMTP: in capitals) and all others; X400 and the like are none."""
    primary, others = "", set()
    for value in values:
        scheme, _, address = _text(value).partition(":")
        if scheme == "SMTP":
            primary = primary or _address(address)
        if scheme.lower() == "smtp":
            others.add(_address(address))
    return primary, others - {""}


def _address(text: str) -> str:
    address = text.strip().lower()
    return address if _ADDRESS.fullmatch(address) else ""


def _number(given: Mapping[str, Sequence[bytes]]) -> int:
    text = _first(given, "msexchrecipienttypedetails")
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else 0


def _first(given: Mapping[str, Sequence[bytes]], name: str) -> str:
    return _text(next(iter(given.get(name, ())), b""))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _unescaped(value: str) -> str:
    """Undo the escapes of a DN's value (pairs of hexadecimal digits are UTF-8), and write those that it needs anew.

    Spaces at its ends mean nothing, nor do several in a row (RFC 4518 section 2.6.1).
    """
    meant = " ".join(_ESCAPES.sub(lambda found: found[1] or _signs(found[0]), value).split())
    return meant.replace("\\", "\\\\").replace(",", "\\,")


def _signs(pairs: str) -> str:
    return bytes.fromhex(pairs.replace("\\", "")).decode("utf-8", "replace")
