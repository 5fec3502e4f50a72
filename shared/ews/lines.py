"""One session with an Exchange server: a request goes out, its answer is decoded as it comes, or says why not.

Blocking; each line is used by one thread at a time. No text of a server, no address and no name leaves in an error.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final, Literal, TypeVar

import requests
from msgspec import Struct

from shared import clock
from shared.ews.adapter import ExchangeAdapter, body
from shared.ews.dialling import Wire
from shared.ews.errors import OURS, EwsError
from shared.ews.http_status import refusal

T = TypeVar("T")

TIMEOUT: Final = (10.0, 120.0)  # seconds to connect, and between bytes
IDLE: Final = 50.0  # seconds; IIS closes a silent connection after 120, balancers after 60
REST: Final = 64 * 2**10  # bytes read to keep a connection whose answer was an error
AFFINITY: Final = "X-BackEndOverrideCookie"


class Affinity:
    """The cookie that leads a group's requests to the server that keeps its subscriptions."""

    def __init__(self) -> None:
        """Start without one."""
        self.cookie = ""


class Posting(Struct, frozen=True, kw_only=True):
    """What is sent: a SOAP text, its headers, whose budget pays, and the group it belongs to."""

    body: bytes
    headers: Mapping[str, str]
    charged: Literal["account", "mailbox"] = "account"
    group: Affinity | None = None


class Line:
    """A session and its sockets. `signed_in` is true once a SOAP answer came: the sign-in was good."""

    def __init__(self, endpoint: str, open_session: Callable[[Wire], requests.Session]) -> None:
        """Take where to send to; the session is opened in the thread that first needs it."""
        self.wire = Wire()
        self.signed_in = False
        self._endpoint = endpoint
        self._open = open_session
        self._session: requests.Session | None = None
        self._used = 0.0

    def exchange(self, posting: Posting, decode: Callable[[Iterable[bytes]], T]) -> T:
        """Send one request and return its answer decoded. Raises EwsError."""
        try:
            return self._exchanged(posting, decode)
        except EwsError as error:
            code = "timeout" if self.wire.cut else error.code
            raise EwsError(
                code, status=error.status, back_off=error.back_off, value=error.value, charged=posting.charged
            ) from None
        finally:
            self._used = time.monotonic()

    def close(self) -> None:
        """Close the connections."""
        self.wire.end()  # or a socket that urllib3 let go of stays open until somebody collects it
        if self._session is not None:
            self._session.close()
        self.wire.let_go()

    def _exchanged(self, posting: Posting, decode: Callable[[Iterable[bytes]], T]) -> T:
        response = self._sent(posting)
        pieces = body(response)
        try:
            refused = refusal(response.status_code, response.headers, clock.now())
            if refused is not None:
                raise refused
            return self._decoded(response, pieces, decode)
        except EwsError:
            _drain(pieces)
            raise
        finally:
            response.close()
            if posting.group is not None:
                posting.group.cookie = response.cookies.get(AFFINITY) or posting.group.cookie

    def _decoded(
        self, response: requests.Response, pieces: Iterator[bytes], decode: Callable[[Iterable[bytes]], T]
    ) -> T:
        try:
            answer = decode(pieces)
        except EwsError as error:
            self.signed_in = self.signed_in or error.code not in OURS
            back_off = error.back_off
            if back_off is None:
                ordered = refusal(503, response.headers, clock.now())
                back_off = None if ordered is None else ordered.back_off
            raise EwsError(error.code, status=response.status_code, back_off=back_off, value=error.value) from None
        self.signed_in = True
        return answer

    def _sent(self, posting: Posting) -> requests.Response:
        """Return the answer's beginning. Raises EwsError for whatever prevents one."""
        session = self._fresh()
        headers = dict(posting.headers)
        if posting.group is not None and posting.group.cookie:
            headers["Cookie"] = f"{AFFINITY}={posting.group.cookie}"
        try:
            return session.post(
                self._endpoint, data=posting.body, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
            )
        except Exception as error:  # noqa: BLE001 -- a server's odd challenge makes requests_ntlm and spnego raise anything
            raise self._broken_off(session, error) from None

    def _broken_off(self, session: requests.Session, error: Exception) -> EwsError:
        """Close what is half open, and return what kept an answer from beginning.

        In the middle of a handshake that is a busy server's status, or a challenge that makes no sense.
        """
        adapter = session.get_adapter(self._endpoint)
        last = adapter.last if isinstance(adapter, ExchangeAdapter) else None
        session.close()
        if last is not None:
            last.close()
        match error:
            case EwsError():
                return error
            case requests.exceptions.Timeout():
                return EwsError("timeout")
            case PermissionError():  # requests_ntlm: the server answered our offer with no challenge
                return EwsError("sign_in_refused", status=401)
            case OSError():  # all of requests' own as well
                return EwsError("network")
        refused = None if last is None else refusal(last.status_code, last.headers, clock.now())
        return refused or EwsError("network")

    def _fresh(self) -> requests.Session:
        """Return the session; a connection that was silent for long may be half closed, and is not tried."""
        if self._session is None:
            self._session = self._open(self.wire)
        elif time.monotonic() - self._used > IDLE:
            self._session.close()
        return self._session


def _drain(pieces: Iterator[bytes]) -> None:
    """Read a little more of an answer that is not needed: a connection read to its end serves again."""
    rest = REST
    with suppress(EwsError):
        for piece in pieces:
            rest -= len(piece)
            if rest < 0:
                return
