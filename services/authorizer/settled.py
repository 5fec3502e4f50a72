"""Pure: what of a connection was asked for, what its verification settled, and whose calendars it reaches.

Nothing that a request says of the endpoint or the scheme counts: only a verification settles them.
"""

from typing import Literal
from urllib.parse import urlsplit

from msgspec.structs import replace

from shared.contracts.messages import Connection, EwsConnection, GraphConnection

Kind = Literal["graph", "ews"]


def kind_of(connection: Connection) -> Kind:
    """Return which of the two ways it is."""
    return "ews" if isinstance(connection, EwsConnection) else "graph"


def asked_for(connection: Connection) -> Connection:
    """Return a connection without what verification settles."""
    match connection:
        case EwsConnection(endpoint="", scheme="") | GraphConnection():
            return connection
        case EwsConnection():
            return replace(connection, endpoint="", scheme="")


def same(one: Connection, other: Connection) -> bool:
    """Say whether two connections ask for the same, whatever was settled of either."""
    return asked_for(one) == asked_for(other)


def whose(connection: Connection) -> str:
    """Return whose calendars a connection reaches, as far as it says: a tenant, or `ews:` and the server's host.

    Empty for a server that no verification has settled yet.
    """
    match connection:
        case GraphConnection(tenant_id=tenant_id):
            return tenant_id.lower()
        case EwsConnection(endpoint=""):
            return ""
        case EwsConnection(endpoint=endpoint):
            return f"ews:{(urlsplit(endpoint).hostname or '').lower()}"
