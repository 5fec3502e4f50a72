"""Edge: one HTTP request to a consumer's endpoint, at an address that may be dialled, and how it went in fixed words.

The address is judged where it is dialled: no name, no spelling, no change of DNS comes in between. Redirects are not
followed, proxies of the environment are not used, and of an answer nothing but its status and Retry-After is kept.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from time import perf_counter
from typing import Final

from aiohttp import (
    AddrInfoType,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from yarl import URL

from services.publisher.webhooks.names import Names
from services.publisher.webhooks.retries import Attempt, outcome_of
from shared import clock
from shared.addresses import IpNetwork, public, within

TIMEOUT: Final = 20.0  # seconds; the specification asks for 15 to 30
MOST_READ: Final = 4096  # bytes of an answer, so that its connection can be used again
_HEADERS: Final = {"Content-Type": "application/cloudevents+json; charset=UTF-8", "User-Agent": "Busyline-Webhooks/1"}


class AddressRefusedError(OSError):
    """An address that must not be dialled."""


class Sender:
    """Sends to endpoints over connections that are kept; https anywhere public, http only where an operator allows."""

    def __init__(self, networks: tuple[IpNetwork, ...] = (), *, ca_file: str = "", timeout: float = TIMEOUT) -> None:
        """Take the operator's networks and the file of a private CA to trust. Raises OSError where that is none."""
        self.networks = networks
        self.timeout = timeout
        self._ssl = ssl.create_default_context()
        if ca_file:
            self._ssl.load_verify_locations(ca_file)
        self._sessions: dict[str, ClientSession] = {}

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        """Send one request and return how it went; it raises nothing but what ends the task."""
        began = perf_counter()
        try:
            status, retry_after = await self._posted(URL(url), body, headers)
        except (ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            return Attempt(outcome=_word(error), duration_ms=_since(began))
        return Attempt(outcome=outcome_of(status), status=status, retry_after=retry_after, duration_ms=_since(began))

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def _posted(self, url: URL, body: bytes, headers: Mapping[str, str]) -> tuple[int, int | None]:
        session = self._session(url.scheme)
        sending = session.post(url, data=body, headers={**_HEADERS, **headers}, allow_redirects=False)
        async with sending as response:
            said = response.status, retry_after(response.headers.get("Retry-After", ""), now=clock.exact())
            await _drained(response)
        return said

    def _session(self, scheme: str) -> ClientSession:
        if scheme not in self._sessions:
            connector = TCPConnector(
                socket_factory=self._dialled_plain if scheme == "http" else self._dialled,
                ssl=self._ssl,
                limit=0,
                keepalive_timeout=3.0,
                resolver=Names(),
                use_dns_cache=False,
            )
            self._sessions[scheme] = ClientSession(
                connector=connector,
                timeout=ClientTimeout(total=self.timeout, sock_connect=min(10.0, self.timeout)),
                trust_env=False,
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                max_line_size=8190,
            )
        return self._sessions[scheme]

    def _dialled(self, found: AddrInfoType) -> socket.socket:
        return self._socket(found, fit=public(ip_address(found[4][0]), self.networks))

    def _dialled_plain(self, found: AddrInfoType) -> socket.socket:
        return self._socket(found, fit=within(ip_address(found[4][0]), self.networks))

    def _socket(self, found: AddrInfoType, *, fit: bool) -> socket.socket:
        if not fit:
            raise AddressRefusedError("an address that must not be dialled")
        return socket.socket(family=found[0], type=found[1], proto=found[2])


def retry_after(printed: str, *, now: float) -> int | None:
    """Return the seconds that a Retry-After header asks for, a number or an HTTP date; None where it is neither."""
    text = printed.strip()
    if text.isascii() and text.isdigit():
        return int(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, round(aware.timestamp() - now))


async def _drained(response: ClientResponse) -> None:
    """Read a short answer away; of a long or slow one the connection is given up. The status holds either way."""
    with suppress(ClientError, OSError, ValueError):
        async with asyncio.timeout(1.0):
            await response.content.read(MOST_READ)
    if not response.content.at_eof():
        response.close()


def _word(error: Exception) -> str:
    match error:
        case ClientConnectorDNSError():
            return "name_unknown"
        case ClientConnectorCertificateError():
            return "not_trusted"
        case ClientConnectorError():
            return "address_refused" if isinstance(error.os_error, AddressRefusedError) else "unreachable"
        case TimeoutError():
            return "timeout"
        case ValueError():
            return "address_refused"
        case _:
            return "cut"


def _since(began: float) -> int:
    return round((perf_counter() - began) * 1000)
