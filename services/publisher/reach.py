"""Tells a database that cannot be reached, which is waited for, from a statement it refuses, which is our fault."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.errors import Retry

_REFUSED = (IntegrityError, ProgrammingError, DataError, NotSupportedError)


@asynccontextmanager
async def reached() -> AsyncIterator[None]:
    """Raise Retry (not counted) in place of what the driver says where the database cannot be reached."""
    try:
        yield
    except _REFUSED:
        raise
    except (DBAPIError, PoolTimeout, OSError) as error:
        raise Retry("store_unavailable", counted=False) from error
