"""Decides whether a browser may be sent back to an address: only below an address that the operator listed.

It refuses everything that two readers of an address could read differently.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

LONGEST: Final = 2000  # characters of an address
_LOOPBACK: Final = ("127.0.0.1", "localhost")
_PLAIN: Final = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.IGNORECASE)  # visible ASCII but for " < > \ ^ ` { | }


def may_return(address: str, listed: Iterable[str]) -> bool:
    """Say whether an address lies at one of the listed ones: the same origin, and a path at or below theirs."""
    return _readable(address) and any(_below(urlsplit(address), urlsplit(entry)) for entry in listed)


def is_listable(address: str) -> bool:
    """Say whether an operator may list an address: https, or http on this machine; no query, no fragment, no user."""
    if not _readable(address):
        return False
    parts = urlsplit(address)
    plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
    return (parts.scheme == "https" or plain) and not parts.query and not parts.fragment


def is_origin(said: str, address: str) -> bool:
    """Say whether a browser's word for an origin (RFC 6454: lower case, the usual port left out) is an address's."""
    return _readable(said) and said == said.lower() and _origin(urlsplit(said)) == _origin(urlsplit(address))


def origin(address: str) -> str:
    """Return the origin of a listed address: https://host, and the port where one is named."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _readable(address: str) -> bool:
    if not 1 <= len(address) <= LONGEST or not _PLAIN.fullmatch(address):
        return False
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 -- it raises for a port that is none
    except ValueError:
        return False
    return bool(parts.hostname) and "@" not in parts.netloc and not _climbs(parts.path)


def _climbs(path: str) -> bool:
    """Say whether a path goes up somewhere, however often it is escaped, or holds what browsers take for a slash."""
    while (opened := unquote(path)) != path:
        path = opened
    return "\\" in path or any(segment in {".", ".."} for segment in path.split("/")) or "//" in path


def _below(address: SplitResult, entry: SplitResult) -> bool:
    if _origin(address) != _origin(entry):
        return False
    prefix = entry.path.rstrip("/")
    return not prefix or address.path == prefix or address.path.startswith(prefix + "/")


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", parts.port or usual
