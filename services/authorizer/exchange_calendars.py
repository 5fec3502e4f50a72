"""Edge: can calendars be read as they will be? Impersonation of a member, refusal for an outsider, a day, free/busy.

What the policy does without may fail: that is then a warning. So is what a server lacks and readings do without.
"""

from collections.abc import AsyncIterator

from msgspec.structs import replace

from services.authorizer import preflight
from services.authorizer.exchange_doors import Asks, Question
from services.authorizer.exchange_reasons import DENIED, failed, passes
from services.authorizer.preflight import Step, warning
from shared.contracts.messages import Scheme
from shared.contracts.values import DAY, Instant, Window
from shared.ews import envelopes
from shared.ews.availability import Answered, availability
from shared.ews.calendar_view import view
from shared.ews.changes import changes
from shared.ews.errors import EwsError
from shared.ews.people import time_zone
from shared.ews.trouble import acknowledged
from shared.identity import IdentityError

_NOT_SET = "ErrorItemNotFound"  # a mailbox that was never opened in a browser


async def calendars(door: Asks, question: Question, *, scheme: Scheme, now: Instant) -> AsyncIterator[Step]:
    """Yield the steps in their order. The day is the UTC day of `now`."""
    connection = question.connection
    today = now - now % DAY

    def weighed(step: Step) -> Step:
        return step if step.ok or step.name in question.needs else replace(step, ok=None)

    member = await _member(door, connection.member, scheme=scheme)
    yield weighed(member)
    yield await _outsider(door, connection.outsider, scheme=scheme)
    if member.ok:
        yield weighed(await _view(door, connection.member, Window(today, today + DAY), scheme=scheme))
        if "view" in question.needs:  # free/busy alone is asked for without a word on changes
            yield await _changes(door, connection.member)
        yield await _zone(door, connection.member)
    asked = [address for address in (connection.member, preflight.second(connection)) if address]
    found = await _free_busy(door, asked, Window(today, today + 2 * DAY), scheme=scheme)
    refused = found.reason == "free_busy_denied" and found.found == connection.outsider
    yield weighed(Step(name="free_busy", found=connection.member) if refused else found)  # as it should be


async def _member(door: Asks, address: str, *, scheme: Scheme) -> Step:
    try:
        await door.ask(envelopes.calendar_folder(address), acknowledged)
    except (EwsError, IdentityError) as error:
        return failed("member", error, scheme=scheme)
    return Step(name="member", found=address)


async def _outsider(door: Asks, address: str, *, scheme: Scheme) -> Step:
    """See that a mailbox out of scope is refused. Only that very refusal will do: others may have other causes."""
    if not address:
        return warning("outsider", "outsider_missing")
    try:
        await door.ask(envelopes.calendar_folder(address), acknowledged)
    except IdentityError as error:
        return failed("outsider", error, scheme=scheme)
    except EwsError as error:
        if error.code == DENIED:
            return Step(name="outsider", found=address)
        step = failed("outsider", error, scheme=scheme)
        return step if passes(step.reason) else warning("outsider", "outsider_unclear", found=step.reason)
    return Step(name="outsider", ok=False, reason="scope_too_wide", found=address)


async def _view(door: Asks, address: str, day: Window, *, scheme: Scheme) -> Step:
    try:
        found = await door.ask(envelopes.calendar_view(address, day, details=False), view)
    except (EwsError, IdentityError) as error:
        return failed("view", error, scheme=scheme)
    return Step(name="view", found="1 event" if len(found.events) == 1 else f"{len(found.events)} events")


async def _changes(door: Asks, address: str) -> Step:
    try:
        await door.ask(envelopes.sync_items(address, "", most=1), changes)
    except (EwsError, IdentityError):
        return warning("changes", "changes_missing")
    return Step(name="changes")


async def _zone(door: Asks, address: str) -> Step:
    try:
        zone = await door.ask(envelopes.user_options(address), time_zone)
    except (EwsError, IdentityError) as error:
        if isinstance(error, EwsError) and error.code == _NOT_SET:
            return Step(name="zone", found="none set")
        return warning("zone", "zone_missing")
    return Step(name="zone", found=zone or "none set")


async def _free_busy(door: Asks, asked: list[str], days: Window, *, scheme: Scheme) -> Step:
    try:
        answers: tuple[Answered, ...] = await door.ask(envelopes.free_busy(asked, days), availability)
        if len(answers) != len(asked):
            raise EwsError("malformed")  # noqa: TRY301 -- one way for every failure
    except (EwsError, IdentityError) as error:
        return failed("free_busy", error, scheme=scheme, impersonated=False)
    for address, answer in zip(asked, answers, strict=True):
        if answer.error is not None:
            step = replace(failed("free_busy", answer.error, scheme=scheme), found=address)
            return step if address == asked[0] else replace(step, ok=None)  # one mailbox's error is its own
    if len(asked) == 1:
        return warning("free_busy", "one_mailbox")
    return Step(name="free_busy", found=" and ".join(asked))
