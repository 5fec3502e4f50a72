"""Takes one claimed org from its claim to its verdict: accepted, refused with a sentence, or put off."""

import asyncio
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from services.authorizer import exchange, verdicts
from services.authorizer.exchange_doors import Exchange
from services.authorizer.exchange_doors import Question as ExchangeQuestion
from services.authorizer.preflight import NEEDED
from services.authorizer.refusals import Refusal
from services.authorizer.settings import Settings
from services.authorizer.settled import whose
from services.authorizer.verdicts import TAKEN, Claim, Times
from services.authorizer.verify import Microsoft, Question, verify
from shared import clock, logs
from shared.clouds import Cloud, cloud
from shared.connections import credential_of
from shared.contracts.messages import Connection, EwsConnection, GraphConnection
from shared.contracts.policy import Detail, Scope
from shared.contracts.values import Instant
from shared.errors import Reject, Retry
from shared.ews.credential import EwsCredential
from shared.identity import GraphCredential
from shared.store import Store
from shared.vault import Vault, VaultError

LONGEST: Final = 90  # seconds a verification may take; less than its claim
PAUSE_AT_MOST: Final = 300  # seconds between tries, unless Microsoft orders more


class Desk(Struct, frozen=True, kw_only=True):
    """What a verification needs. `tries` counts those put off in a row, by org."""

    store: Store
    vault: Vault
    microsoft: Microsoft
    exchange: Exchange
    settings: Settings
    sandbox_url: str = ""
    tries: dict[str, int] = {}


async def settle(desk: Desk, claimed: Claim) -> None:
    """Verify an org and store the verdict."""
    log = logs.get("authorizer").bind(org_id=claimed.org_id)
    try:
        async with asyncio.timeout(LONGEST):
            connection, tenant_id = await _verified(desk, claimed)
        times = _times(desk, clock.now())
        outcome = await verdicts.accept(desk.store, claimed, tenant_id=tenant_id, times=times, settled=connection)
        if outcome == TAKEN:
            raise Refusal(TAKEN)  # noqa: TRY301 -- one way for every refusal
    except Refusal as refusal:
        await _refuse(desk, claimed, refusal)
    except (Retry, TimeoutError) as error:
        reason = error.reason if isinstance(error, Retry) else "verification_timeout"
        await _put_off(desk, claimed, reason=reason, ordered=error.after if isinstance(error, Retry) else 0.0)
        return
    except Exception as error:  # noqa: BLE001 -- one org's failure is not another's; it is tried again
        logs.get("authorizer").error("org.failed", org_id=claimed.org_id, **logs.failure(error))
        await _put_off(desk, claimed, reason="bug", ordered=60.0)
        return
    else:
        log.info("org.verified", outcome=outcome)
    desk.tries.pop(claimed.org_id, None)


async def _refuse(desk: Desk, claimed: Claim, refusal: Refusal) -> None:
    """Store a refusal; a tenant that is another org's is not asked for again by itself."""
    times = _times(desk, clock.now())
    if refusal.reason == TAKEN:
        times = replace(times, refused=None)
    outcome = await verdicts.refuse(desk.store, claimed, reason=refusal.reason, code=refusal.code, times=times)
    log = logs.get("authorizer").bind(org_id=claimed.org_id)
    log.warning("org.refused", outcome=outcome, reason=refusal.reason, status=refusal.code)


def _times(desk: Desk, now: Instant) -> Times:
    return Times(
        now=now,
        connected=now + desk.settings.verify_every,
        attention=now + desk.settings.retry_attention,
        refused=now + desk.settings.retry_refused,
    )


async def _verified(desk: Desk, claimed: Claim) -> tuple[Connection, str]:
    """Return the connection with what was settled of it, and whose calendars it reaches. Raises Refusal or Retry."""
    connection = claimed.connection
    try:
        where = cloud(connection.cloud, sandbox_url=desk.sandbox_url)
        match connection:
            case GraphConnection():
                return connection, await _of_graph(desk, connection, where, scope=claimed.policy.scope)
            case EwsConnection():
                settled = await _of_exchange(desk, connection, where, detail=claimed.policy.detail)
                return settled, whose(settled)
    except Reject as error:
        raise Refusal(error.reason) from None
    except VaultError:
        raise Refusal("credential_unreadable") from None


async def _of_graph(desk: Desk, connection: GraphConnection, where: Cloud, *, scope: Scope) -> str:
    """Return the tenant's id."""
    credential = await credential_of(desk.store, desk.vault, connection.credential, GraphCredential)
    if credential is None:
        raise Refusal("credential_missing")
    question = Question(tenant_id=connection.tenant_id, cloud=where, credential=credential, scope=scope)
    return (await verify(question, desk.microsoft, now=clock.now())).tenant_id


async def _of_exchange(desk: Desk, connection: EwsConnection, where: Cloud, *, detail: Detail) -> EwsConnection:
    """Return the connection with its endpoint and scheme settled."""
    credential = await credential_of(desk.store, desk.vault, connection.credential, EwsCredential)
    if credential is None:
        raise Refusal("credential_missing")
    question = ExchangeQuestion(connection=connection, credential=credential, cloud=where, needs=NEEDED[detail])
    return await exchange.verified(question, desk.exchange, now=clock.now())


async def _put_off(desk: Desk, claimed: Claim, *, reason: str, ordered: float) -> None:
    tries = desk.tries[claimed.org_id] = desk.tries.get(claimed.org_id, 0) + 1
    pause = int(max(ordered, min(5 * 2 ** min(tries - 1, 10), PAUSE_AT_MOST)))
    await verdicts.put_off(desk.store, claimed, reason=reason, until=clock.now() + pause)
    logs.get("authorizer").info("org.put_off", org_id=claimed.org_id, reason=reason, after=pause, attempt=tries)
