"""Decides which URLs a webhook may have. It looks no name up: an address is judged where it is dialled."""

from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from yarl import URL

from shared.addresses import IpNetwork, public, within

LONGEST: Final = 2048


def fault_of(url: str, networks: tuple[IpNetwork, ...]) -> str | None:
    """Return what is wrong with a URL, None where nothing is; plain http needs a network that an operator allows."""
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or any(sign in url for sign in " \\"):
        return f"It must be written in at most {LONGEST} printable ASCII characters, without spaces."
    try:
        parts, sent = urlsplit(url), URL(url)
        whole = bool(parts.hostname and sent.raw_host) and parts.port != 0
    except ValueError:
        return "It is not a URL."
    if not whole or parts.scheme not in ({"https", "http"} if networks else {"https"}):
        return "An https URL is needed: https://example.com/busyline."
    if "@" in parts.netloc or parts.fragment or url.endswith("#"):
        return "It must not hold a user, a password or a fragment."
    return None if _may_be_dialled(parts, networks) else "This address may not be reached from here."


def _may_be_dialled(parts: SplitResult, networks: tuple[IpNetwork, ...]) -> bool:
    """Judge a host that is an address already; of a name nothing is known yet."""
    fit = within if parts.scheme == "http" else public
    try:
        return fit(ip_address(parts.hostname or ""), networks)
    except ValueError:
        return True
