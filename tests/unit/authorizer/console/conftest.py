"""The setup page over the fakes of the authorizer's tests, with an admin signed in."""

from collections.abc import AsyncIterator

import pytest

from services.authorizer.desk import Desk
from tests.unit.authorizer.console.visiting import Console, visited


@pytest.fixture
async def stranger(desk: Desk) -> AsyncIterator[Console]:
    """A browser at the setup page that nobody is signed in with."""
    async with visited(desk) as console:
        yield console


@pytest.fixture
async def console(stranger: Console) -> Console:
    """A browser signed in as an admin of the org `acme`, which is not connected yet."""
    await stranger.enter()
    return stranger
