"""Throwaway RabbitMQ, PostgreSQL and OpenLDAP for tests: from programs here, or from containers; loopback only.

Servers that run on this machine already are never touched; an existing one is used only through the environment
(see conftest).
"""

from tests.container import Container
from tests.postgres_server import PostgresServer, answers_sql, execute
from tests.processes import Unavailable, free_port
from tests.rabbit_server import RabbitServer, empty, speaks_amqp
from tests.slapd_server import SlapdServer

__all__ = [
    "Container",
    "PostgresServer",
    "RabbitServer",
    "SlapdServer",
    "Unavailable",
    "empty",
    "execute",
    "free_port",
    "postgres_server",
    "rabbit_server",
]


def rabbit_server() -> RabbitServer | Container:
    """Return a RabbitMQ of one's own, not started. Raises Unavailable."""
    try:
        return RabbitServer()
    except Unavailable:
        return Container(
            "rabbitmq:4-alpine",
            port=5672,
            url="amqp://guest:guest@127.0.0.1:{port}/",
            environment={},
            ready=lambda url: speaks_amqp(int(url.rpartition(":")[2].rstrip("/"))),
        )


def postgres_server(*, durable: bool = False) -> PostgresServer | Container:
    """Return a PostgreSQL of one's own, not started; `durable` survives a kill. Raises Unavailable."""
    try:
        return PostgresServer(durable=durable)
    except Unavailable:
        return Container(
            "postgres:17-alpine",
            port=5432,
            url="postgresql://busyline@127.0.0.1:{port}/postgres",
            environment={"POSTGRES_USER": "busyline", "POSTGRES_HOST_AUTH_METHOD": "trust"},
            ready=answers_sql,
        )
