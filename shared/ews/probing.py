"""Edge: looks at an address before anyone signs in there: does it answer, is it trusted, which sign-ins does it offer.

It refuses addresses that must not be reached, and sends nothing of ours: no user, no password, no cookie.
"""

import asyncio
import http.client
import re
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from shared.ews.dialling import Surroundings, Wire, dial, secured, tls_refusal
from shared.ews.envelopes import convert_id, soap
from shared.ews.errors import EwsError
from shared.graph_answers import user_agent

SECONDS: Final = 30.0  # for everything together
SILENCE: Final = 15.0  # seconds without a byte
# An offer begins a header or follows a comma: `Basic realm="x", NTLM`. A realm may hold any word in its quotes.
_QUOTED: Final = re.compile(r'"[^"]*"')
_OFFER: Final = re.compile(r"(?:^|,)\s*(basic|ntlm|negotiate|bearer)\b(?!\s*=)", re.IGNORECASE)
_MEANT: Final = {"basic": "basic", "ntlm": "ntlm", "negotiate": "ntlm", "bearer": "oauth"}


class Reached(Struct, frozen=True, kw_only=True):
    """What answered: its sign-ins ("basic", "ntlm", "oauth"), its status, and the steps taken ("tcp", "tls", "http").

    A status of 401 is what an Exchange server answers; whatever else it is, the caller judges.
    """

    schemes: tuple[str, ...]
    status: int
    steps: tuple[str, ...]


async def reach(url: str, surroundings: Surroundings) -> Reached:
    """Return what answers a request without a sign-in at an https address (http only in the operator's networks).

    Raises EwsError: `name_unknown`, `address_refused`, `unreachable`, `timeout`, `not_trusted`, `not_tls`, `network`,
    and `not_found` for what is no address at all.
    """
    wire = Wire()
    thread = ThreadPoolExecutor(1, thread_name_prefix="ews-probe")
    timer = asyncio.get_running_loop().call_later(SECONDS, wire.end)
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, _reached, url, surroundings, wire)
    except EwsError as error:
        raise (EwsError("timeout") if wire.cut else error) from None
    finally:
        timer.cancel()
        wire.end()
        thread.shutdown(wait=False)


def offered(headers: Iterable[str]) -> tuple[str, ...]:
    """Return the ways to sign in that WWW-Authenticate headers offer, those known here, each once, best first."""
    words = {_MEANT[word.lower()] for header in headers for word in _OFFER.findall(_QUOTED.sub('""', header))}
    return tuple(scheme for scheme in ("oauth", "ntlm", "basic") if scheme in words)


def _reached(url: str, surroundings: Surroundings, wire: Wire) -> Reached:
    """Dial, agree on TLS, ask. Blocking."""
    parts = _parts(url)
    plain = parts.scheme == "http"
    port = parts.port or (80 if plain else 443)
    host = parts.hostname or ""
    reached = dial(host, port, surroundings, plain=plain)
    wire.hold(reached)
    reached.settimeout(SILENCE)
    try:
        if plain:
            return _asked(reached, parts, ("tcp", "http"))
        return _asked(_wrapped(reached, host, surroundings), parts, ("tcp", "tls", "http"))
    finally:
        reached.close()
        wire.let_go()


def _parts(url: str) -> SplitResult:
    """Return an address taken apart. Raises EwsError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port or 443) > 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise EwsError("not_found")
    return parts


def _wrapped(reached: socket.socket, host: str, surroundings: Surroundings) -> socket.socket:
    try:
        return secured(surroundings.ca_file).wrap_socket(reached, server_hostname=host)
    except OSError as error:
        raise tls_refusal(error) from None


def _asked(reached: socket.socket, parts: SplitResult, steps: tuple[str, ...]) -> Reached:
    """Send what every Exchange server answers, and read the answer's head."""
    headers = {"Content-Type": "text/xml; charset=utf-8", "User-Agent": user_agent(), "Connection": "close"}
    connection = http.client.HTTPConnection(parts.netloc.rpartition("@")[2])
    connection.sock = reached
    with closing(connection):
        try:
            connection.request("POST", parts.path or "/", body=soap(convert_id()), headers=headers)
            answer = connection.getresponse()
        except TimeoutError:
            raise EwsError("timeout") from None
        except (OSError, http.client.HTTPException, ValueError):
            raise EwsError("network") from None
        offers = answer.headers.get_all("WWW-Authenticate") or []
        return Reached(schemes=offered(offers), status=answer.status, steps=steps)
