"""Decides which addresses may be dialled that an outsider chose: an admin for Exchange, a consumer for its webhooks.

It refuses loopback, link-local, metadata and reserved addresses in every disguise, unless an operator allows their
network: an address that an outsider chooses must not lead into our own machines.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

_THIS: Final = IPv4Network("0.0.0.0/8")  # Linux takes it for the machine itself
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
_RESERVED: Final = tuple(  # what Python took for public before it was corrected: IANA's special-purpose registries
    ip_network(printed) for printed in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")
)
_METADATA: Final = frozenset(
    ip_address(printed)
    for printed in ("169.254.169.254", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe",
                    "100.100.100.200", "192.0.0.192", "168.63.129.16")
)  # fmt: skip


def networks_of(printed: str) -> tuple[IpNetwork, ...]:
    """Return networks written as CIDRs separated by commas. Raises ValueError for one that is none."""
    parts = (part.strip() for part in printed.split(","))
    return tuple(ip_network(part) for part in parts if part)


def allowed(address: IpAddress, networks: tuple[IpNetwork, ...]) -> bool:
    """Say whether an address may be dialled where private ranges may, for Exchange lives there."""
    return within(address, networks) or all(_harmless(one) for one in {_plain(address), _meant(address)})


def public(address: IpAddress, networks: tuple[IpNetwork, ...]) -> bool:
    """Say whether an address may be dialled where private ranges may not, unless an operator allows their network."""
    if within(address, networks):
        return True
    return all(_harmless(one) and _global(one) for one in {_plain(address), _meant(address)})


def within(address: IpAddress, networks: tuple[IpNetwork, ...]) -> bool:
    """Say whether an address lies in one of the networks, in its own form or the one it carries."""
    forms = {_plain(address), _meant(address)}
    return any(form in network for network in networks for form in forms if form.version == network.version)


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


def _carries(address: IpAddress) -> bool:
    """Say whether an address is nothing but a form of another, which decides."""
    return isinstance(address, IPv6Address) and (address in _NAT64 or address.ipv4_mapped is not None)


def _global(address: IpAddress) -> bool:
    site_local = isinstance(address, IPv6Address) and address.is_site_local  # RFC 3879: old, and still private
    reserved = any(address in network for network in _RESERVED)
    return _carries(address) or (address.is_global and not site_local and not reserved)


def _harmless(address: IpAddress) -> bool:
    if address in _METADATA or (isinstance(address, IPv4Address) and address in _THIS):
        return False
    if _carries(address):
        return True
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )
