"""Decides who signed in to EWS: by Basic, NTLM or Bearer, whichever this server offers, and counts what was tried.

It answers 401 with the schemes on offer, 403 where EWS is shut, 302 where control sends everybody elsewhere.
"""

import hmac
from base64 import b64decode
from typing import Any

from deploy.sandbox.answers import Answer, Ask
from deploy.sandbox.ews import ntlm
from deploy.sandbox.ews.call import Account
from deploy.sandbox.ews.world import FULL_ACCESS, ServiceAccount
from deploy.sandbox.state import State
from deploy.sandbox.tokens import Issued

HTML = "text/html; charset=utf-8"
GRAPH = "https://graph.microsoft.com"
EXCHANGE_ID = "00000002-0000-0ff1-ce00-000000000000"  # Exchange's own id in Entra, the same everywhere
NO_PERMISSIONS = "The token contains no permissions, or permissions can not be understood."
_PAGE = b"<html><head><title>401 - Unauthorized</title></head><body>Access is denied.%s</body></html>"
_LOCKED = b" The referenced account is currently locked out and may not be logged on to."


def signed_in(state: State, ask: Ask, channel: dict[str, Any]) -> Account | Answer:
    """Return who asks, or the answer that turns the request away.

    `channel` is what the request's connection has agreed on: NTLM signs a connection in, not a request. Never raises.
    """
    manners = state.ews.manners
    if manners.redirect:
        return Answer(status=302, headers={"Location": manners.redirect}, content_type=HTML)
    found = _who(state, ask, channel)
    if isinstance(found, Answer):
        return found
    agent = ask.headers.get("user-agent", "").lower()
    if manners.shut or any(text.lower() in agent for text in manners.blocked):
        return Answer(status=403, content_type=HTML)
    return found


def _who(state: State, ask: Ask, channel: dict[str, Any]) -> Account | Answer:
    scheme, _, credentials = ask.headers.get("authorization", "").partition(" ")
    offered = state.ews.manners.schemes
    match scheme.lower():
        case "":
            return _remembered(state, ask, channel)
        case "basic" if "basic" in offered:
            return _basic(state, ask, credentials)
        case "ntlm" | "negotiate" if "ntlm" in offered:
            return _ntlm(state, ask, channel)
        case "bearer" if "oauth" in offered:
            return _bearer(state, ask, credentials)
        case _:
            return challenge(state, ask)


def challenge(state: State, ask: Ask, *, token: str = "", words: bytes = b"", reason: str = "") -> Answer:
    """Return a 401: the schemes on offer, or NTLM's next token; `reason` is why a bearer token was refused."""
    offered = {
        "ntlm": ("Negotiate", "NTLM"),
        "basic": (f'Basic realm="{ask.headers.get("host", "")}"',),
        "oauth": (f'Bearer client_id="{EXCHANGE_ID}", token_types="app_asserted_user_v1 service_asserted_app_v1"',),
    }
    lines = [line for scheme in ("oauth", "ntlm", "basic") if scheme in state.ews.manners.schemes
             for line in offered[scheme]]  # fmt: skip
    headers = {"WWW-Authenticate": token or "\n".join(lines)} if token or lines else {}
    if reason:
        headers["x-ms-diagnostics"] = f'2000008;reason="{reason}";error_category="invalid_token"'
    return Answer(status=401, body=_PAGE % words, headers=headers, content_type=HTML)


def _remembered(state: State, ask: Ask, channel: dict[str, Any]) -> Account | Answer:
    """Return whom NTLM signed in on this connection before."""
    account = state.ews.account(str(channel.get("account", "")))
    if account is None or "ntlm" not in state.ews.manners.schemes:
        return challenge(state, ask)
    return _admitted(state, ask, account)


def _basic(state: State, ask: Ask, credentials: str) -> Account | Answer:
    try:
        name, _, password = b64decode(credentials, validate=True).decode("utf-8").partition(":")
    except ValueError:  # neither base64 nor UTF-8
        return challenge(state, ask)
    account = state.ews.account(name)
    if account is None or not hmac.compare_digest(account.password.encode(), password.encode()):
        return _refused(state, ask, name)
    return _admitted(state, ask, account, scheme="basic")


def _ntlm(state: State, ask: Ask, channel: dict[str, Any]) -> Account | Answer:
    scheme, _, sent = ask.headers["authorization"].partition(" ")
    channel.pop("account", None)
    step = ntlm.step(state.ews, channel, sent)
    if step.reply:
        return challenge(state, ask, token=f"{scheme} {step.reply}")
    account = state.ews.account(step.name)
    if not step.complete or account is None:
        return _refused(state, ask, step.name) if step.name else challenge(state, ask)
    admitted = _admitted(state, ask, account, scheme="ntlm")
    if isinstance(admitted, Account):
        channel["account"] = account.upn
    return admitted


def _admitted(state: State, ask: Ask, account: ServiceAccount, *, scheme: str = "") -> Account | Answer:
    """Let an account in whose password was right, now by this scheme or earlier on this connection."""
    if account.locked or account.disabled:
        return _refused(state, ask, account.upn)
    if scheme:
        state.ews.sign_ins[scheme] += 1
    return Account(name=account.upn, tenant_id=account.tenant_id, scope=account.scope, mailbox=account.mailbox)


def _refused(state: State, ask: Ask, name: str) -> Answer:
    """Count a failed sign-in and answer it; why it failed is told only where an account is locked."""
    account = state.ews.account(name)
    state.ews.failed_sign_ins[name.lower() if account is None else account.upn.lower()] += 1
    return challenge(state, ask, words=_LOCKED if account is not None and account.locked else b"")


def _bearer(state: State, ask: Ask, token: str) -> Account | Answer:
    issued = state.tokens.get(token.strip())
    wrong = _flaw(state, issued)
    if issued is None or wrong:
        state.ews.failed_sign_ins["" if issued is None else issued.client_id] += 1
        return challenge(state, ask, reason=wrong)
    state.ews.sign_ins["oauth"] += 1
    return Account(name=issued.client_id, tenant_id=issued.tenant_id, scope="*")


def _flaw(state: State, issued: Issued | None) -> str:
    """Return why a token does not let in; nothing where it does."""
    if issued is None:
        return "The token has an invalid signature."
    if issued.expires <= state.clock():
        return "The token has expired."
    if issued.audience == GRAPH:
        return "The audience claim value is invalid for the current resource."
    grant = state.grants.get((issued.client_id, issued.tenant_id))
    if grant is None or not grant.enabled:
        return "The app is disabled."
    return "" if FULL_ACCESS in issued.roles else NO_PERMISSIONS
