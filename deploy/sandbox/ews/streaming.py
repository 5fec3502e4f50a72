"""Subscribe, GetStreamingEvents and Unsubscribe: what control changes is told on hanging connections.

Pull and push subscriptions are refused, and folders other than the calendar; a subscription is found only on the
server that made it.
"""

import asyncio
from collections.abc import Sequence

from lxml import etree

from deploy.sandbox.answers import Answer, Streamed
from deploy.sandbox.ews import affinity, folders, scopes, soap
from deploy.sandbox.ews.call import EwsCall, Failed, Operation, SoapFault
from deploy.sandbox.ews.events import closed, forwarded
from deploy.sandbox.ews.listeners import LASTS, Listening, fresh_id
from deploy.sandbox.ews.soap import M, T

MOST_IDS = 200  # subscriptions of one connection
LONGEST = 30  # minutes of one connection
_KINDS = {"CreatedEvent": "created", "ModifiedEvent": "updated", "DeletedEvent": "deleted", "MovedEvent": "moved"}
_NOT_FOUND = "The specified subscription was not found."


def _subscribe(call: EwsCall) -> Answer:
    """Begin a streaming subscription to the calendar of the mailbox acted as."""
    person = scopes.owner(call)
    asked = call.request.find(f"{M}StreamingSubscriptionRequest")
    if asked is None:
        raise Failed("ErrorInvalidSubscriptionRequest", "Only streaming subscriptions are served here.")
    _check_folders(call, asked)
    kinds = frozenset(
        _KINDS.get((kind.text or "").strip(), "") for kind in asked.iterfind(f"{T}EventTypes/{T}EventType")
    )
    server = affinity.server(call.headers, call.acting)
    listening = Listening(
        id=fresh_id(),
        tenant_id=call.tenant.tenant_id,
        user_id=person.user_id,
        kinds=kinds,
        server=server,
        bound=affinity.prefers(call.headers),
        ends=_now() + LASTS * call.state.ews.manners.minute,
    )
    call.state.ews.listeners.add(listening)
    inner = f"<m:SubscriptionId>{listening.id}</m:SubscriptionId>"
    answer = soap.answer(call.state, soap.response("Subscribe", [soap.success("Subscribe", inner)]))
    if call.state.ews_seen is not None:
        call.state.ews_seen(answer.body)
    answer.headers = affinity.given(call.headers, server)
    return answer


def _check_folders(call: EwsCall, asked: etree._Element) -> None:
    """Refuse every folder but the calendar. Raises Failed."""
    if asked.get("SubscribeToAllFolders", "").lower() in {"true", "1"}:
        return
    for element in asked.iterfind(f"{T}FolderIds/*"):
        if folders.folder(call, element).name != folders.CALENDAR:
            raise Failed("ErrorInvalidSubscriptionRequest", "Only the calendar can be subscribed to here.")


def _unsubscribe(call: EwsCall) -> bytes:
    wanted = (call.request.findtext(f"{M}SubscriptionId") or "").strip()
    if _found(call, wanted) is None:
        raise Failed("ErrorSubscriptionNotFound", _NOT_FOUND)
    call.state.ews.listeners.remove(wanted)
    return soap.response("Unsubscribe", [soap.success("Unsubscribe")])


def _stream(call: EwsCall) -> Answer:
    """Open a hanging connection for subscriptions of this organisation, or say which of them are not to be had."""
    path = f"{M}SubscriptionIds/{T}SubscriptionId"
    wanted = list(dict.fromkeys((each.text or "").strip() for each in call.request.iterfind(path)))
    minutes = _minutes(call.request.findtext(f"{M}ConnectionTimeout") or "")
    if not 1 <= len(wanted) <= MOST_IDS:
        raise soap.violation(f"Between 1 and {MOST_IDS} subscriptions are listened to.")
    found = {name: _found(call, name) for name in wanted}
    if unknown := [name for name, listening in found.items() if listening is None]:
        return _refused(call, Failed("ErrorSubscriptionNotFound", _NOT_FOUND), unknown)
    listened = [listening for listening in found.values() if listening is not None]
    if elsewhere := [each.id for each in listened if not _here(call, each)]:
        words = "The request was sent to a server that does not hold the subscription."
        return _refused(call, Failed("ErrorProxyRequestNotAllowed", words), elsewhere)
    listeners = call.state.ews.listeners
    if listeners.connected.get(call.account.name, 0) >= call.state.ews.manners.hanging:
        words = "You have exceeded the available concurrent connections for your account."
        raise SoapFault("ErrorExceededConnectionCount", words)
    return Streamed(chunks=forwarded(call, listened, minutes=minutes), content_type=soap.XML)


def _refused(call: EwsCall, failed: Failed, names: Sequence[str]) -> Answer:
    return soap.answer(call.state, closed(failed, names))


def _minutes(said: str) -> int:
    if not said.strip().isdecimal() or not 1 <= int(said) <= LONGEST:
        raise soap.violation(f"A connection lasts from 1 to {LONGEST} minutes.")
    return int(said)


def _found(call: EwsCall, name: str) -> Listening | None:
    """Return a living subscription of the caller's organisation."""
    found = call.state.ews.listeners.find(name, _now())
    return found if found is not None and found.tenant_id == call.tenant.tenant_id else None


def _here(call: EwsCall, listening: Listening) -> bool:
    """Say whether a request reached the server that holds a subscription; a bound one needs its cookie."""
    if not call.state.ews.manners.affinity:
        return True
    if listening.bound and affinity.cookie(call.headers) != listening.server:
        return False
    return affinity.server(call.headers, call.acting) == listening.server


def _now() -> float:
    return asyncio.get_running_loop().time()


OPERATIONS: dict[str, Operation] = {
    "Subscribe": _subscribe,
    "GetStreamingEvents": _stream,
    "Unsubscribe": _unsubscribe,
}
