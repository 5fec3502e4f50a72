"""The part of the control API about the sign-in of people: who can, whether consent is asked, and what goes wrong."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, to_builtins

from deploy.sandbox.control_call import ControlCall
from deploy.sandbox.personas import personas
from deploy.sandbox.sign_ins import Misstep, Spoiling


class _Ways(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How consent is given."""

    interactive: bool


def _people(call: ControlCall) -> Any:
    tenants = call.changes.state.tenants.values()
    return {"personas": [to_builtins(persona) for tenant in tenants for persona in personas(tenant)]}


def _behave(call: ControlCall) -> Any:
    call.changes.state.sign_ins.interactive = msgspec.json.decode(call.raw, type=_Ways).interactive
    return {}


def _order(call: ControlCall) -> Any:
    call.changes.state.sign_ins.order(msgspec.json.decode(call.raw, type=Misstep))
    return {}


def _spoil(call: ControlCall) -> Any:
    call.changes.state.sign_ins.spoiling = msgspec.json.decode(call.raw, type=Spoiling)
    return {}


def _clear(call: ControlCall) -> Any:
    call.changes.state.sign_ins.clear()
    return {}


ROUTES: tuple[tuple[str, str, Callable[[ControlCall], Any]], ...] = (
    ("GET", "sign-ins/personas", _people),
    ("PATCH", "sign-ins", _behave),
    ("POST", "sign-ins/missteps", _order),
    ("POST", "sign-ins/id-tokens", _spoil),
    ("DELETE", "sign-ins/missteps", _clear),
)
