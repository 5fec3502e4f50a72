"""Entra's refusals: an AADSTS number, OAuth's word for it and a sentence, in the one form they are sent in."""

import re
from uuid import uuid4

import msgspec

from deploy.sandbox.answers import PLAIN_JSON, Answer
from deploy.sandbox.directory import Tenant
from deploy.sandbox.state import State
from shared.clock import moment
from shared.contracts.values import Instant

SHARED = frozenset({"common", "organizations", "consumers"})
_TENANT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[\w-]+(\.[\w-]+)+")


class Denied(Exception):  # noqa: N818 -- a sign-in is denied, nothing failed
    """A refusal in AADSTS form: the number, OAuth's word for it, the status and what to say."""

    def __init__(self, code: int, message: str, *, error: str = "invalid_request", status: int = 400) -> None:
        """Take the AADSTS number, the message after it, OAuth's error word and the HTTP status."""
        super().__init__(code)
        self.code = code
        self.message = message
        self.error = error
        self.status = status


def refused(denied: Denied, now: Instant, correlation: str = "") -> Answer:
    """Return a refusal in Microsoft's form."""
    trace, correlation = str(uuid4()), correlation or str(uuid4())
    words = f"AADSTS{denied.code}: {denied.message}"
    said = {
        "error": denied.error,
        "error_description": described(words, now, trace=trace, correlation=correlation),
        "error_codes": [denied.code],
        "timestamp": moment(now).replace("T", " "),
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.sandbox.example/error?code={denied.code}",
    }
    return Answer(status=denied.status, body=msgspec.json.encode(said), content_type=PLAIN_JSON)


def described(words: str, now: Instant, *, trace: str, correlation: str) -> str:
    """Return an error_description: the words, then the ids and the time, each on its line."""
    stamp = moment(now).replace("T", " ")
    return f"{words}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {stamp}"


def tenant_named(state: State, name: str) -> Tenant:
    """Return the tenant of a GUID or a domain. Raises Denied (90002, or 900023 where it cannot be a name)."""
    found = state.tenant(name)
    if found is not None:
        return found
    if not _TENANT.fullmatch(name):
        message = f"Specified tenant identifier '{name}' is neither a valid DNS name, nor a valid external domain."
        raise Denied(900023, message)
    message = f"Tenant '{name}' not found. Check that the tenant and the cloud are the ones meant."
    raise Denied(90002, message)
