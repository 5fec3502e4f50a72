"""Edge: tries an Exchange server step by step, as it will be read: each step says what an IT admin must know.

One sign-in is made, whatever comes of it. What a step finds is for whoever tests; nothing of it is stored but the
endpoint and the scheme.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from services.authorizer import autodiscover, preflight
from services.authorizer.exchange_calendars import calendars
from services.authorizer.exchange_doors import Asks, Exchange, Question
from services.authorizer.exchange_reasons import failed, verdict
from services.authorizer.exchange_sources import sources
from services.authorizer.preflight import Step, warning
from shared.contracts.messages import EwsConnection, Scheme
from shared.contracts.values import Instant
from shared.ews import envelopes, http_status
from shared.ews.errors import EwsError
from shared.ews.oauth import scope_of
from shared.ews.people import names
from shared.ews.probing import Reached
from shared.ews.trouble import acknowledged
from shared.ews.version import ServerVersion, version
from shared.identity import IdentityError

_TLS: Final = frozenset({"not_trusted", "not_tls"})
_ASKS: Final = 401  # who is there?
_OLD: Final = (15, 1)  # Exchange 2016
_NO_SOAP: Final = frozenset({"http_error", "not_xml", "malformed"})
_PATH: Final = "/EWS/Exchange.asmx"


class Settled(Struct, frozen=True, kw_only=True):
    """What a trial settled: where EWS is and how to sign in there; empty as long as it is not known."""

    endpoint: str = ""
    scheme: Scheme = ""


async def verified(question: Question, exchange: Exchange, *, now: Instant) -> EwsConnection:
    """Return the connection with its endpoint and scheme settled.

    Raises Refusal or Retry, as the first step that fails has it.
    """
    trial = Trial(question, exchange)
    async with aclosing(trial.steps(now)) as steps:
        async for step in steps:
            if step.ok is False:
                raise verdict(step.reason, back_off=step.back_off, code=step.code)
    return replace(question.connection, endpoint=trial.settled.endpoint, scheme=trial.settled.scheme)


class Trial:
    """One trial of one server. `settled` grows while the steps are taken."""

    def __init__(self, question: Question, exchange: Exchange) -> None:
        """Take what is to be tried, and the doors."""
        connection = question.connection
        self.settled = Settled(endpoint=connection.endpoint, scheme=connection.scheme)
        self._question = question
        self._exchange = exchange
        self._known = bool(connection.endpoint)  # it was good before

    async def steps(self, now: Instant) -> AsyncGenerator[Step]:
        """Take one step after the other and yield each as it ends; without a sign-in nothing more is tried."""
        for odd in preflight.oddities(self._question.connection, self._question.credential):
            yield odd
        async for step in self._way():
            yield step
            if step.ok is False:
                return
        door = self._exchange.door(self._question, self.settled.endpoint, self.settled.scheme)
        try:
            async for step in self._inside(door, now):
                yield step
        finally:
            door.close()

    # -- until the server asks who we are ---------------------------------------------------------------------------

    async def _way(self) -> AsyncIterator[Step]:
        if not self.settled.endpoint:
            step = await self._located()
            if step is not None:
                yield step
                if step.ok is False:
                    return
        for odd in preflight.of_endpoint(self.settled.endpoint):
            yield odd
        with_token = self._question.credential.app is not None
        if with_token and not preflight.tokens_may_go(self._question.connection, self.settled.endpoint):
            yield Step(name="endpoint", ok=False, reason="resource_foreign")
            return
        async for step in self._reached():
            yield step

    async def _located(self) -> Step | None:
        """Settle the endpoint: as the admin says, as the tokens' resource says, or as autodiscover finds it."""
        connection = self._question.connection
        url = connection.url
        if not url and self._question.credential.app is not None:
            url = scope_of(connection, self._question.cloud).removesuffix("/.default") + _PATH
        if url:
            self.settled = replace(self.settled, endpoint=url)
            return None
        try:
            found = await autodiscover.found(self._question, self._exchange)
        except (EwsError, IdentityError) as error:
            return self._failed("autodiscover", error)
        if found.reason:
            return Step(name="autodiscover", ok=False, reason=found.reason, found=found.host)
        self.settled = replace(self.settled, endpoint=found.url)
        return Step(name="autodiscover", found=f"{found.url} (told by {found.host})")

    async def _reached(self) -> AsyncIterator[Step]:
        """Look at the server without signing in, and settle how to."""
        try:
            reached = await self._exchange.reach(self.settled.endpoint, self._exchange.surroundings)
        except EwsError as error:
            for step in self._stopped(error):
                yield step
            return
        for taken in ("tcp", "tls"):
            if taken in reached.steps:
                yield Step(name=taken)
        yield self._schemed(reached)

    def _schemed(self, reached: Reached) -> Step:
        """Settle how to sign in. A server that offers nothing says by its status why."""
        offered = ", ".join(reached.schemes)
        answered = None if reached.schemes or reached.status == _ASKS else http_status.refusal(reached.status, {}, 0)
        if answered is not None:
            return self._failed("schemes", answered)
        if self._known and reached.schemes and self.settled.scheme not in (*reached.schemes, "oauth"):
            return Step(name="schemes", ok=False, reason="scheme_not_offered", found=offered)  # a 401 would look final
        if not self.settled.scheme:
            scheme, reason = preflight.scheme_for(self._question.connection, self._question.credential, reached.schemes)
            if reason:
                return Step(name="schemes", ok=False, reason=reason, found=offered)
            self.settled = replace(self.settled, scheme=scheme)
        return Step(name="schemes", found=f"{offered or 'none told'}; {self.settled.scheme} is used")

    def _stopped(self, error: EwsError) -> tuple[Step, ...]:
        if error.code in _TLS:
            return Step(name="tcp"), self._failed("tls", error)
        return (self._failed("tcp", error),)

    # -- signed in --------------------------------------------------------------------------------------------------

    async def _inside(self, door: Asks, now: Instant) -> AsyncIterator[Step]:
        try:
            told = await self._signed_in(door)
        except (EwsError, IdentityError) as error:
            yield self._failed("sign_in", error)
            return
        yield Step(name="sign_in")
        yield _version(told)
        yield await self._names(door)
        async for step in calendars(door, self._question, scheme=self.settled.scheme, now=now):
            yield step
        async for step in sources(door, self._question, self._exchange):
            yield step

    async def _signed_in(self, door: Asks) -> ServerVersion:
        """Sign in by what every Exchange server answers. Raises EwsError and IdentityError.

        A server that knows no ConvertId may answer it with no SOAP at all: then any SOAP answer about the member's
        calendar, an error too, shows that the sign-in was good. What the calendar itself says is a later step's.
        """
        try:
            return await door.ask(envelopes.convert_id(), version)
        except EwsError as error:
            if error.code not in _NO_SOAP:
                raise
        try:
            await door.ask(envelopes.calendar_folder(self._question.connection.member), acknowledged)
        except EwsError as error:
            if not error.code.startswith("Error"):
                raise
        return ServerVersion()

    async def _names(self, door: Asks) -> Step:
        """Look the member up. Nothing that is needed depends on it."""
        member = self._question.connection.member
        try:
            found = await door.ask(envelopes.resolve_names(member), names)
        except (EwsError, IdentityError):
            return warning("names", "names_missing")
        mine = [one for one in found if one.address == member.lower()] or list(found)
        if not mine:
            return warning("names", "names_missing")
        if preflight.looks_like_an_administrator(f"{mine[0].name.replace(' ', '')}@"):
            return warning("names", "member_is_administrator", found=mine[0].name)
        if mine[0].kind not in {"Mailbox", ""}:
            return warning("names", "names_elsewhere", found=mine[0].kind)
        return Step(name="names", found=mine[0].name)

    def _failed(self, name: str, error: EwsError | IdentityError) -> Step:
        return failed(name, error, scheme=self.settled.scheme, settled=self._known)


def _version(told: ServerVersion) -> Step:
    printed = f"{told.name} {told.major}.{told.minor}.{told.build}.{told.revision}".strip()
    if told.online:
        return warning("version", "exchange_online", found=printed)
    if not told.major:
        return warning("version", "version_untold")
    if (told.major, told.minor) < _OLD:
        return warning("version", "version_old", found=printed)
    return Step(name="version", found=printed)
