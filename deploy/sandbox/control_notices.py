"""The part of the control API about subscriptions and notifications, and the clock they live by."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import to_builtins

from deploy.sandbox.control_call import ControlCall
from deploy.sandbox.notice_faults import NoticeFault


def _subscriptions(call: ControlCall) -> Any:
    return {"subscriptions": call.changes.subscriptions(tenant=call.tenant)}


def _drop(call: ControlCall) -> Any:
    call.changes.notifications.drop(call.names[0])
    return {}


def _expire(call: ControlCall) -> Any:
    call.changes.notifications.expire(call.names[0])
    return {}


def _lifecycle(call: ControlCall) -> Any:
    call.changes.notifications.lifecycle(call.names[0], str(call.body()["event"]))
    return {}


def _forge(call: ControlCall) -> Any:
    body = call.body()
    state = str(body.get("client_state", "forged"))
    call.changes.notifications.forge(call.names[0], client_state=state, unknown=bool(body.get("unknown")))
    return {}


def _counts(call: ControlCall) -> Any:
    counts = call.changes.notifications.counts
    return to_builtins(counts) | {"waiting": counts.waiting}


def _faults(call: ControlCall) -> Any:
    return {"faults": call.changes.notifications.faults.orders}


def _order(call: ControlCall) -> Any:
    return {"number": call.changes.notifications.order(msgspec.json.decode(call.raw, type=NoticeFault))}


def _clear(call: ControlCall) -> Any:
    call.changes.notifications.clear(int(call.names[0]) if call.names else None)
    return {}


def _clock(call: ControlCall) -> Any:
    state = call.changes.state
    state.advance(msgspec.convert(call.body().get("seconds", 0), type=int))
    return {"now": state.clock()}


ROUTES: tuple[tuple[str, str, Callable[[ControlCall], Any]], ...] = (
    ("GET", "subscriptions", _subscriptions),
    ("DELETE", "subscriptions/([^/]+)", _drop),
    ("POST", "subscriptions/([^/]+)/expire", _expire),
    ("POST", "subscriptions/([^/]+)/lifecycle", _lifecycle),
    ("POST", "subscriptions/([^/]+)/forge", _forge),
    ("GET", "notifications", _counts),
    ("GET", "notifications/faults", _faults),
    ("POST", "notifications/faults", _order),
    ("DELETE", "notifications/faults", _clear),
    ("DELETE", "notifications/faults/([0-9]+)", _clear),
    ("POST", "clock", _clock),
)
