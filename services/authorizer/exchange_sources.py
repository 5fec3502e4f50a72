"""Edge: can the mailboxes be listed? Each place that a connection names is asked for one entry at least."""

from collections.abc import AsyncIterator

from msgspec.structs import replace

from services.authorizer import exchange_reasons
from services.authorizer.exchange_doors import Asks, Exchange, Question
from services.authorizer.preflight import Step
from shared.contracts.messages import GroupSource, LdapSource, ListSource, RoomListsSource, Source
from shared.ews import envelopes
from shared.ews.errors import EwsError
from shared.ews.people import members, room_lists
from shared.identity import IdentityError
from shared.ldap_line import LdapError

_NOBODY = "ErrorNameResolutionNoResults"


async def sources(door: Asks, question: Question, exchange: Exchange) -> AsyncIterator[Step]:
    """Yield one step for each place where mailboxes are listed."""
    for source in question.connection.directory:
        yield await _source(source, door, question, exchange)


async def _source(source: Source, door: Asks, question: Question, exchange: Exchange) -> Step:
    match source:
        case LdapSource():
            return await _ldap(source, question, exchange)
        case GroupSource(address=address):
            return await _group(address, door)
        case RoomListsSource():
            return await _rooms(door)
        case ListSource(addresses=addresses):
            return Step(name="list", ok=bool(addresses), reason="" if addresses else "directory_list_empty",
                        found=f"{len(addresses)} addresses")  # fmt: skip


async def _ldap(source: LdapSource, question: Question, exchange: Exchange) -> Step:
    try:
        found = await exchange.probe(source, question.credential, exchange.surroundings)
    except LdapError as error:
        return Step(name="ldap", ok=False, reason=exchange_reasons.reason_of_ldap(error))
    return Step(name="ldap") if found else Step(name="ldap", ok=False, reason="ldap_empty")


async def _group(address: str, door: Asks) -> Step:
    try:
        found = await door.ask(envelopes.expand_group(address), members)
    except (EwsError, IdentityError) as error:
        return _failed("group", error, unknown="distribution_group_unknown")
    count = len(found.people) + len(found.groups)
    if not count:
        return Step(name="group", ok=False, reason="distribution_group_empty", found=address)
    return Step(name="group", found="1 member" if count == 1 else f"{count} members")


async def _rooms(door: Asks) -> Step:
    try:
        found = await door.ask(envelopes.room_lists(), room_lists)
    except (EwsError, IdentityError) as error:
        return _failed("rooms", error, unknown="room_lists_empty")
    return Step(name="rooms", ok=bool(found), reason="" if found else "room_lists_empty", found=f"{len(found)} lists")


def _failed(name: str, error: EwsError | IdentityError, *, unknown: str) -> Step:
    if isinstance(error, EwsError) and error.code == _NOBODY:
        return Step(name=name, ok=False, reason=unknown)
    step = exchange_reasons.failed(name, error, impersonated=False)
    return replace(step, reason="listing_missing") if step.reason == "operation_missing" else step
