"""Decides which of several mailbox servers a request reaches: that of its cookie, else that of its anchor mailbox.

Subscriptions live on one server; who asks another one for their events is refused, as behind a load balancer.
"""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from zlib import crc32

from deploy.sandbox.directory import Person

COOKIE = "X-BackEndOverrideCookie"
SERVERS = 4


def prefers(headers: Mapping[str, str]) -> bool:
    """Say whether a client wants to stay where it is."""
    return headers.get("x-preferserveraffinity", "").lower() == "true"


def cookie(headers: Mapping[str, str]) -> str:
    """Return the server named by a request's cookie, "" where it has none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def server(headers: Mapping[str, str], acting: Person | None) -> str:
    """Return the name of the mailbox server a request reaches."""
    named = cookie(headers) if prefers(headers) else ""
    anchor = headers.get("x-anchormailbox", "") or (acting.address if acting else "")
    return named or f"mailbox-{crc32(anchor.lower().encode()) % SERVERS}"


def given(headers: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the header that lets a client stay on the server of this name, where it wants to."""
    return {"Set-Cookie": f"{COOKIE}={name}; path=/; secure; HttpOnly"} if prefers(headers) else {}
