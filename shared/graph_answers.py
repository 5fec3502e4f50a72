"""Reads what surrounds a Graph answer: the pause it orders, the error code it means, the path as it may be logged.

Pure; nothing a server sends passes unless it is a number or looks like a code.
"""

import json
import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeVar

import msgspec

from shared.contracts.values import DAY, Instant

T = TypeVar("T")

LONGEST_PAUSE: Final = float(DAY)

# Graph wraps Exchange's and the directory's errors: the deepest of these words is what happened.
KNOWN_CODES: Final = frozenset(
    {
        "activitylimitreached", "applicationthrottled", "authorization_identitynotfound", "authorization_requestdenied",
        "erroraccessdenied", "errorexceededmessagelimit",
        "errorinternalservertransienterror", "errorinvalidrequest", "errorinvaliduser", "erroritemnotfound",
        "errormailboxmoveinprogress", "errormailboxstoreunavailable", "errornonexistentmailbox",
        "errorquotaexceeded", "errorserverbusy", "errortoomanyobjectsopened", "extensionerror",
        "invalidauthenticationtoken", "mailboxinfostale", "mailboxnotenabledforrestapi",
        "mailboxnothostedinexchangeonline", "mailboxnotsupportedforrestapi", "notimplemented",
        "request_resourcenotfound", "resourcenotfound", "resyncrequired", "serviceunavailable",
        "syncstateinvalid", "syncstatenotfound", "toomanyrequests",
    }
)  # fmt: skip

_CODE: Final = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
_SEGMENTS: Final = frozenset(
    {
        "v1.0", "users", "calendarView", "mailboxSettings", "places", "microsoft.graph.room", "groups",
        "transitiveMembers", "microsoft.graph.user", "organization", "$batch", "calendar", "events", "subscriptions",
    }
)  # fmt: skip
_DEEPEST: Final = 8


class GraphError(Exception):
    """Graph did not give what was asked for.

    `status` is the HTTP status, 0 where there was no answer; `code` Graph's own error code, or one of `network`,
    `timeout`, `truncated`, `too_large`, `not_json`, `unexpected_shape`, `redirected`, `foreign_link`; `retry_after`
    the pause Graph ordered in seconds; `url_path` the path with every id replaced.
    """

    def __init__(self, *, status: int, code: str, retry_after: float | None = None, url_path: str = "") -> None:
        """Take fixed words and numbers only: all of it may be logged."""
        super().__init__(f"{status} {code} {url_path}")
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.url_path = url_path


def decode(body: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Decode JSON into `kind`. Raises msgspec.DecodeError (ValidationError for a wrong shape) or UnicodeDecodeError.

    A preview cut through an emoji leaves half a surrogate pair, which JSON allows and msgspec does not: such halves
    become question marks, so that one odd event does not make its mailbox unreadable.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        raw = bytes(body)
        if b"\\ud" not in raw.lower():
            raise
    try:
        mended = json.dumps(json.loads(raw), ensure_ascii=False).encode("utf-8", "replace")
    except ValueError:
        raise msgspec.DecodeError("Input data was truncated") from None
    return msgspec.json.decode(mended, type=kind)


def decoded(body: bytes | msgspec.Raw, kind: type[T], where: str) -> T:
    """Decode JSON into `kind`. Raises GraphError (status 200, `where` it came from) for whatever else it is."""
    try:
        return decode(body, kind)
    except msgspec.ValidationError:
        code = "unexpected_shape"
    except msgspec.DecodeError:
        code = "truncated"
    except (UnicodeDecodeError, RecursionError):
        code = "not_json"
    raise GraphError(status=200, code=code, url_path=where)


def pause(header: str | None, now: Instant) -> float | None:
    """Return a Retry-After header as seconds from now: an integer, a fraction (Graph sends 2.128) or an HTTP date.

    None where it is absent or unreadable; never negative, never above a day.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        return _until(header, now)
    return min(max(seconds, 0.0), LONGEST_PAUSE) if math.isfinite(seconds) else None


def _until(header: str, now: Instant) -> float | None:
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - now, 0.0), LONGEST_PAUSE)


def error_code(body: bytes) -> str:
    """Return the code of an error body: the deepest known one, else the outermost that looks like a code, else ""."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ""
    found = _codes(decoded.get("error") if isinstance(decoded, dict) else None)
    known = [code for code in found if code.lower() in KNOWN_CODES]
    return known[-1] if known else next(iter(found), "")


def _codes(error: Any) -> list[str]:
    """List the codes from the outermost inwards; the key is written innerError or innererror."""
    found: list[str] = []
    for _ in range(_DEEPEST):
        if not isinstance(error, dict):
            break
        code = error.get("code")
        if isinstance(code, str) and _CODE.match(code):
            found.append(code)
        error = error.get("innerError", error.get("innererror"))
    return found


def shape(path: str) -> str:
    """Return a path with everything but its fixed words replaced: /v1.0/users/*/calendarView."""
    return "/".join(segment if segment in _SEGMENTS or not segment else "*" for segment in path.split("/"))


@cache
def user_agent() -> str:
    """Return the stable product token that an admin may name in Exchange's allow-list."""
    try:
        return f"busyline/{version('busyline')}"
    except PackageNotFoundError:
        return "busyline/0"
