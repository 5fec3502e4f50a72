"""Tells a database that cannot be reached, which is waited for, from a statement it refuses, which is our fault."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from asyncpg.exceptions import InsufficientResourcesError, OperatorInterventionError, PostgresConnectionError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.errors import Retry

_REFUSED: Final = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
# What asyncpg says while a connection is made passes SQLAlchemy untranslated: starting up, shutting down, too many.
_CONNECTING: Final = (OperatorInterventionError, InsufficientResourcesError, PostgresConnectionError)


@asynccontextmanager
async def reached() -> AsyncIterator[None]:
    """Raise Retry("store_unavailable"), not counted, in place of what the driver says where there is no database."""
    try:
        yield
    except _REFUSED:
        raise
    except (DBAPIError, PoolTimeout, OSError, *_CONNECTING) as error:
        raise Retry("store_unavailable", counted=False) from error
