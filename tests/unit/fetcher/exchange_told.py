"""An Exchange server by hand: it answers what enumeration asks with values, as if they were decoded already."""

import re
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, TypeVar
from xml.sax.saxutils import unescape

from shared.contracts.messages import LdapSource
from shared.contracts.values import Kind
from shared.ews.envelopes import Envelope
from shared.ews.errors import EwsError
from shared.ews.people import Members, Named
from shared.ldap_entries import Entry
from shared.ldap_line import LdapError

T = TypeVar("T")


class ServerTold:
    """Groups as {address: members}, those whose name begins with `group` expanded further; room lists; time zones."""

    def __init__(self) -> None:
        self.groups: dict[str, list[str]] = {}
        self.rooms: dict[str, list[str]] = {}
        self.zones: dict[str, str | EwsError] = {}
        self.no_zone: EwsError | None = None
        self.fails: dict[str, Exception] = {}
        self.kinds: dict[str, str] = {}
        self.complete = True
        self.asked: list[tuple[str, str]] = []

    async def ask(self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T]) -> T:  # noqa: ARG002 -- a protocol
        """Answer as asked; `decode` is another's to test."""
        about = envelope.mailbox or self._address(envelope)
        self.asked.append((envelope.operation, about))
        if (error := self.fails.get(envelope.operation) or self.fails.get(about)) is not None:
            raise error
        answer: T = getattr(self, f"_{envelope.operation}")(about)
        return answer

    def count(self, operation: str) -> int:
        return sum(operation == each for each, _ in self.asked)

    def _ExpandDL(self, about: str) -> Members:  # noqa: N802 -- the operation's name
        if about not in self.groups:
            raise EwsError("ErrorNameResolutionNoResults")
        named = [self._named(each) for each in self.groups[about]]
        groups = tuple(each.address for each in named if each.address.startswith("group"))
        people = tuple(each for each in named if each.address not in groups)
        return Members(people=people, groups=groups, complete=self.complete)

    def _GetRoomLists(self, _: str) -> tuple[Named, ...]:  # noqa: N802 -- the same
        return tuple(self._named(each) for each in self.rooms)

    def _GetRooms(self, about: str) -> tuple[Named, ...]:  # noqa: N802 -- the same
        return tuple(self._named(each) for each in self.rooms[about])

    def _GetUserConfiguration(self, about: str) -> str:  # noqa: N802 -- the same
        zone = self.zones.get(about, self.no_zone or "")
        if isinstance(zone, EwsError):
            raise zone
        return zone

    def _named(self, address: str) -> Named:
        return Named(address=address, name="never kept", kind=self.kinds.get(address, "Mailbox"))

    def _address(self, envelope: Envelope) -> str:
        found = re.search(rb"<t:EmailAddress>(.*?)</t:EmailAddress>", envelope.body)
        return "" if found is None else unescape(found[1].decode())


class DirectoryTold:
    """A directory by hand: pages of entries, and how it ends."""

    def __init__(self, *pages: tuple[Entry, ...], ends: LdapError | None = None) -> None:
        self.pages = pages
        self.ends = ends
        self.asked: list[LdapSource] = []

    async def __call__(self, source: LdapSource) -> AsyncGenerator[tuple[Entry, ...], None]:
        self.asked.append(source)
        for page in self.pages:
            yield page
        if self.ends is not None:
            raise self.ends


def entry(number: int, **fields: Any) -> Entry:
    values = {
        "mailbox_id": f"00000000-0000-0000-0000-{number:012d}",
        "address": f"person{number}@example.org",
        "kind": Kind.USER,
    }
    return Entry(**values | fields)
