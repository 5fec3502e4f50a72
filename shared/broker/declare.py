"""Makes the topology exist on a broker, through kombu and blocking: to be called in a thread.

It looks first and declares only what is missing, so that a user who may not declare is enough where all exists.
"""

import ssl
from collections.abc import Callable
from typing import Any

import kombu
from amqp.exceptions import AccessRefused, NotFound

from shared.broker import topology
from shared.broker.address import Address

HEARTBEAT = 10  # seconds; a paused broker is noticed after two


def connect(address: Address) -> kombu.Connection:
    """Open a kombu connection. Raises OSError or an amqp error."""
    connection = kombu.Connection(
        transport="pyamqp",
        hostname=address.host,
        port=address.port,
        userid=address.user,
        password=address.password,
        virtual_host=address.vhost,
        ssl=_tls(address),
        login_method="PLAIN",
        connect_timeout=5,
        heartbeat=HEARTBEAT,
        transport_options={"read_timeout": 20, "write_timeout": 5, "client_properties": {"connection_name": "busyline"}},
    )
    connection.connect()
    return connection


def _tls(address: Address) -> Any:
    if address.tls is None:
        return False
    return {
        "ca_certs": address.tls.authorities or None,
        "certfile": address.tls.certificate or None,
        "keyfile": address.tls.key or None,
        "server_hostname": address.host,
        "tls_minimum_version": ssl.TLSVersion.TLSv1_2,
    }


def ensure(address: Address) -> None:
    """Connect, make the topology exist, close."""
    connection = connect(address)
    try:
        topology_on(connection)
    finally:
        connection.close()


def topology_on(connection: kombu.Connection) -> None:
    """Make the topology exist. Raises an amqp error where it is missing and may not be declared."""
    channels = _Channels(connection)
    for name, kind in topology.EXCHANGES.items():
        exchange = kombu.Exchange(name, type=kind, durable=True)
        channels.either(lambda channel, it=exchange: it(channel).declare(passive=True), lambda channel, it=exchange: it(channel).declare())
    for name, arguments in topology.queue_arguments().items():
        queue = kombu.Queue(name, durable=True, queue_arguments=arguments)
        channels.either(
            lambda channel, it=queue: it(channel).queue_declare(passive=True),
            lambda channel, it=queue: it(channel).queue_declare(),
        )
    for exchange_name, key, queue_name in topology.bindings():
        channels.attempt(
            lambda channel, to=queue_name, via=exchange_name, key=key: channel.queue_bind(to, via, key), AccessRefused
        )
    channels.close()


class _Channels:
    """A channel, opened anew whenever the broker closes it for asking after something missing."""

    def __init__(self, connection: kombu.Connection) -> None:
        self._connection = connection
        self._channel = connection.channel()

    def either(self, look: Callable[[Any], object], make: Callable[[Any], object]) -> None:
        if not self.attempt(look, NotFound):
            make(self._channel)

    def attempt(self, ask: Callable[[Any], object], refusal: type[Exception]) -> bool:
        try:
            ask(self._channel)
        except refusal:
            self._channel = self._connection.channel()
            return False
        return True

    def close(self) -> None:
        self._channel.close()
