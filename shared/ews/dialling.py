"""Edge: dials what an admin named as an Exchange server or directory, at the addresses alone that may be dialled.

Which those are is `shared.addresses`'s to decide. Blocking.
"""

import socket
import ssl
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from msgspec import Struct

from shared.addresses import IpNetwork, allowed, networks_of, within
from shared.ews.errors import EwsError

CONNECT: Final = 10.0  # seconds to reach one address
MOST: Final = 4  # addresses that are tried


def surroundings(ca_file: str, reach_networks: str) -> "Surroundings":
    """Return what connections are made with; networks are CIDRs separated by commas.

    Raises ValueError for one that is none, and for a file without a certificate to trust.
    """
    try:
        secured(ca_file)
    except OSError:
        raise ValueError("the file of a private CA cannot be read, or holds no certificate") from None
    return Surroundings(ca_file=ca_file, networks=networks_of(reach_networks))


def resolve(
    host: str, port: int, surroundings: "Surroundings", *, plain: bool = False
) -> list[tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]]:
    """Return the addresses of a host that may be dialled, as (family, socket address).

    `plain` is for a connection without TLS: only the operator's networks will do. Raises EwsError: `name_unknown`,
    `address_refused`.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise EwsError("name_unknown") from None
    fit = within if plain else allowed
    kept = [(one[0], one[4]) for one in found if fit(ip_address(one[4][0]), surroundings.networks)]
    if not kept:
        raise EwsError("address_refused")
    return kept  # type: ignore[return-value]  # for these families an address is one of the two tuples


def dial(host: str, port: int, surroundings: "Surroundings", *, plain: bool = False) -> socket.socket:
    """Return a connected socket to one of the host's addresses. Raises EwsError, `unreachable` where none answers."""
    for family, address in resolve(host, port, surroundings, plain=plain)[:MOST]:
        reached = socket.socket(family, socket.SOCK_STREAM)
        try:
            reached.settimeout(CONNECT)
            reached.connect(address)
            reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            reached.close()
            continue
        return reached
    raise EwsError("unreachable")


def secured(ca_file: str) -> ssl.SSLContext:
    """Return the client's side of TLS: names are checked, the system's CAs are trusted and the one in the file."""
    return _secured(ca_file)


def tls_refusal(error: OSError) -> EwsError:
    """Return what went wrong while TLS was agreed on, in our words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return EwsError("not_trusted")
    return EwsError("timeout" if isinstance(error, TimeoutError) else "not_tls")


@lru_cache(maxsize=8)
def _secured(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


class Surroundings(Struct, frozen=True, kw_only=True):
    """The file of a private CA to trust beside the system's, and the networks that an operator allows."""

    ca_file: str = ""
    networks: tuple[IpNetwork, ...] = ()


class Wire:
    """The sockets of one session, so that another thread can end whatever waits on them."""

    def __init__(self) -> None:
        """Start with nothing open."""
        self.cut = False
        self._held: list[socket.socket] = []

    def hold(self, reached: socket.socket) -> None:
        """Keep a second handle on a connection: TLS takes the first, and shutting either ends both."""
        self.let_go()
        self._held.append(reached.dup())
        if self.cut:
            self.end()

    def end(self) -> None:
        """End the connection, now and for good, from any thread: who waits on it gets an error."""
        self.cut = True
        for held in list(self._held):
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        """Give up the handles; for the thread that owns the session."""
        for held in self._held:
            held.close()
        self._held.clear()
