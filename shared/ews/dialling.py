"""Decides which addresses a connection that an admin named may go to, and dials those alone.

It refuses loopback, link-local, metadata and reserved addresses in every disguise, unless an operator allows their
network: an address that an outsider chooses must not lead into our own machines. Blocking.
"""

import socket
import ssl
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from msgspec import Struct

from shared.ews.errors import EwsError

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

CONNECT: Final = 10.0  # seconds to reach one address
MOST: Final = 4  # addresses that are tried
_THIS: Final = IPv4Network("0.0.0.0/8")  # Linux takes it for the machine itself
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
_METADATA: Final = frozenset(
    ip_address(printed)
    for printed in ("169.254.169.254", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe",
                    "100.100.100.200", "192.0.0.192", "168.63.129.16")
)  # fmt: skip


def surroundings(ca_file: str, reach_networks: str) -> "Surroundings":
    """Return what connections are made with; networks are CIDRs separated by commas.

    Raises ValueError for one that is none, and for a file without a certificate to trust.
    """
    try:
        secured(ca_file)
    except OSError:
        raise ValueError("the file of a private CA cannot be read, or holds no certificate") from None
    printed = (part.strip() for part in reach_networks.split(","))
    return Surroundings(ca_file=ca_file, networks=tuple(ip_network(part) for part in printed if part))


def allowed(address: IpAddress, networks: tuple[IpNetwork, ...]) -> bool:
    """Say whether an address may be dialled: private ranges may, for Exchange lives there."""
    if within(address, networks):
        return True
    meant = _meant(address)
    return all(_harmless(one) for one in {_plain(address), meant})


def within(address: IpAddress, networks: tuple[IpNetwork, ...]) -> bool:
    """Say whether an address lies in one of the networks, in its own form or the one it carries."""
    forms = {_plain(address), _meant(address)}
    return any(form in network for network in networks for form in forms if form.version == network.version)


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


def _plain(address: IpAddress) -> IpAddress:
    """Return an address without the zone of a link-local one."""
    return IPv6Address(int(address)) if isinstance(address, IPv6Address) else address


def _meant(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 one carries (mapped, 6to4, NAT64, Teredo), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or _plain(address)


def _harmless(address: IpAddress) -> bool:
    if address in _METADATA or (isinstance(address, IPv4Address) and address in _THIS):
        return False
    if isinstance(address, IPv6Address) and (address in _NAT64 or address.ipv4_mapped is not None):
        return True  # what it carries decides
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )


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
