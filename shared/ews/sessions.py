"""Edge: sessions that exchangelib signs in to one Exchange server, as many at once as agreed, for asyncio.

It refuses to try a refused sign-in again: a wrong password costs one attempt, never an account. It does not retry,
sleep or follow redirects; who asks decides what comes next. exchangelib's own pool and retry policies are not used:
they deadlock under throttling, repeat a 401 and wait without an end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

import requests
from msgspec.structs import replace

from shared.ews.adapter import ExchangeAdapter, hardened
from shared.ews.credential import EwsCredential
from shared.ews.dialling import Surroundings, Wire
from shared.ews.envelopes import Envelope, convert_id, http_headers, soap
from shared.ews.errors import EwsError
from shared.ews.lines import Affinity, Line, Posting
from shared.ews.version import version
from shared.graph_answers import user_agent

__all__ = ["Affinity", "Door"]

T = TypeVar("T")

SECONDS: Final = 180.0  # for one request and its whole answer


def _session(
    endpoint: str, scheme: str, credential: EwsCredential, surroundings: Surroundings, wire: Wire
) -> requests.Session:
    """Return a session of exchangelib's that signs in to the endpoint. Raises EwsError `no_scheme`."""
    from exchangelib.credentials import Credentials  # noqa: PLC0415 -- 50 MB that only an Exchange connection needs
    from exchangelib.protocol import BaseProtocol  # noqa: PLC0415 -- the same
    from exchangelib.transport import BASIC, NTLM, get_auth_instance  # noqa: PLC0415 -- the same

    made: Any = type(
        "Protocol",
        (BaseProtocol,),
        {"HTTP_ADAPTER_CLS": staticmethod(partial(ExchangeAdapter, wire, surroundings)), "USERAGENT": user_agent()},
    )
    session = hardened(made.raw_session(endpoint))
    user = credential.username
    if scheme == "ntlm":
        # exchangelib's rule: a name shaped like an address is sent with a backslash, or its domain is lost
        email = Credentials(user, credential.password).type == Credentials.EMAIL
        user = f"\\{user}" if email else user
        session.auth = get_auth_instance(auth_type=NTLM, username=user, password=credential.password)
    elif scheme == "basic":
        session.auth = get_auth_instance(auth_type=BASIC, username=_octets(user), password=_octets(credential.password))
    elif scheme != "oauth":
        raise EwsError("no_scheme")
    return session


def _octets(text: str) -> bytes:
    """Return what Basic sends: Latin-1, as IIS reads it, and UTF-8 for what that cannot write."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


class Door:
    """One endpoint under one credential: sessions that exchangelib signs in, a bounded pool of threads.

    `refused` is true once a sign-in with a password was refused: from then on nothing is sent.
    """

    def __init__(  # noqa: PLR0913 -- what a door is made of, each by its name
        self,
        *,
        endpoint: str,
        scheme: str,
        credential: EwsCredential,
        surroundings: Surroundings,
        token: Callable[[], Awaitable[str]] | None = None,
        forget: Callable[[], None] = lambda: None,
        connections: int = 8,
        member: str = "",
    ) -> None:
        """Take where to sign in and how ("basic", "ntlm", "oauth"), and how many requests may run at once.

        With OAuth `token` gives bearer tokens, and `forget` is told that one was refused. An app is nobody: what others
        ask as the service account is asked as `member` then, a mailbox.
        """
        self.refused = False
        self._signed_in = scheme == "oauth"  # a token refused locks nobody out
        self._endpoint = endpoint
        self._scheme = scheme
        self._open = partial(_session, endpoint, scheme, credential, surroundings)
        self._token = token
        self._forget = forget
        self._member = member
        self._entrance = asyncio.Lock()
        self._gate = asyncio.Semaphore(connections)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="ews")
        self._idle: list[Line] = []
        self._used: set[Line] = set()
        self._closed = False

    async def ask(
        self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T], *, group: Affinity | None = None
    ) -> T:
        """Return the decoded answer to one request; those of a group share its affinity.

        `decode` is called in a thread. Raises EwsError, and what `token` raises.
        """
        return await self._let_in(self._posting(envelope, group), decode)

    async def post(self, body: bytes, decode: Callable[[Iterable[bytes]], T], *, headers: Mapping[str, str]) -> T:
        """Return the decoded answer to any SOAP text (autodiscover's). Raises EwsError, and what `token` raises."""
        return await self._let_in(Posting(body=body, headers=headers), decode)

    async def hold(
        self,
        envelope: Envelope,
        decode: Callable[[Iterable[bytes]], T],
        *,
        seconds: float,
        group: Affinity | None = None,
    ) -> T:
        """Return what was decoded of an answer that comes over minutes, on a session and a thread of its own.

        It is cut after `seconds`, as a timeout. Raises EwsError, and what `token` raises.
        """
        if not self._signed_in:
            await self.ask(convert_id(), version)
        posting = await self._with_token(self._posting(envelope, group))
        line = Line(self._endpoint, self._open)
        thread = ThreadPoolExecutor(1, thread_name_prefix="ews-hold")
        try:
            return await self._run(thread, line, partial(line.exchange, posting, decode), seconds=seconds, once=True)
        finally:
            thread.shutdown(wait=False)

    def close(self) -> None:
        """Let sessions and threads go; what is under way ends with an error."""
        self._closed = True
        for line in self._used:
            line.wire.end()
        while self._idle:
            self._idle.pop().close()
        self._threads.shutdown(wait=False)

    def _turned_away(self) -> None:
        """Send nothing any more with a password that was refused, and a token that was only for this moment no more."""
        if self._scheme == "oauth":
            self._forget()
        else:
            self.refused = True

    def _posting(self, envelope: Envelope, group: Affinity | None) -> Posting:
        if self._scheme == "oauth" and not envelope.mailbox:
            envelope = replace(envelope, mailbox=self._member)
        return Posting(body=soap(envelope), headers=http_headers(envelope), charged=envelope.charged, group=group)

    async def _let_in(self, posting: Posting, decode: Callable[[Iterable[bytes]], T]) -> T:
        """Until a sign-in was good requests go one by one: whatever is wrong with it is wrong once."""
        if not self._signed_in:
            async with self._entrance:
                if not self._signed_in:
                    return await self._exchange(posting, decode)
        return await self._exchange(posting, decode)

    async def _exchange(self, posting: Posting, decode: Callable[[Iterable[bytes]], T]) -> T:
        async with self._gate:
            sent = await self._with_token(posting)
            line = self._idle.pop() if self._idle else Line(self._endpoint, self._open)
            return await self._run(self._threads, line, partial(line.exchange, sent, decode), seconds=SECONDS)

    async def _with_token(self, posting: Posting) -> Posting:
        """Return a request with its bearer token. Raises EwsError where nothing may be sent any more."""
        if self.refused or self._closed:
            raise EwsError("sign_in_refused" if self.refused else "network", charged=posting.charged)
        if self._token is None:
            return posting
        return replace(posting, headers={**posting.headers, "Authorization": f"Bearer {await self._token()}"})

    async def _run(
        self, threads: Executor, line: Line, exchange: Callable[[], T], *, seconds: float, once: bool = False
    ) -> T:
        """Run an exchange in a thread, and cut it where it takes too long or nobody waits for it any more."""
        self._used.add(line)
        job = threads.submit(exchange)
        timer = asyncio.get_running_loop().call_later(seconds, line.wire.end)
        try:
            return await asyncio.wrap_future(job)
        except EwsError as error:
            if error.code == "sign_in_refused":
                self._turned_away()
            raise
        finally:
            timer.cancel()
            self._used.discard(line)
            self._signed_in = self._signed_in or line.signed_in
            if not job.done():
                line.wire.end()
            if once or line.wire.cut or self._closed:
                job.add_done_callback(lambda _: line.close())
            else:
                self._idle.append(line)
