"""Edge: what every request passes before it is answered: who asks is looked up once, held to a rate, and counted.

It refuses strangers who try one wrong token or secret address after another, before it looks at the next.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeVar

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.publisher.access import COUNTED, KNOWN, STORE, bearer_anew, token_of
from services.publisher.accounting import NO_ORG, Tally
from services.publisher.consumers import Known
from services.publisher.operations import Handler, Operation
from services.publisher.problems import Problem
from services.publisher.rates import SECOND, Buckets, Rate, Verdict, fields
from shared import clock
from shared.contracts.values import ORG_ID

T = TypeVar("T")
VERDICT: Final = web.RequestKey("verdict", Verdict)
OPERATION: Final = web.RequestKey("operation", Operation)
AMPLE: Final = Rate(per_minute=1_000_000, burst=1_000_000)
MOST_FAMILIAR: Final = 10_000
_WRONG: Final = (401, 404)  # what is answered to a secret that is none
_SIXTY_FOUR: Final = 64  # bits that name a site among IPv6 addresses; whoever has one has all addresses in it


class Gate:
    """The state that lies between requests: buckets, and which tokens and secrets were good before in this process."""

    def __init__(
        self, operations: Sequence[Operation], *, each: Rate = AMPLE, strangers: Rate = AMPLE, keep_days: int = 0
    ) -> None:
        """Take what may be asked, the rate of each consumer, and that of each address at wrong tokens and secrets.

        What was counted is kept for so many days, for ever with 0.
        """
        self.tally = Tally()
        self._keep_days = keep_days
        self._each, self._strangers = Buckets(each), Buckets(strangers)
        self._familiar: dict[bytes, None] = {}
        self._operations: dict[tuple[str, str], Operation] = {
            (operation.method, operation.path): operation for operation in operations
        }

    @property
    def middleware(self) -> Middleware:
        """Return what stands before every handler. It raises Problem 401 and 429."""

        @web.middleware
        async def passing(request: web.Request, handler: Handler) -> web.StreamResponse:
            operation = self._operation(request)
            if operation is None:  # a page about us, or nothing at all: the answer is the same for everybody
                return await handler(request)
            request[OPERATION] = operation
            if operation.open:
                return await self._with_secret(request, handler)
            known = await self._bearer(request)
            request[KNOWN] = known
            self._hold(request, known.name)
            return await handler(request)

        return passing

    async def kept(self, app: web.Application) -> AsyncIterator[None]:
        """Write what is counted for as long as the server lives, the rest at its end."""
        stop = asyncio.Event()
        keeping = asyncio.create_task(self.tally.keep(app[STORE], days=self._keep_days, stop=stop))
        yield
        stop.set()
        await keeping

    async def bear(self, request: web.Request, response: web.StreamResponse) -> None:
        """Tell a consumer how it stands, and count its request: once, when the answer begins."""
        verdict, known, operation = request.get(VERDICT), request.get(KNOWN), request.get(OPERATION)
        if verdict is not None:
            response.headers.update(fields(self._each.rate, verdict))
        counted = request.get(COUNTED) if known is None else (known.name, _org(request, known))
        if counted is not None and operation is not None:
            consumer, org_id = counted
            self.tally.count(consumer, org_id, operation.name, status=response.status, now=clock.now())

    def _operation(self, request: web.Request) -> Operation | None:
        resource = request.match_info.route.resource
        method = "GET" if request.method == "HEAD" else request.method
        return None if resource is None else self._operations.get((method, resource.canonical))

    async def _bearer(self, request: web.Request) -> Known:
        token = token_of(request)
        look_up = partial(bearer_anew, request)
        return await (self._tried(request, token, look_up) if token else look_up())

    async def _with_secret(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer who brings no token. An address that was good before has the rate of a consumer, all by itself."""
        secret = request.match_info.get("secret", "")
        answer = partial(handler, request)
        if not secret:
            return await answer()
        if (name := _hash(secret)) in self._familiar:
            self._hold(request, name)
        return await self._tried(request, secret, answer)

    def _hold(self, request: web.Request, key: Hashable) -> None:
        """Hold whoever the key names to the rate. Raises Problem 429."""
        request[VERDICT] = verdict = self._each.take(key, _now())
        if not verdict.allowed:
            raise _too_many(verdict)

    async def _tried(self, request: web.Request, secret: str, look_up: Callable[[], Awaitable[T]]) -> T:
        """Have a secret looked up, unless too many wrong ones came from the same address before.

        One that was good before is looked up all the same: who shares an address with somebody who guesses (behind a
        proxy all do) stays served.
        """
        name, site = _hash(secret), _site(request.remote)
        refusal = None if name in self._familiar else self._strangers.verdict(site, _now())
        if refusal is not None and not refusal.allowed:
            raise _too_many(refusal)
        try:
            found = await look_up()
        except Problem as problem:
            if problem.body.status in _WRONG:
                self._familiar.pop(name, None)
                self._strangers.take(site, _now())
            raise
        self._familiar[name] = None
        if len(self._familiar) > MOST_FAMILIAR:
            del self._familiar[next(iter(self._familiar))]
        return found


def _too_many(verdict: Verdict) -> Problem:
    return Problem(429, "too_many_requests", title="Too many requests", headers={"Retry-After": str(verdict.wait)})


def _org(request: web.Request, known: Known) -> str:
    """Return the one org that a request is about; none where it is not in scope: nobody fills the table with words."""
    asked = request.match_info.get("org")
    named = [asked] if asked is not None else request.query.getall("org", [])
    if len(named) != 1 or not ORG_ID.fullmatch(named[0]):  # to who may see every org, any word is in scope
        return NO_ORG
    return named[0] if known.may_ask(named[0]) else NO_ORG


def _site(remote: str | None) -> str:
    """Return what is taken for one stranger: an IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        address = ip_address((remote or "").partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address) or address.ipv4_mapped is not None:
        return str(getattr(address, "ipv4_mapped", None) or address)
    return str(int(address) >> (128 - _SIXTY_FOUR))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def _now() -> int:
    return int(asyncio.get_running_loop().time() * SECOND)
