"""Decides what an HTTP status of an Exchange server means before its body is looked at.

Pure. Most of what stands between us and Exchange (IIS, proxies, filters) speaks by status alone.
"""

import re
from collections.abc import Mapping
from typing import Final

from shared.contracts.values import Instant
from shared.ews.errors import EwsError
from shared.graph_answers import pause

_WORDS: Final = {401: "sign_in_refused", 403: "forbidden", 404: "not_found"}
_BUSY: Final = (429, 503)  # IIS queues, or Online throttles
_CODE: Final = re.compile(r"Error[A-Za-z0-9]{2,94}")


def refusal(status: int, headers: Mapping[str, str], now: Instant) -> EwsError | None:
    """Return what a status means, None where the body tells: an answer, or a SOAP fault."""
    back_off = pause(headers.get("Retry-After"), now)
    code = headers.get("X-CasErrorCode", "")  # the front end did not reach the mailbox's server, and says why
    if status != 200 and _CODE.fullmatch(code):
        return EwsError(code, status=status, back_off=back_off)
    if status in _BUSY:
        return EwsError("ErrorServerBusy", status=status, back_off=back_off)
    if 300 <= status < 400:
        # The page to which a server sends that is busy with itself.
        busy = "genericerrorpage" in headers.get("Location", "").lower()
        return EwsError("ErrorServerBusy" if busy else "redirected", status=status, back_off=back_off)
    if status in _WORDS:
        return EwsError(_WORDS[status], status=status, back_off=back_off)
    if status != 200 and "xml" not in headers.get("Content-Type", "").lower():
        return EwsError("http_error", status=status, back_off=back_off)
    return None
