"""What the sign-in of people knows: codes given out, who signed in last, and what was ordered to go wrong.

A code is taken once, within a minute, by the app and for the address it was given for.
"""

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from deploy.sandbox.personas import Persona
from shared.contracts.values import Instant

CODE_LIFETIME = 60  # seconds; Entra's live a little longer


class Step(StrEnum):
    """Where on the way an error can be ordered."""

    SIGN_IN = "sign_in"  # the redirect from the sign-in page
    TOKEN = "token"  # the answer to the code  # noqa: S105 -- a step's name
    CONSENT = "consent"  # the redirect from the consent page


class Misstep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One error on order: at which step, in OAuth's word, with which AADSTS number (0: none), how often."""

    step: Step
    error: Annotated[str, Meta(min_length=1, max_length=64)]
    code: Annotated[int, Meta(ge=0, description="The AADSTS number; 0: none is named.")] = 0
    message: str = "Ordered."
    times: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="How often; none: for ever.")] = 1


class Spoiling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How ID tokens are to be wrong: claims put in place of the right ones, claims left out, another key."""

    claims: dict[str, Any] = {}
    without: tuple[str, ...] = ()
    foreign_key: bool = False


class Code(Struct, frozen=True, kw_only=True):
    """What an authorization code stands for."""

    persona: Persona
    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str
    expires: Instant


class SignIns:
    """The sign-in of people in one sandbox."""

    def __init__(self, *, interactive: bool) -> None:
        """Take whether consent is asked of a person, or answered at once."""
        self.interactive = interactive
        self.codes: dict[str, Code] = {}
        self.redeemed: set[str] = set()
        self.last: Persona | None = None
        self.spoiling = Spoiling()
        self._orders: list[tuple[Misstep, int]] = []

    def order(self, misstep: Misstep) -> None:
        """Have a step go wrong, in the order in which this was asked for."""
        self._orders.append((misstep, 0))

    def strike(self, step: Step) -> Misstep | None:
        """Return the first error on order for a step, counting it."""
        for place, (misstep, struck) in enumerate(self._orders):
            if misstep.step is step and (misstep.times is None or struck < misstep.times):
                self._orders[place] = (misstep, struck + 1)
                return misstep
        return None

    def clear(self) -> None:
        """Let everything go right again."""
        self._orders.clear()
        self.spoiling = Spoiling()
