"""The control API under /control: the sandbox's changes over HTTP, for those who hold the control token.

Names in paths are percent-encoded; bodies are JSON with the field names of Item, Person and Fault.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct, to_builtins

from deploy.sandbox.answers import PLAIN_JSON, Answer, Ask
from deploy.sandbox.calendar import Item
from deploy.sandbox.changes import Changes
from deploy.sandbox.control_call import ControlCall
from deploy.sandbox.control_ews import ROUTES as EWS
from deploy.sandbox.control_notices import ROUTES as NOTICES
from deploy.sandbox.control_sign_ins import ROUTES as SIGN_INS
from deploy.sandbox.directory import Person, Unknown
from deploy.sandbox.faults import Fault
from deploy.sandbox.state import App, State
from shared.contracts.values import Window

Body = Mapping[str, Any]


def answer(state: State, ask: Ask) -> Answer:
    """Answer a control request: 401 without the token, 404 for unknown names, 400 for a wrong body. Never raises."""
    given = ask.headers.get("authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), state.control_token.encode()):
        return _json({"error": "token"}, 401)
    for method, pattern, handle in _ROUTES:
        found = re.fullmatch(f"/control/{pattern}", ask.path)
        if found and method == ask.method:
            names = tuple(unquote(name) for name in found.groups())
            return _handled(
                handle, ControlCall(changes=Changes(state), names=names, query=ask.parameters(), raw=ask.body)
            )
    return _json({"error": "path"}, 404)


def _handled(handle: Callable[[ControlCall], Any], call: ControlCall) -> Answer:
    try:
        return _json(handle(call))
    except Unknown as unknown:
        return _json({"error": str(unknown)}, 404)
    except (msgspec.DecodeError, KeyError, ValueError, re.error) as wrong:
        return _json({"error": "body", "detail": type(wrong).__name__}, 400)


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status=status, body=msgspec.json.encode(value), content_type=PLAIN_JSON)


def _mailboxes(call: ControlCall) -> Any:
    people = call.changes.mailboxes(tenant=call.tenant, readable=call.query.get("readable") == "true")
    return {"mailboxes": [to_builtins(person) | {"address": person.address} for person in people]}


def _events(call: ControlCall) -> Any:
    start, end = call.query.get("start"), call.query.get("end")
    window = Window(int(start), int(end)) if start and end else None
    return {"events": call.changes.events(call.names[0], tenant=call.tenant, window=window)}


def _add_event(call: ControlCall) -> Any:
    item = msgspec.convert({"item_id": ""} | call.body(), type=Item)
    return {"item_id": call.changes.add_event(call.names[0], item, tenant=call.tenant)}


def _change_event(call: ControlCall) -> Any:
    mailbox, event_id = call.names
    body = call.body()
    if "seconds" in body:
        return call.changes.move_event(
            mailbox, event_id, seconds=msgspec.convert(body["seconds"], type=int), tenant=call.tenant
        )
    checked = _checked(body, Item)
    return call.changes.change_event(mailbox, event_id, tenant=call.tenant, **checked)


def _delete_event(call: ControlCall) -> Any:
    call.changes.delete_event(*call.names, tenant=call.tenant, moved=call.query.get("moved") == "true")
    return {}


def _add_user(call: ControlCall) -> Any:
    body = call.body()
    address = str(body.pop("address"))
    return call.changes.add_user(address, tenant=call.tenant, **_checked(body, Person))


def _change_user(call: ControlCall) -> Any:
    return call.changes.change_user(call.names[0], tenant=call.tenant, **_checked(call.body(), Person))


def _remove_user(call: ControlCall) -> Any:
    call.changes.remove_user(call.names[0], tenant=call.tenant)
    return {}


def _checked(body: Body, kind: type[Struct]) -> dict[str, Any]:
    """Return the fields of a body, each of the type it has in `kind`. Raises msgspec.ValidationError."""
    types = {known.name: known.type for known in msgspec.structs.fields(kind)}
    if unknown := body.keys() - types.keys():
        raise msgspec.ValidationError(f"unknown field {min(unknown)}")
    return {name: msgspec.convert(value, type=types[name]) for name, value in body.items()}


def _words(value: Any) -> tuple[str, ...]:
    return msgspec.convert(value, type=tuple[str, ...])


def _change_grant(call: ControlCall) -> Any:
    """Change what an app may do in a tenant: roles, mailboxes, enabled, consented; each only where it is given."""
    body = call.body()
    where: dict[str, Any] = {"client_id": call.names[0], "tenant": call.tenant}
    if "consented" in body:
        (call.changes.consent if body["consented"] else call.changes.revoke)(**where)
    if "roles" in body:
        call.changes.set_roles(*_words(body["roles"]), **where)
    if "mailboxes" in body:
        call.changes.allow_mailboxes(*_words(body["mailboxes"]), **where)
    if "enabled" in body:
        call.changes.enable_app(enabled=bool(body["enabled"]), **where)
    if "certificate" in body:
        call.changes.add_certificate(str(body["certificate"]), client_id=call.names[0])
    return {}


def _register(call: ControlCall) -> Any:
    body = call.body()
    app = App(
        client_id=str(body["client_id"]).lower(),
        secrets=dict.fromkeys(_words(body.get("secrets", ()))),
        roles=frozenset(_words(body.get("roles", ()))),
        redirect_uris=_words(body.get("redirect_uris", ())),
    )
    call.changes.register(app)
    return {"client_id": app.client_id}


def _expire_tokens(call: ControlCall) -> Any:
    call.changes.expire_tokens(tenant=call.tenant)
    return {}


def _consent(call: ControlCall) -> Any:
    call.changes.refuse_consent(refuse=call.body().get("answer") == "refuse")
    return {}


def _order(call: ControlCall) -> Any:
    return {"number": call.changes.order(msgspec.json.decode(call.raw, type=Fault))}


def _faults(call: ControlCall) -> Any:
    orders = call.changes.state.faults.orders
    shown = [{"number": one.number, "seen": one.seen, "struck": one.struck, "fault": one.fault} for one in orders]
    return {"faults": shown}


def _clear(call: ControlCall) -> Any:
    call.changes.clear_faults(int(call.names[0]) if call.names else None)
    return {}


def _requests(call: ControlCall) -> Any:
    return call.changes.state.counts


def _forget(call: ControlCall) -> Any:
    call.changes.forget_requests()
    return {}


_ROUTES: tuple[tuple[str, str, Callable[[ControlCall], Any]], ...] = (
    ("GET", "mailboxes", _mailboxes),
    ("GET", "mailboxes/([^/]+)/events", _events),
    ("POST", "mailboxes/([^/]+)/events", _add_event),
    ("PATCH", "mailboxes/([^/]+)/events/([^/]+)", _change_event),
    ("DELETE", "mailboxes/([^/]+)/events/([^/]+)", _delete_event),
    ("POST", "users", _add_user),
    ("PATCH", "users/([^/]+)", _change_user),
    ("DELETE", "users/([^/]+)", _remove_user),
    ("POST", "apps", _register),
    ("PATCH", "apps/([^/]+)", _change_grant),
    ("POST", "tokens/expire", _expire_tokens),
    ("POST", "consent", _consent),
    ("GET", "faults", _faults),
    ("POST", "faults", _order),
    ("DELETE", "faults", _clear),
    ("DELETE", "faults/([0-9]+)", _clear),
    ("GET", "requests", _requests),
    ("DELETE", "requests", _forget),
    ("GET", "problems", lambda call: {"problems": call.changes.problems}),
    ("GET", "canaries", lambda call: {"canaries": call.changes.canaries}),
    *NOTICES,
    *EWS,
    *SIGN_INS,
)
