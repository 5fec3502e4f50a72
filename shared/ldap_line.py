"""What a directory gave instead of an answer, in fixed words, and what a connection to it may cost.

It refuses more than so many bytes for one question, and any name of a server but the one that was asked for.
"""

import ssl
from typing import Final

# For one page of a search: one of 500 mailboxes is about 500 kB. The library takes time by the square of what one
# message holds: 32 MB would be a minute.
MOST_BYTES: Final = 8 * 2**20

REASONS: Final = {
    "name_unknown": "the host name cannot be resolved",
    "address_refused": "the host resolves to an address that must not be reached (loopback, link-local, metadata)",
    "unreachable": "nothing answers at the address and port",
    "timeout": "no answer, or no end of it, in time",
    "network": "the connection broke",
    "not_trusted": "the certificate is not trusted here, or for another name",
    "tls_refused": "the server does not speak TLS, or refuses StartTLS",
    "no_password": "there is no user and password to bind with",
    "bind_refused": "wrong password, or a locked, disabled or expired account",
    "base_unknown": "no such place in the directory as the search shall begin at",
    "group_unknown": "no such group in the directory",
    "referred": "the directory names another server, which is not followed",
    "search_refused": "the account may not search, or the server does not take the search",
    "search_limited": "the server gives no more than its limit, so that the search has no end",
    "directory_busy": "the server has no time at present",
    "malformed": "what answers does not speak LDAP",
    "too_large": "the answer is larger than any that is asked for",
}
# Result codes of RFC 4511 appendix A.1; every other one is a search refused.
_RESULTS: Final = {
    3: "directory_busy",
    4: "search_limited",
    8: "search_refused",
    10: "referred",
    11: "search_limited",
    32: "base_unknown",
    34: "base_unknown",
    49: "bind_refused",
    50: "search_refused",
    51: "directory_busy",
    52: "directory_busy",
}
_BIND_RESULTS: Final = {8: "tls_refused", 13: "tls_refused", 51: "directory_busy", 52: "directory_busy"}


class LdapError(Exception):
    """No answer of the directory, or a refusal. `reason` is one of REASONS."""

    def __init__(self, reason: str) -> None:
        """Take a fixed word: it may be logged."""
        super().__init__(reason)
        self.reason = reason


class TooLarge(OSError):  # noqa: N818 -- it says what was found
    """More was sent for one question than any answer takes."""


class BoundedSocket(ssl.SSLSocket):
    """A TLS socket that gives so many bytes and no more, until `left` is set again."""

    left: int = MOST_BYTES

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return what came. Raises TooLarge (an OSError, as sockets do) once it is too much."""
        data = super().recv(buflen, flags)
        self.left -= len(data)
        if self.left < 0:
            raise TooLarge
        return data


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return what verifies a directory: the system's CAs, and a private one where `ca_file` names it."""
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        made.load_verify_locations(ca_file)
    made.sslsocket_class = BoundedSocket
    return made


def refused_search(code: int, *, otherwise: str = "search_refused") -> LdapError:
    """Return what a result code of a search means."""
    return LdapError(_RESULTS.get(code, otherwise))


def refused_bind(code: int) -> LdapError:
    """Return what a result code of a bind means: that the password is wrong, unless it says otherwise."""
    return LdapError(_BIND_RESULTS.get(code, "bind_refused"))


def broken(error: Exception) -> LdapError:
    """Return what an exception on the way to a directory means; its text is dropped."""
    match error:
        case TooLarge():
            return LdapError("too_large")
        case ssl.SSLCertVerificationError():
            return LdapError("not_trusted")
        case ssl.SSLError():
            return LdapError("tls_refused")
        case TimeoutError():
            return LdapError("timeout")
    return LdapError("network")
