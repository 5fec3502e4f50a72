"""A broker's URL taken apart once, for both client libraries. No error quotes any of it."""

import ssl
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct

from shared.config import SettingsError


class Tls(Struct, frozen=True, kw_only=True):
    """Files of an encrypted connection; an empty `authorities` means the system's."""

    authorities: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """Return a context that checks the server's certificate and name. Raises OSError for a file not readable."""
        context = ssl.create_default_context(cafile=self.authorities or None)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


class Address(Struct, frozen=True, kw_only=True):
    """Where RabbitMQ is and how one enters. `tls` is None where the connection is not encrypted."""

    host: str
    port: int
    user: str
    password: str
    vhost: str
    tls: Tls | None = None

    def __repr__(self) -> str:
        return "Address(***)"


def parse(url: str) -> Address:
    """Read `amqp://user:password@host:port/vhost` or `amqps://...`; the vhost is `/` where none is named.

    `amqps` takes `?cacertfile=`, `certfile=` and `keyfile=`, as RabbitMQ's own URLs do. Raises SettingsError.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError("the broker URL cannot be read") from None
    if parts.scheme not in {"amqp", "amqps"} or not parts.hostname:
        raise SettingsError("a broker URL begins with amqp://, amqps:// or memory://")
    encrypted = parts.scheme == "amqps"
    return Address(
        host=parts.hostname,
        port=port or (5671 if encrypted else 5672),
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        vhost=unquote(parts.path[1:]) or "/",
        tls=_tls(parts.query) if encrypted else None,
    )


def _tls(query: str) -> Tls:
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    tls = Tls(
        authorities=given.get("cacertfile", ""), certificate=given.get("certfile", ""), key=given.get("keyfile", "")
    )
    try:
        tls.context()
    except OSError:
        raise SettingsError("a certificate or key named in the broker URL cannot be read") from None
    return tls
