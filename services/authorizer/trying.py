"""Edge: can this one mailbox be read now? One attempt through the doors of verification, as the org's policy reads it.

It keeps nothing of what it reads, and says in a fixed word why it could not.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from services.authorizer import candidates
from services.authorizer.boxes import Box
from services.authorizer.desk import Desk
from services.authorizer.exchange_doors import Asks
from services.authorizer.exchange_doors import Question as ExchangeQuestion
from services.authorizer.exchange_reasons import failed
from services.authorizer.orgs import OrgState
from services.authorizer.refusals import Refusal, of_identity
from shared.clouds import Cloud, cloud
from shared.connections import credential_of
from shared.contracts.messages import EwsConnection, GraphConnection
from shared.contracts.policy import Detail
from shared.contracts.values import DAY, Instant, Window
from shared.errors import Reject, Retry
from shared.ews import envelopes
from shared.ews.availability import Answered, availability
from shared.ews.calendar_view import view
from shared.ews.credential import EwsCredential
from shared.ews.errors import EwsError
from shared.identity import GraphCredential, IdentityError
from shared.vault import VaultError

LONGEST: Final = 45  # seconds that an admin waits for the answer
LATE: Final = "verification_timeout"


async def tried(desk: Desk, state: OrgState, box: Box, *, now: Instant) -> str:
    """Read one day of a mailbox's calendar; return "" where that went well, else the reason in a fixed word.

    Only for an org in force: a sign-in that was refused must not be tried again, for that locks accounts.
    """
    try:
        async with asyncio.timeout(LONGEST):
            where = cloud(state.connection.cloud, sandbox_url=desk.sandbox_url)
            match state.connection:
                case GraphConnection() as connection:
                    await _by_graph(desk, connection, where, mailbox_id=box.mailbox_id, now=now)
                case EwsConnection() as connection:
                    details = state.policy.detail is Detail.DETAILS
                    ask = partial(_view if details else _free_busy, address=box.address, now=now)
                    return await _by_exchange(desk, connection, where, ask=ask, impersonated=details)
    except (Refusal, Retry, Reject) as outcome:
        return outcome.reason
    except VaultError:
        return "credential_unreadable"
    except TimeoutError:
        return LATE
    return ""


async def _by_graph(desk: Desk, connection: GraphConnection, where: Cloud, *, mailbox_id: str, now: Instant) -> None:
    """Read it through Graph. Raises Refusal or Retry."""
    credential = await credential_of(desk.store, desk.vault, connection.credential, GraphCredential)
    if credential is None:
        raise Refusal("credential_missing")
    try:
        token = await desk.microsoft.tokens.token(tenant_id=connection.tenant_id, cloud=where, credential=credential)
    except IdentityError as error:
        raise of_identity(error) from None

    async def same_token() -> str:
        return token

    await candidates.read(desk.microsoft.graph(where, same_token), mailbox_id, now=now)


async def _by_exchange(
    desk: Desk, connection: EwsConnection, where: Cloud, *, ask: Callable[[Asks], Awaitable[None]], impersonated: bool
) -> str:
    credential = await credential_of(desk.store, desk.vault, connection.credential, EwsCredential)
    if credential is None:
        return "credential_missing"
    question = ExchangeQuestion(connection=connection, credential=credential, cloud=where, needs=frozenset())
    door = desk.exchange.door(question, connection.endpoint, connection.scheme)
    try:
        await ask(door)
    except (EwsError, IdentityError) as error:
        return failed("view", error, scheme=connection.scheme, settled=True, impersonated=impersonated).reason
    finally:
        door.close()
    return ""


async def _view(door: Asks, address: str, now: Instant) -> None:
    """Read the UTC day, times alone. Raises EwsError and IdentityError."""
    start = now - now % DAY
    await door.ask(envelopes.calendar_view(address, Window(start, start + DAY), details=False), view)


async def _free_busy(door: Asks, address: str, now: Instant) -> None:
    """Ask when the mailbox is busy, as it is read under free/busy only. Raises EwsError and IdentityError."""
    start = now - now % DAY
    envelope = envelopes.free_busy([address], Window(start, start + 2 * DAY))
    answers: tuple[Answered, ...] = await door.ask(envelope, availability)
    if len(answers) != 1:
        raise EwsError("malformed")
    if answers[0].error is not None:
        raise answers[0].error
