"""The HTTP of an Exchange session: it dials only what may be dialled, trusts only whom it should, keeps no cookies.

Blocking. It refuses redirects, proxies and CAs named in the environment, and bodies without end of a refused sign-in.
"""

import ssl
from collections.abc import Iterator
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

from shared import clock
from shared.ews.dialling import Surroundings, Wire, dial, secured, tls_refusal
from shared.ews.errors import EwsError
from shared.ews.http_status import refusal

REFUSAL_CAP: Final = 64 * 2**10  # bytes; the authentication reads the whole of a 401
PIECE: Final = 64 * 2**10


def hardened(session: requests.Session) -> requests.Session:
    """Return a session that takes nothing from the environment, keeps no cookies, and reaches its one endpoint only."""
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # mailboxes share one session
    session.adapters.pop("https://", None)
    session.adapters.pop("http://", None)
    return session


def body(response: requests.Response) -> Iterator[bytes]:
    """Yield a body, decompressed, as it arrives. Raises EwsError: `truncated`, `timeout`, `not_xml`, `network`."""
    raw = response.raw
    try:
        if raw.chunked and raw.supports_chunked_reads():
            yield from raw.stream(PIECE, decode_content=True)
        else:
            while piece := raw.read1(PIECE, decode_content=True):
                yield piece
    except ReadTimeoutError:
        raise EwsError("timeout") from None
    except DecodeError:
        raise EwsError("not_xml") from None
    except (HTTPError, OSError):
        raise EwsError("truncated") from None


class ExchangeAdapter(HTTPAdapter):
    """Carries the requests of one session over one connection at a time; exchangelib gives the other arguments."""

    def __init__(self, wire: Wire, surroundings: Surroundings, **options: Any) -> None:
        """Take where the session's sockets are kept, and the surroundings to dial in."""
        self._wire = wire
        self._surroundings = surroundings
        self.last: requests.Response | None = None
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of the connections below, with one TLS context for all."""
        super().init_poolmanager(*args, **options)
        dialled: dict[str, Any] = {"wire": self._wire, "surroundings": self._surroundings}
        pools: dict[str, Any] = {
            "https": partial(_SecurePool, ssl_context=secured(self._surroundings.ca_file), **dialled),
            "http": partial(_PlainPool, **dialled),
        }
        self.poolmanager.pool_classes_by_scheme = pools

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> Any:
        """Return the pool for a request, whatever CAs and proxies requests has found elsewhere."""
        return self.poolmanager.connection_from_url(str(request.url))

    def cert_verify(self, *_: Any) -> None:
        """Leave the verification to the TLS context."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send one request. The body of a refusal is kept within bounds.

        A redirect ends here: requests would read its whole body and look where it leads. Raises EwsError.
        """
        self.last = None
        response = super().send(request, *args, **options)
        self.last = response
        if 300 <= response.status_code < 400:
            response.close()
            raise refusal(response.status_code, response.headers, clock.now()) or EwsError("redirected")
        if response.status_code == 401:
            # Read by requests_ntlm, whole and only once it has seen the server's certificate on the connection.
            response.iter_content = lambda *_, **__: _short(response)  # type: ignore[method-assign]  # the one way in
        return response


def _short(response: requests.Response) -> Iterator[bytes]:
    """Yield a short body. Raises EwsError `too_large`."""
    size = 0
    for piece in body(response):
        size += len(piece)
        if size > REFUSAL_CAP:
            raise EwsError("too_large", status=response.status_code)
        yield piece


class _SecureConnection(HTTPSConnection):
    """TLS to an address that was checked; the name is verified as ever."""

    def __init__(self, *args: Any, wire: Wire, surroundings: Surroundings, **options: Any) -> None:
        self._wire = wire
        self._surroundings = surroundings
        super().__init__(*args, **options)

    def _new_conn(self) -> Any:
        reached = dial(self.host, int(self.port or 443), self._surroundings)
        reached.settimeout(self._seconds())
        self._wire.hold(reached)
        return reached

    def _seconds(self) -> float | None:
        return self.timeout if isinstance(self.timeout, (int, float)) else None

    def connect(self) -> None:
        try:
            super().connect()
        except (ssl.SSLError, OSError) as error:
            raise tls_refusal(error) from None

    def close(self) -> None:
        self._wire.let_go()  # a second handle would keep the connection open
        super().close()


class _PlainConnection(HTTPConnection):
    """No TLS: only into the operator's own networks."""

    def __init__(self, *args: Any, wire: Wire, surroundings: Surroundings, **options: Any) -> None:
        self._wire = wire
        self._surroundings = surroundings
        super().__init__(*args, **options)

    def _new_conn(self) -> Any:
        reached = dial(self.host, int(self.port or 80), self._surroundings, plain=True)
        reached.settimeout(self.timeout if isinstance(self.timeout, (int, float)) else None)
        self._wire.hold(reached)
        return reached

    def close(self) -> None:
        self._wire.let_go()
        super().close()


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection
