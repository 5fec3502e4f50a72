"""What a failure at Microsoft means for the org: an admin must act (Refusal), or it passes by itself (Retry)."""

from shared.errors import Retry
from shared.graph import GraphError
from shared.identity import IdentityError

_BUSY = 429
_DENIED = 403
_NO_ANSWER = frozenset({"network", "timeout"})
_NOT_GRAPH = frozenset({"truncated", "too_large", "not_json", "unexpected_shape", "redirected", "foreign_link"})
_NOT_INSTALLED = "authorization_identitynotfound"


class Refusal(Exception):  # noqa: N818 -- it is the verdict, not a fault
    """The connection is not good. `reason` is a word of sentences.REFUSALS, `code` Microsoft's AADSTS number or 0."""

    def __init__(self, reason: str, *, code: int = 0) -> None:
        """Take the reason and the code."""
        super().__init__(reason)
        self.reason = reason
        self.code = code


def of_identity(error: IdentityError) -> Refusal | Retry:
    """Translate what the sign-in said."""
    if error.transient:
        return Retry(error.reason, after=error.retry_after or 5.0, counted=False)
    return Refusal(error.reason, code=error.code)


def of_graph(error: GraphError, *, denied: str) -> Refusal | Retry:
    """Translate what Graph said; `denied` is the reason that a 403 stands for in this place."""
    passing = waits(error)
    if passing is not None:
        return passing
    if error.code.lower() == _NOT_INSTALLED:
        return Refusal("app_not_in_tenant")
    if error.status == _DENIED:
        return Refusal(denied)
    return Refusal("token_rejected" if error.status == 401 else "graph_refused")


def waits(error: GraphError) -> Retry | None:
    """Return Retry for what passes by itself, with the pause that Graph ordered, else None."""
    reason = None
    if error.status == _BUSY:
        reason = "graph_throttled"
    elif error.status >= 500 and error.status != 501:
        reason = "graph_unavailable"
    elif error.code in _NO_ANSWER:
        reason = "graph_unreachable"
    elif error.code in _NOT_GRAPH:
        reason = "graph_unexpected"
    if reason is None:
        return None
    return Retry(reason, after=error.retry_after or 5.0, counted=False, where=error.url_path)
