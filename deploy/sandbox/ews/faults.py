"""Answers EWS wrongly or late where a fault is on order, in the forms in which Exchange and what lies before it fail.

It strikes those who signed in; what it does not strike is served as it is.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from urllib.parse import unquote

from deploy.sandbox.answers import Answer, Ask, Streamed
from deploy.sandbox.ews import responses, sign_in, soap
from deploy.sandbox.ews.call import Failed, SoapFault
from deploy.sandbox.faults import PAGE, Fault, FaultKind, RetryForm, retry_after
from deploy.sandbox.state import State

Serve = Callable[[], Awaitable[Answer]]
_BUSY = "The server cannot service this request right now. Try again later."
_INTERNAL = "An internal server error occurred. Try again later."
_WORDS = {
    "ErrorMailboxMoveInProgress": "The mailbox is being moved.",
    "ErrorMailboxStoreUnavailable": "The mailbox database is temporarily unavailable.",
    "ErrorADUnavailable": "The Active Directory service is not available. Try your request again later.",
    "ErrorExceededConnectionCount": "You have exceeded the available concurrent connections for your account.",
    "ErrorInternalServerError": _INTERNAL,
    "ErrorTimeoutExpired": "The request did not finish within the allotted time.",
}
_DIALLED = (RetryForm.HTTP, RetryForm.FRACTION, RetryForm.DATE)


async def struck(state: State, ask: Ask, operation: str, names: tuple[str, ...], serve: Serve) -> Answer:
    """Answer with what `serve` gives, wrongly or late where a fault is on order.

    A fault sees the request as `/EWS/Exchange.asmx?<operation>&<mailbox>`; `names` are those of the mailbox, the first
    one its address. Raises SoapFault.
    """
    fault = _ordered(state, ask, operation, names) if state.faults.orders else None
    late = fault.seconds if fault is not None and fault.kind is FaultKind.SLOW else 0.0
    if state.options.latency + late:
        await asyncio.sleep(state.options.latency + late)
    if fault is None or fault.kind is FaultKind.SLOW:
        return await serve()
    if fault.kind in {FaultKind.TRUNCATED, FaultKind.MIDWAY}:
        return _cut(await serve())
    return _throttled(state, operation, fault) if fault.kind is FaultKind.THROTTLE else _wrong(state, ask, fault)


def _wrong(state: State, ask: Ask, fault: Fault) -> Answer:
    match fault.kind:
        case FaultKind.HTML:
            return Answer(body=PAGE, content_type=sign_in.HTML)
        case FaultKind.UNAUTHORIZED:
            return sign_in.challenge(state, ask)
        case FaultKind.DROP:
            return Answer(status=503, dropped=True)
        case _:
            return _failed(fault)


def _ordered(state: State, ask: Ask, operation: str, names: tuple[str, ...]) -> Fault | None:
    subject = f"{unquote(ask.path)}?{operation}&{names[0] if names else ''}"
    return state.faults.strike(subject, names=names)


def _throttled(state: State, operation: str, fault: Fault) -> Answer:
    """Say that the server is busy: a fault with the pause in milliseconds unless another form is ordered."""
    back_off = {"BackOffMilliseconds": str(round(fault.seconds * 1000))}
    if fault.retry_form in _DIALLED:
        headers = retry_after(fault, state.clock())
        return Answer(status=503, body=PAGE, headers=headers, content_type=sign_in.HTML)
    if fault.retry_form is not RetryForm.INNER:
        code = fault.code or "ErrorServerBusy"
        raise SoapFault(code, _BUSY, values=back_off if fault.retry_form is RetryForm.INTEGER else {})
    inner = {
        "InnerErrorMessageText": _BUSY,
        "InnerErrorResponseCode": fault.code or "ErrorServerBusy",
        "InnerErrorDescriptiveLinkKey": "0",
    }
    failed = Failed("ErrorInternalServerError", _INTERNAL, values=inner | back_off)
    return soap.answer(state, responses.refused(operation, failed))


def _failed(fault: Fault) -> Answer:
    """Fail: with a SOAP fault where a code is ordered, else with a bare status, as a proxy in between does."""
    if fault.code:
        raise SoapFault(fault.code, _WORDS.get(fault.code, "The request failed."))
    return Answer(status=fault.status, body=PAGE, content_type=sign_in.HTML)


def _cut(whole: Answer) -> Answer:
    """Return the first half of an answer, as if it were all; a hanging one breaks within what it tells next."""
    if isinstance(whole, Streamed):
        return Streamed(chunks=_broken(whole.chunks), content_type=whole.content_type)
    return Answer(status=whole.status, body=whole.body[: len(whole.body) // 2], content_type=whole.content_type)


async def _broken(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        yield await anext(chunks)
        async for chunk in chunks:
            yield chunk[: len(chunk) // 2]
            return
