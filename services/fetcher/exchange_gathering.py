"""Asks every source of an Exchange connection who its mailboxes are: directories, groups, room lists, lists.

It refuses to give a part for the whole: one source that fails fails them all.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from msgspec import Struct

from services.fetcher.exchange_asks import Asks
from services.fetcher.exchange_people import Gathered
from shared.contracts.messages import GroupSource, LdapSource, ListSource, RoomListsSource, Source
from shared.ews import envelopes, people
from shared.ews.errors import EwsError
from shared.ews.people import Members, Named
from shared.ldap_entries import Entry

Directory = Callable[[LdapSource], AsyncGenerator[tuple[Entry, ...], None]]
_NO_MAILBOX = frozenset({"contact", "publicfolder", "oneoff", "privatedl", "publicdl", "groupmailbox"})


class Ways(Struct, frozen=True):
    """How sources are asked: the Exchange server, and directories, which yield pages of entries."""

    asks: Asks
    directory: Directory


async def gather(ways: Ways, sources: Sequence[Source], groups: Sequence[str]) -> Gathered:
    """Return what the sources say, and who is in the scope groups. Raises EwsError, LdapError and IdentityError."""
    expansion = Expansion(ways.asks)
    entries: list[Entry] = []
    addresses: set[str] = set()
    rooms: set[str] = set()
    for source in sources:
        match source:
            case LdapSource():
                entries += await _entries(ways.directory, source)
            case GroupSource(address=address):
                addresses |= await expansion.people(address)
            case RoomListsSource():
                rooms |= await _rooms(ways.asks)
            case ListSource(addresses=given):
                addresses |= {address.strip().lower() for address in given}
    scope: set[str] = set()
    for group in groups:
        scope |= await expansion.people(group)
    return Gathered(
        entries=tuple(entries), addresses=frozenset(addresses), rooms=frozenset(rooms), scope=frozenset(scope)
    )


async def _entries(directory: Directory, source: LdapSource) -> list[Entry]:
    async with aclosing(directory(source)) as pages:
        return [entry async for page in pages for entry in page]


async def _rooms(asks: Asks) -> set[str]:
    """Return the rooms of every room list; rooms in none are not found this way."""
    found: set[str] = set()
    for room_list in await asks.ask(envelopes.room_lists(), people.room_lists):
        if room_list.address:
            found |= _usable(await asks.ask(envelopes.rooms(room_list.address), people.rooms))
    return found


def _usable(named: Sequence[Named]) -> set[str]:
    """Return the addresses that may have a mailbox; a contact has none here, and a group is expanded instead."""
    return {each.address.lower() for each in named if "@" in each.address and each.kind.lower() not in _NO_MAILBOX}


class Expansion:
    """Distribution groups and who is in them. A group is asked for once, however many hold it."""

    def __init__(self, asks: Asks) -> None:
        """Take the server to ask."""
        self._asks = asks
        self._direct: dict[str, Members] = {}

    async def people(self, address: str) -> set[str]:
        """Return the members of a group and of the groups in it, in circles or not. Raises EwsError."""
        start = address.lower()
        seen, waiting, found = {start}, [start], set[str]()
        while waiting:
            members = await self._members(waiting.pop())
            found |= _usable(members.people)
            fresh = {group.lower() for group in members.groups if group} - seen
            seen |= fresh
            waiting += sorted(fresh)
        return found

    async def _members(self, group: str) -> Members:
        if group not in self._direct:
            members = await self._asks.ask(envelopes.expand_group(group), people.members)
            if not members.complete:
                raise EwsError("truncated")  # there is no way to ask for the rest
            self._direct[group] = members
        return self._direct[group]
