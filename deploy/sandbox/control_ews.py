"""The part of the control API about EWS: how it behaves, who may sign in and as whom, and who is listening."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, to_builtins

from deploy.sandbox.control_call import ControlCall
from deploy.sandbox.ews.world import Manners, ServiceAccount


class _Members(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a group is to change."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    hidden: bool | None = None


def _shown(call: ControlCall) -> Any:
    world = call.changes.ews.world
    return {
        "manners": world.manners,
        "sign_ins": world.sign_ins,
        "failed_sign_ins": world.failed_sign_ins,
        "accounts": [to_builtins(account) | {"password": ""} for account in world.every()],
    }


def _checked(call: ControlCall, kind: type[Struct]) -> dict[str, Any]:
    """Return the fields of a body, each of its type in `kind`. Raises msgspec.ValidationError."""
    types = {known.name: known.type for known in msgspec.structs.fields(kind)}
    body = call.body()
    if unknown := body.keys() - types.keys():
        raise msgspec.ValidationError(f"unknown field {min(unknown)}")
    return {name: msgspec.convert(value, type=types[name]) for name, value in body.items()}


def _behave(call: ControlCall) -> Any:
    return call.changes.ews.behave(**_checked(call, Manners))


def _forget(call: ControlCall) -> Any:
    call.changes.ews.forget_sign_ins()
    return {}


def _add_account(call: ControlCall) -> Any:
    call.changes.ews.add_account(msgspec.json.decode(call.raw, type=ServiceAccount))
    return {}


def _change_account(call: ControlCall) -> Any:
    call.changes.ews.change_account(call.names[0], **_checked(call, ServiceAccount))
    return {}


def _alias(call: ControlCall) -> Any:
    body = call.body()
    call.changes.ews.add_alias(str(body["mailbox"]), str(body["address"]), tenant=call.tenant)
    return {}


def _redirect(call: ControlCall) -> Any:
    body = call.body()
    call.changes.ews.redirect(str(body["address"]), str(body["target"]))
    return {}


def _group(call: ControlCall) -> Any:
    asked = msgspec.json.decode(call.raw, type=_Members)
    if asked.hidden is not None:
        call.changes.ews.hide_members(call.names[0], hidden=asked.hidden, tenant=call.tenant)
    return call.changes.ews.change_members(call.names[0], add=asked.add, remove=asked.remove, tenant=call.tenant)


def _drop(call: ControlCall) -> Any:
    call.changes.ews.world.listeners.drop(call.names)
    return {}


ROUTES: tuple[tuple[str, str, Callable[[ControlCall], Any]], ...] = (
    ("GET", "ews", _shown),
    ("PATCH", "ews", _behave),
    ("DELETE", "ews/sign-ins", _forget),
    ("POST", "ews/accounts", _add_account),
    ("PATCH", "ews/accounts/([^/]+)", _change_account),
    ("POST", "ews/aliases", _alias),
    ("POST", "ews/redirects", _redirect),
    ("PATCH", "ews/groups/([^/]+)", _group),
    ("DELETE", "ews/subscriptions", _drop),
    ("DELETE", "ews/subscriptions/([^/]+)", _drop),
)
