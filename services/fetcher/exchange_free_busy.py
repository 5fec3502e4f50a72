"""Edge: the free and busy time of many mailboxes and when they work, each whole or with its own error; nothing else.

It learns how long a window the server allows, and asks again in halves where a mailbox has too many entries for one, or
spoils the answer for all.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from services.fetcher.exchange_asks import Asks
from services.fetcher.exchange_batches import Told
from services.fetcher.exchange_fate import BUSY
from services.fetcher.exchange_spans import LONG_DAYS, allowed_days, halves, spans
from services.fetcher.failure import TOO_LARGE
from shared.contracts.messages import RawEvent
from shared.contracts.values import DAY, Window, WorkPeriod
from shared.ews.availability import Answered, availability
from shared.ews.envelopes import free_busy
from shared.ews.errors import EwsError
from shared.ews.time_zone import ZoneRules

_TOO_MANY: Final = frozenset({"ErrorIndividualMailboxLimitReached", "ErrorMailboxDataArrayTooBig"})
_TOO_LONG: Final = "ErrorTimeIntervalTooBig"
_TOO_DENSE: Final = "ErrorResultSetTooBig"
_SPOILT: Final = frozenset({"malformed", "too_large", "fault"})  # of our words: one mailbox may have brought it about
_WITHIN: Final = 32  # requests to find out which; one of a hundred takes fourteen


class Limits(Struct):
    """What was learned of one server: the longest window it answers, in days."""

    days: int = LONG_DAYS


class FreeBusy:
    """Reads the free and busy time of mailboxes of one server."""

    def __init__(self, server: Asks) -> None:
        """Take the way to the server; its limits are learned from its refusals."""
        self._server = server
        self.limits = Limits()

    async def __call__(self, addresses: Sequence[str], window: Window) -> Mapping[str, Told | EwsError]:
        """Return what is told of each mailbox in the window, or why nothing is.

        Raises EwsError where nothing was answered.
        """
        while True:
            days = self.limits.days
            try:
                return await self._whole(addresses, window, days)
            except EwsError as error:
                if error.code != _TOO_LONG:
                    raise
                shorter = allowed_days(days, error.value)
                if shorter is None:
                    raise
                self.limits.days = min(self.limits.days, shorter)

    async def _whole(self, addresses: Sequence[str], window: Window, days: int) -> dict[str, Told | EwsError]:
        kept: dict[str, list[Told]] = {address: [] for address in addresses}
        failed: dict[str, EwsError] = {}
        for span in spans(window, days):
            left = [address for address in addresses if address not in failed]
            for address, told in (await self._span(left, span)).items():
                if isinstance(told, EwsError):
                    failed[address] = told
                else:
                    kept[address].append(told)
        return {name: failed.get(name) or _together(kept[name]) for name in addresses}

    async def _span(self, addresses: Sequence[str], span: Window) -> dict[str, Told | EwsError]:
        if not addresses:
            return {}
        try:
            found = await self._told(addresses, span)
        except EwsError as error:
            if len(addresses) == 1:
                raise
            if error.code in _TOO_MANY:
                left, right = _apart(addresses)
                return await self._span(left, span) | await self._span(right, span)
            if not _may_be_ones(error):
                raise
            found = await self._without_spoilers(addresses, span)
        return {address: await self._dense(address, span, outcome) for address, outcome in found.items()}

    async def _told(self, addresses: Sequence[str], span: Window) -> dict[str, Told | EwsError]:
        answers = await self._server.ask(free_busy(addresses, span), _answers)
        if len(answers) != len(addresses):
            raise EwsError("malformed")
        return dict(zip(addresses, map(_outcome, answers), strict=True))

    async def _without_spoilers(self, addresses: Sequence[str], span: Window) -> dict[str, Told | EwsError]:
        """Return what is told of mailboxes that cannot be told together, asked for in ever smaller parts.

        What cannot be told alone, or is not found out within so many requests, has the error of its part. Raises
        EwsError where nothing is told of anybody.
        """
        found: dict[str, Told | EwsError] = {}
        waiting = list(_apart(addresses))
        failed = EwsError("malformed")
        for _ in range(_WITHIN):
            if not waiting:
                break
            part = waiting.pop(0)
            try:
                found |= await self._told(part, span)
            except EwsError as error:
                if not _may_be_ones(error):
                    raise
                failed = error
                waiting += _apart(part) if len(part) > 1 else ()
        if not found:
            raise failed
        return {address: found.get(address, failed) for address in addresses}

    async def _dense(self, address: str, span: Window, outcome: Told | EwsError) -> Told | EwsError:
        """Return an outcome as it is, or what the halves of the span hold where the whole holds too much."""
        if not isinstance(outcome, EwsError) or outcome.code != _TOO_DENSE:
            if isinstance(outcome, EwsError) and outcome.code == _TOO_LONG:
                raise outcome  # it concerns the window, not the mailbox
            return outcome
        parts = halves(span, DAY)
        if parts is None:
            return EwsError(TOO_LARGE)
        found: list[Told] = []
        for half in parts:
            told = (await self._span([address], half))[address]
            if isinstance(told, EwsError):
                return told
            found.append(told)
        return _together(found)


def _together(parts: Sequence[Told]) -> Told:
    """Return what neighbouring spans told as one: an event across their border once, the last word on working hours."""
    events: dict[RawEvent, None] = {}
    zone: ZoneRules | None = None
    work: tuple[WorkPeriod, ...] = ()
    for told in parts:
        events.update(dict.fromkeys(told.events))
        zone, work = told.zone or zone, told.work or work
    return Told(tuple(events), zone, work)


def _apart(addresses: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    middle = len(addresses) // 2
    return addresses[:middle], addresses[middle:]


def _may_be_ones(error: EwsError) -> bool:
    """Say whether an error for all may be one mailbox's doing: none that a pause, a shorter window or a way in ends."""
    if error.code in BUSY or error.code in _TOO_MANY or error.code == _TOO_LONG:
        return False
    return error.code in _SPOILT or (error.code.startswith("Error") and "Impersonat" not in error.code)


def _answers(chunks: Iterable[bytes]) -> tuple[Answered, ...]:
    """Return what came back for each mailbox. Raises EwsError, also where one response says that nothing is answered.

    An internal error that hides a busy server comes so: once, however many mailboxes were asked for.
    """
    answers = availability(chunks)
    if len(answers) == 1 and answers[0].error is not None and answers[0].error.code in BUSY:
        raise answers[0].error
    return answers


def _outcome(answered: Answered) -> Told | EwsError:
    return answered.error if answered.error is not None else Told(answered.events, answered.zone, answered.work)
