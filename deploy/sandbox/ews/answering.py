"""Answers POST /EWS/Exchange.asmx: sign-in, reading, whom it is for, faults on order, the operation; in this order.

It knows no operation itself; what none of its tables holds, or this server is told to lack, is refused with a fault.
"""

import gzip
from collections.abc import Mapping
from typing import Any

from deploy.sandbox.answers import Answer, Ask, Streamed
from deploy.sandbox.directory import Person
from deploy.sandbox.ews import (
    availability,
    directory_ops,
    faults,
    folders,
    items,
    responses,
    scopes,
    server_ops,
    sign_in,
    soap,
    streaming,
    sync,
)
from deploy.sandbox.ews.call import Account, EwsCall, Failed, Operation, SoapFault
from deploy.sandbox.state import State

ENDPOINT = "EWS"  # under this name the requests in flight are counted, whoever they are for
_WORTH_PACKING = 4096  # bytes

OPERATIONS: Mapping[str, Operation] = {
    **items.OPERATIONS,
    **sync.OPERATIONS,
    **availability.OPERATIONS,
    **folders.OPERATIONS,
    **server_ops.OPERATIONS,
    **directory_ops.OPERATIONS,
    **streaming.OPERATIONS,
}


async def answer(state: State, ask: Ask, channel: dict[str, Any]) -> Answer:
    """Answer one request; `channel` is what its connection has agreed on. Never raises."""
    state.counts.total += 1
    try:
        made = await _for_somebody(state, ask, channel)
    except SoapFault as refused:
        made = _seen(state, soap.fault(state, refused))
    state.counts.statuses[made.status] += 1
    return _packed(made, ask)


async def _for_somebody(state: State, ask: Ask, channel: dict[str, Any]) -> Answer:
    """Answer those who are signed in; the others are turned away without a look at what they ask."""
    account = sign_in.signed_in(state, ask, channel)
    if isinstance(account, Answer):
        state.counts.kinds[f"{ENDPOINT} sign-in"] += 1
        return account
    if ask.method != "POST":
        state.counts.kinds[f"{ENDPOINT} {ask.method}"] += 1
        return Answer(status=405, headers={"Allow": "POST"}, content_type="text/html; charset=utf-8")
    request = soap.parse(ask.body)
    state.counts.kinds[f"{ENDPOINT} {request.name}"] += 1
    tenant = state.tenants[account.tenant_id]
    acting = scopes.acting(state, tenant, account, request.impersonated, request.kind)
    call = EwsCall(
        state=state, tenant=tenant, account=account, acting=acting, request=request.operation, headers=ask.headers
    )
    names = _names(account, acting)
    _enter(state, names[0])
    try:
        return await faults.struck(state, ask, request.name, names, lambda: _served(call))
    finally:
        _leave(state, names[0])


def _names(account: Account, acting: Person | None) -> tuple[str, ...]:
    """Return what a request is counted under, and what else names its mailbox: the account's name where it has none."""
    if acting is None:
        return (account.name.lower(),)
    return (acting.address, acting.user_id, acting.upn.lower())


def _enter(state: State, name: str) -> None:
    counts = state.counts
    counts.enter(name)
    counts.in_flight[ENDPOINT] += 1
    counts.peaks[ENDPOINT] = max(counts.peaks.get(ENDPOINT, 0), counts.in_flight[ENDPOINT])


def _leave(state: State, name: str) -> None:
    state.counts.leave(name)
    state.counts.in_flight[ENDPOINT] -= 1
    if not state.counts.in_flight[ENDPOINT]:
        del state.counts.in_flight[ENDPOINT]


async def _served(call: EwsCall) -> Answer:
    """Carry an operation out. Raises SoapFault."""
    operation = OPERATIONS.get(call.operation)
    if operation is None or call.operation in call.state.ews.manners.without:
        raise SoapFault("ErrorInvalidRequest", "The request is invalid.")
    try:
        made = operation(call)
    except Failed as failed:
        made = responses.refused(call.operation, failed)
    return made if isinstance(made, Answer) else _seen(call.state, soap.answer(call.state, made))


def _seen(state: State, made: Answer) -> Answer:
    """Show an answer to whoever wants to see them all, before anything spoils it."""
    if state.ews_seen is not None:
        state.ews_seen(made.body)
    return made


def _packed(made: Answer, ask: Ask) -> Answer:
    """Return an answer as it is sent: packed where it is large and the client says that it can unpack."""
    wanted = "gzip" in ask.headers.get("accept-encoding", "").lower()
    if not wanted or len(made.body) < _WORTH_PACKING or isinstance(made, Streamed):
        return made
    return Answer(
        status=made.status,
        body=gzip.compress(made.body, compresslevel=1),
        headers={**made.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"},
        content_type=made.content_type,
        dropped=made.dropped,
    )
