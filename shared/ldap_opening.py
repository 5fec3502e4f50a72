"""Opens a connection to a directory: to an address that was checked, under TLS for the name that was asked for.

It refuses to hand out a connection without TLS. The library is given, because one module alone imports it.
"""

import ssl
from typing import Any, Final
from urllib.parse import urlsplit

from shared.ews.dialling import MOST, Surroundings, Wire, resolve
from shared.ldap_line import LdapError, broken, tls_context

CONNECT_SECONDS: Final = 10
RECEIVE_SECONDS: Final = 30
_PORTS: Final = {"ldap": 389, "ldaps": 636}
_TRY_NEXT: Final = frozenset({"unreachable", "timeout"})


def dialled(library: Any, url: str, surroundings: Surroundings, wire: Wire) -> Any:
    """Return ldap3's connection to the first address of an ldap:// or ldaps:// URL that answers; nobody is signed in.

    From the first byte on `wire` can end it: a server that says a little now and then must not keep the thread. Raises
    LdapError, and EwsError for a name that is not known or an address that must not be reached.
    """
    scheme, host, port = _place(url)
    context, last = tls_context(surroundings.ca_file), LdapError("unreachable")
    for _, address in resolve(host, port, surroundings)[:MOST]:
        try:
            return _opened(library, address, _wrapping(library, context, host, wire), wire, at_once=scheme == "ldaps")
        except LdapError as error:
            wire.let_go()
            if wire.cut or error.reason not in _TRY_NEXT:
                raise
            last = error
    raise last


def _place(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:  # brackets that hold no address, a port that is none
        raise LdapError("name_unknown") from None
    if not host:
        raise LdapError("name_unknown")
    return scheme, host, port or _PORTS[scheme]


def _wrapping(library: Any, context: ssl.SSLContext, host: str, wire: Wire) -> Any:
    """Return TLS as ldap3 takes it, verified by us: its own way asks for a function that Python 3.12 has no more."""
    tls = library.Tls()

    def wrap(connection: Any, do_handshake: bool = True) -> None:  # noqa: FBT001, FBT002 -- ldap3 calls it so
        wire.hold(connection.socket)
        connection.socket = context.wrap_socket(
            connection.socket, do_handshake_on_connect=do_handshake, server_hostname=host
        )

    tls.wrap_socket = wrap
    return tls


def _opened(library: Any, address: Any, tls: Any, wire: Wire, *, at_once: bool) -> Any:
    server = library.Server(
        address[0], port=address[1], use_ssl=at_once, tls=tls, get_info=library.NONE,
        connect_timeout=CONNECT_SECONDS, allowed_referral_hosts=[],
    )  # fmt: skip
    connection = library.Connection(
        server, authentication=library.SIMPLE, auto_referrals=False, auto_range=False, auto_escape=False,
        check_names=False, read_only=True, receive_timeout=RECEIVE_SECONDS,
    )  # fmt: skip
    try:
        connection.open(read_server_info=False)
        if not at_once:
            wire.hold(connection.socket)
            _start_tls(connection, library)
    except (LdapError, library.core.exceptions.LDAPException) as error:
        if connection.socket is not None:  # the library leaves it open
            connection.socket.close()
        raise error if isinstance(error, LdapError) else _named(error, "unreachable") from None
    return connection


def _start_tls(connection: Any, library: Any) -> None:
    try:
        started = connection.start_tls(read_server_info=False)
    except library.core.exceptions.LDAPException as error:
        raise _named(error, "tls_refused") from None
    if not started or not isinstance(connection.socket, ssl.SSLSocket):
        raise LdapError("tls_refused")


def _named(error: Exception, otherwise: str) -> LdapError:
    found = broken(error)
    return LdapError(otherwise) if found.reason == "network" else found
