"""Writes what happened to calendars as it happens: the parts of a hanging answer, heartbeats, and its end.

Each part is a whole SOAP envelope; a subscription that ends while somebody listens ends the connection with an error.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence

from deploy.sandbox.ews import soap
from deploy.sandbox.ews.call import EwsCall, Failed
from deploy.sandbox.ews.folders import CALENDAR, folder_id
from deploy.sandbox.ews.listeners import LASTS, Happening, Listening
from deploy.sandbox.rendering import IMMUTABLE_ID, View, event_id
from shared.clock import moment

NAME = "GetStreamingEvents"
BEAT = 0.75  # minutes between two signs of life
_ELEMENTS = {"created": "CreatedEvent", "updated": "ModifiedEvent", "deleted": "DeletedEvent", "moved": "MovedEvent"}
_OK = "<m:ConnectionStatus>OK</m:ConnectionStatus>"
_CLOSED = "<m:ConnectionStatus>Closed</m:ConnectionStatus>"


async def forwarded(call: EwsCall, listened: Sequence[Listening], *, minutes: int) -> AsyncGenerator[bytes, None]:
    """Yield envelopes: one at once, one for what happens, signs of life, and a last one after so many minutes."""
    connected, account = call.state.ews.listeners.connected, call.account.name
    connected[account] = connected.get(account, 0) + 1
    for listening in listened:
        listening.connections += 1
    try:
        async for body in _bodies(call, listened, minutes=minutes):
            yield _enveloped(call, body)
    finally:
        connected[account] -= 1
        ends = _now() + LASTS * call.state.ews.manners.minute
        for listening in listened:
            listening.connections -= 1
            listening.ends = ends


async def _bodies(call: EwsCall, listened: Sequence[Listening], *, minutes: int) -> AsyncGenerator[bytes, None]:
    listeners, minute = call.state.ews.listeners, call.state.ews.manners.minute
    end, beat = _now() + minutes * minute, _now() + BEAT * minute
    yield _response(soap.success(NAME, _OK))
    while _now() < end and not listeners.closed:
        gone = [each.id for each in listened if listeners.find(each.id, _now()) is None]
        if gone:
            yield closed(Failed("ErrorSubscriptionNotFound", "The specified subscription was not found."), gone)
            return
        if news := [_notification(call, each, _taken(each)) for each in listened if each.waiting]:
            yield _response(soap.success(NAME, f"<m:Notifications>{''.join(news)}</m:Notifications>"))
        elif _now() >= beat:
            beat = _now() + BEAT * minute
            sign = _of(listened[0].id, "<t:StatusEvent/>")
            yield _response(soap.success(NAME, f"<m:Notifications>{sign}</m:Notifications>{_OK}"))
        else:
            await listeners.pause(min(end, beat) - _now())
    yield _response(soap.success(NAME, _CLOSED))


def closed(failed: Failed, names: Iterable[str]) -> bytes:
    """Return the response that ends a connection because of these subscriptions."""
    ids = "".join(f"<t:SubscriptionId>{soap.text(name)}</t:SubscriptionId>" for name in names)
    return _response(soap.failure(NAME, failed, f"<m:ErrorSubscriptionIds>{ids}</m:ErrorSubscriptionIds>{_CLOSED}"))


def _taken(listening: Listening) -> list[Happening]:
    taken, listening.waiting = listening.waiting, []
    return taken


def _notification(call: EwsCall, listening: Listening, happened: Iterable[Happening]) -> str:
    person = call.tenant.people[listening.user_id]
    folder = f'Id="{folder_id(person, CALENDAR)}"'
    return _of(listening.id, "".join(_event(one, folder) for one in happened))


def _event(happening: Happening, folder: str) -> str:
    name = _ELEMENTS[happening.kind]
    key = f'Id="{event_id(happening.item_id, View(prefix=IMMUTABLE_ID))}"'
    moved = f"<t:OldItemId {key}/><t:OldParentFolderId {folder}/>" if happening.kind == "moved" else ""
    what = f"<t:ItemId {key}/><t:ParentFolderId {folder}/>{moved}"
    return f"<t:{name}><t:TimeStamp>{moment(happening.at)}</t:TimeStamp>{what}</t:{name}>"


def _of(subscription_id: str, events: str) -> str:
    return f"<t:Notification><t:SubscriptionId>{subscription_id}</t:SubscriptionId>{events}</t:Notification>"


def _response(message: str) -> bytes:
    return soap.response(NAME, [message])


def _enveloped(call: EwsCall, body: bytes) -> bytes:
    whole = soap.envelope(call.state, body)
    if call.state.ews_seen is not None:
        call.state.ews_seen(whole)
    return whole


def _now() -> float:
    return asyncio.get_running_loop().time()
