"""Edge: the two places outside https that may name an autodiscover host: a redirect over plain http, and DNS.

Nothing secret is sent to either, and what they name is a hint: who reads it decides whether it may be followed.
"""

import asyncio
import socket
import time
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception

from services.authorizer.autodiscover_forms import POX_PATH, SOAP_PATH
from shared.ews.dialling import Surroundings, dial
from shared.ews.errors import EwsError

PORT: Final = 80
PATIENCE: Final = 10.0  # seconds
HEAD: Final = 16_384  # bytes that the head of an answer may have
_MOVED: Final = frozenset({"301", "302", "303", "307", "308"})


async def hinted(domain: str, surroundings: Surroundings) -> tuple[str, ...]:
    """Return where the hints say that autodiscover is asked, https addresses only."""
    told = (await asyncio.to_thread(redirect, f"autodiscover.{domain}", surroundings), await service(domain))
    return tuple(url for url in told if urlsplit(url).scheme == "https")


def redirect(host: str, surroundings: Surroundings, *, port: int = PORT) -> str:
    """Return where a host redirects autodiscover to, "" where it does not. Blocking, and nobody is signed in."""
    asked = f"GET {POX_PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with suppress(EwsError, OSError), dial(host, port, surroundings) as reached:
        reached.sendall(asked.encode("ascii", "ignore"))
        return location(_head(reached))
    return ""


def location(head: bytes) -> str:
    """Return where the head of an answer sends who asked, "" where it does not."""
    first, *fields = head.decode("latin-1").split("\r\n")
    if [*first.split(" "), ""][1] not in _MOVED:
        return ""
    named = (field.partition(":") for field in fields)
    return next((value.strip() for name, _, value in named if name.strip().lower() == "location"), "")


def _head(reached: socket.socket) -> bytes:
    """Return the head of an answer, as far as it comes in time: a byte now and then must not keep the thread."""
    head, until = b"", time.monotonic() + PATIENCE
    while b"\r\n\r\n" not in head and len(head) < HEAD and (left := until - time.monotonic()) > 0:
        reached.settimeout(left)
        piece = reached.recv(4096)
        if not piece:
            break
        head += piece
    return head.partition(b"\r\n\r\n")[0]


async def service(domain: str) -> str:
    """Return what the domain's SRV record names, "" where there is none."""
    try:
        answer = await dns.asyncresolver.resolve(f"_autodiscover._tcp.{domain}", "SRV", lifetime=PATIENCE)
    except (dns.exception.DNSException, OSError):
        return ""
    best = min(answer, key=lambda record: (record.priority, -record.weight), default=None)
    if best is None:
        return ""
    host = best.target.to_text(omit_final_dot=True)
    return f"https://{host}{'' if best.port == 443 else f':{best.port}'}{SOAP_PATH}" if host else ""
