"""Makes the topology exist on a broker, through kombu and blocking: to be called in a thread.

It looks first and declares only what is missing, so that a user who may not declare is enough where all exists.
"""

import ssl
from functools import partial
from typing import Any

from amqp.exceptions import AccessRefused, NotFound

from shared.broker import topology
from shared.broker.address import Address
from shared.broker.untyped import Connection, Exchange, Queue

HEARTBEAT = 10  # seconds; a broker that hangs is noticed after two


def connect(address: Address) -> Any:
    """Open a kombu connection. Raises OSError or an amqp error."""
    connection = Connection(
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
        transport_options={
            "read_timeout": 20,
            "write_timeout": 5,
            "client_properties": {"connection_name": "busyline"},
        },
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


def topology_on(connection: Any) -> None:
    """Make the topology exist. Raises an amqp error where it is missing and may not be declared."""
    channels = _Channels(connection)
    for name, kind in topology.EXCHANGES.items():
        channels.exchange(Exchange(name, type=kind, durable=True))
    arguments = topology.queue_arguments()
    made = {name for name in arguments if channels.queue(Queue(name, durable=True, queue_arguments=arguments[name]))}
    bindings = topology.bindings()
    for exchange, key, queue in bindings:
        if queue in made:
            channels.bind(exchange, key, queue)
    # An older version's queues may lack a binding of this one; who may not bind must trust that they do not.
    all(channels.bound(*binding) for binding in bindings if binding[2] not in made)
    channels.close()


class _Channels:
    """A channel, opened anew whenever the broker closes it for asking after something missing."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._channel = connection.channel()

    def exchange(self, exchange: Any) -> None:
        if not self._tried(partial(exchange(self._channel).declare, passive=True), NotFound):
            exchange(self._channel).declare()

    def queue(self, queue: Any) -> bool:
        """Say whether it was missing and has been made."""
        if self._tried(partial(queue(self._channel).queue_declare, passive=True), NotFound):
            return False
        queue(self._channel).queue_declare()
        return True

    def bind(self, exchange: str, key: str, queue: str) -> None:
        self._channel.queue_bind(queue, exchange, key)

    def bound(self, exchange: str, key: str, queue: str) -> bool:
        """Bind, which changes nothing where it is bound; say whether one may."""
        return self._tried(partial(self.bind, exchange, key, queue), AccessRefused)

    def _tried(self, ask: Any, refusal: type[Exception]) -> bool:
        try:
            ask()
        except refusal:
            self._channel = self._connection.channel()
            return False
        return True

    def close(self) -> None:
        self._channel.close()
