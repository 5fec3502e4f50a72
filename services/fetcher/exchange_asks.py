"""What the readers need of an Exchange server: one way to ask it."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from shared.ews.envelopes import Envelope

T = TypeVar("T")


class Asks(Protocol):
    """One server under one credential."""

    async def ask(self, envelope: Envelope, decode: Callable[[Iterable[bytes]], T]) -> T:
        """Return the decoded answer. Raises EwsError and IdentityError."""
        ...
