"""Reads which Exchange answered, from the header of any SOAP answer: a fault after the sign-in tells it as well.

Pure. What a server writes of itself is taken as it is; a server that writes nothing has no name.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from shared.ews.elements import Element, elements
from shared.ews.errors import EwsError

_SE: Final = 2562  # the first build of the Subscription Edition, which goes on counting where 2019 stopped
_ONLINE: Final = 20
_NAMES: Final = {(8, 0): "2007", (8, 1): "2007", (8, 2): "2007", (8, 3): "2007", (14, 0): "2010", (14, 1): "2010",
                 (14, 2): "2010", (14, 3): "2010", (15, 0): "2013", (15, 1): "2016", (15, 2): "2019"}  # fmt: skip


class ServerVersion(Struct, frozen=True, kw_only=True):
    """A server's build, and what people call it; all zero and empty where the server does not say."""

    major: int = 0
    minor: int = 0
    build: int = 0
    revision: int = 0
    name: str = ""
    online: bool = False


def version(chunks: Iterable[bytes]) -> ServerVersion:
    """Return the version of whatever gave a SOAP answer, error or not. Raises EwsError where it is no SOAP answer."""
    found = ServerVersion()
    answered = False
    for name, element in elements(chunks, ("ServerVersionInfo", "Body")):
        if name == "Body":
            answered = True
        else:
            found = _version(element)
    if not answered:
        raise EwsError("malformed")
    return found


def _version(element: Element) -> ServerVersion:
    names = ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")
    major, minor, build, revision = (_number(element.get(name, "")) for name in names)
    online = (major, minor) == (15, _ONLINE)
    return ServerVersion(
        major=major, minor=minor, build=build, revision=revision, online=online, name=_name(major, minor, build)
    )


def _name(major: int, minor: int, build: int) -> str:
    if (major, minor) == (15, _ONLINE):
        return "Exchange Online"
    if (major, minor) == (15, 2) and build >= _SE:
        return "Exchange SE"
    known = _NAMES.get((major, minor))
    return f"Exchange {known}" if known else ""


def _number(printed: str) -> int:
    return int(printed) if printed.isascii() and printed.isdigit() and len(printed) < 10 else 0
