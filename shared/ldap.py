"""The one door to ldap3: mailboxes of Active Directory over verified TLS, page by page, under a service account.

It refuses to bind before the server has proved its name, to bind twice with one password, to follow a referral, and to
take a search that was cut short for the whole.
"""

import asyncio
import warnings
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import Any, Final, TypeVar

from shared import ldap_entries
from shared.contracts.messages import LdapSource
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings, Wire
from shared.ews.errors import EwsError
from shared.ldap_entries import Entry
from shared.ldap_line import MOST_BYTES, LdapError, broken, refused_bind, refused_search
from shared.ldap_opening import RECEIVE_SECONDS, dialled

T = TypeVar("T")

PAGE: Final = 500  # Active Directory gives 1,000 at most (MaxPageSize)
PROBED: Final = 20
MOST_PAGES: Final = 4000
STEP_SECONDS: Final = 90.0  # for one bind or one page, however slowly its bytes come
_PAGED: Final = "1.2.840.113556.1.4.319"  # RFC 2696


async def mailboxes(
    source: LdapSource, credential: EwsCredential, surroundings: Surroundings, *, page: int = PAGE
) -> AsyncGenerator[tuple[Entry, ...], None]:
    """Yield the mailboxes below the source's base, those in its group only where one is named, a page at a time.

    Raises LdapError; what was yielded before is then no complete list.
    """
    line = Line()
    try:
        await line.run(line.sign_in, source, credential, surroundings)
        text, members = await line.run(line.scope, source)
        cookie = b""
        for _ in range(MOST_PAGES):
            found, cookie = await line.run(line.search, source.base, text, ldap_entries.ATTRIBUTES, cookie, page)
            yield tuple(each for dn, raw in found if _wanted(dn, members) and (each := ldap_entries.entry(raw)))
            if not cookie:
                return
        raise LdapError("too_large")
    finally:
        line.close()


async def probe(source: LdapSource, credential: EwsCredential, surroundings: Surroundings) -> Entry | None:
    """Return one mailbox, or None where the directory shows none: bind, base, group and right are then known good.

    Raises LdapError. A refused bind was tried once.
    """
    async with aclosing(mailboxes(source, credential, surroundings, page=PROBED)) as pages:
        async for found in pages:
            if found:
                return found[0]
    return None


def _wanted(dn: str, members: frozenset[str] | None) -> bool:
    return members is None or ldap_entries.plain(dn) in members


class Line:
    """One connection, used in one thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ldap")
        self._ldap3: Any = None
        self._connection: Any = None
        self._wire = Wire()

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Carry out one step in the thread. Raises LdapError."""
        step = asyncio.get_running_loop().run_in_executor(self._pool, _translated, work, *arguments)
        try:
            return await asyncio.wait_for(step, STEP_SECONDS)
        except TimeoutError:
            self._wire.end()  # the thread waits no longer for what will not come
            raise LdapError("timeout") from None

    def close(self) -> None:
        """Say goodbye, without waiting for it."""
        self._pool.submit(self._leave)
        self._pool.shutdown(wait=False)

    def sign_in(self, source: LdapSource, credential: EwsCredential, surroundings: Surroundings) -> None:
        """Connect to the first address that answers, and bind once."""
        user, password = credential.ldap_user, credential.ldap_password
        if not user:
            user, password = credential.username, credential.password
        if not user or not password:  # a bind without a password succeeds, as nobody (RFC 4513 section 5.1.2)
            raise LdapError("no_password")
        self._ldap3 = _library()
        self._connection = dialled(self._ldap3, source.url, surroundings, self._wire)
        self._connection.user = user
        self._connection.password = password.encode()  # bytes go as they are: no sign of a password is replaced
        if not self._connection.bind(read_server_info=False):
            raise refused_bind(self._connection.result["result"])

    def scope(self, source: LdapSource) -> tuple[str, frozenset[str] | None]:
        """Return the filter to search with, and the DNs to keep to where the server cannot do that by itself."""
        if not source.group:
            return ldap_entries.mailboxes(), None
        here = self._one(source.group, ("objectClass",), otherwise="group_unknown")
        if here is None:
            raise LdapError("group_unknown")
        if ldap_entries.ACTIVE_DIRECTORY.encode() in _values(self._one("", ("supportedCapabilities",)) or {}):
            return ldap_entries.mailboxes(source.group), None
        return ldap_entries.mailboxes(), self._walked(source)

    def search(
        self, base: str, text: str, attributes: Sequence[str], cookie: bytes, size: int
    ) -> tuple[list[tuple[str, dict[str, list[bytes]]]], bytes]:
        """Return one page as (DN, attributes), and the cookie of the next, b"" after the last."""
        self._connection.socket.left = MOST_BYTES
        self._connection.search(
            base,
            text,
            attributes=list(attributes),
            dereference_aliases=self._ldap3.DEREF_NEVER,
            time_limit=RECEIVE_SECONDS,
            paged_size=size,
            paged_criticality=True,
            paged_cookie=cookie or None,
        )
        result = self._connection.result
        if result["result"] != 0:
            raise refused_search(result["result"])
        control = (result.get("controls") or {}).get(_PAGED) or {}
        return _entries(self._connection.response), (control.get("value") or {}).get("cookie") or b""

    def _walked(self, source: LdapSource) -> frozenset[str]:
        """Return the members of the group, and of the groups below the base that are in it, as plain DNs."""
        group = ldap_entries.plain(source.group)
        groups = {group: _members(self._one(source.group, ldap_entries.MEMBERS, otherwise="group_unknown") or {})}
        cookie = b""
        for _ in range(MOST_PAGES):
            found, cookie = self.search(source.base, ldap_entries.GROUPS, ldap_entries.MEMBERS, cookie, PAGE)
            groups |= {ldap_entries.plain(dn): _members(raw) for dn, raw in found}
            if not cookie:
                return ldap_entries.within(group, groups)
        raise LdapError("too_large")

    def _one(
        self, dn: str, attributes: Sequence[str], *, otherwise: str = "search_refused"
    ) -> dict[str, list[bytes]] | None:
        """Return the attributes of one object, None where it cannot be seen."""
        self._connection.socket.left = MOST_BYTES
        self._connection.search(
            dn, "(objectClass=*)", search_scope=self._ldap3.BASE, attributes=list(attributes),
            dereference_aliases=self._ldap3.DEREF_NEVER, time_limit=RECEIVE_SECONDS,
        )  # fmt: skip
        code = self._connection.result["result"]
        if code in (10, 32, 34):  # elsewhere, absent, or no DN at all
            raise LdapError(otherwise)
        if code != 0:
            raise refused_search(code)
        return next((raw for _, raw in _entries(self._connection.response)), None)

    def _leave(self) -> None:
        if self._connection is not None:
            with suppress(Exception):  # there is nobody left to tell
                self._connection.unbind()
        self._wire.let_go()


def _translated(work: Callable[..., T], *arguments: Any) -> T:
    """Carry a step out. Raises LdapError and nothing else that a directory or the way to it can bring about."""
    try:
        return work(*arguments)
    except LdapError:
        raise
    except EwsError as error:  # of dialling: its words are ours
        raise LdapError(error.code) from None
    except _library().core.exceptions.LDAPException as error:
        raise broken(error) from None
    except OSError as error:
        raise broken(error) from None
    except Exception:  # noqa: BLE001 -- what the library's decoder raises for a broken answer is not written down
        raise LdapError("malformed") from None


def _library() -> Any:
    """Import ldap3 where a directory is asked: 16 MB that no other organisation needs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it asks pyasn1 for names that are now spelt otherwise
        import ldap3  # noqa: PLC0415 -- see above
    return ldap3


def _entries(response: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, list[bytes]]]]:
    """Return the entries of an answer; references to other servers are among it, and passed over."""
    return [(each["dn"], each["raw_attributes"]) for each in response if each["type"] == "searchResEntry"]


def _members(raw: dict[str, list[bytes]]) -> frozenset[str]:
    return frozenset(ldap_entries.plain(dn.decode("utf-8", "replace")) for dn in _values(raw))


def _values(raw: dict[str, list[bytes]]) -> list[bytes]:
    return [value for values in raw.values() for value in values]
