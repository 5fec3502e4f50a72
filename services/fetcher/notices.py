"""Decides what a POST to the notification address says: which subscriptions, proved by what, and what befell them.

Nothing else of it is kept: which event changed, and how, is read from the calendar itself. It refuses what is no
collection of notifications, and hands on only ids and words of the right form.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

LARGEST: Final = 2**20  # bytes of a body: a notification of an event is some 900, its ids are long
MOST: Final = 1000  # notifications in a body
LONGEST_TOKEN: Final = 2048
LABEL: Final = "subscriptions/client-state"

MISSED: Final = "missed"
REMOVED: Final = "subscriptionRemoved"
REAUTHORIZE: Final = "reauthorizationRequired"
_LIFECYCLE: Final = frozenset({MISSED, REMOVED, REAUTHORIZE})

_ID: Final = r"^[A-Za-z0-9_-]{1,128}$"
_STATE: Final = r"^[A-Za-z0-9_-]{43}$"
_TENANT: Final = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


class Refused(Exception):  # noqa: N818 -- it is what becomes of the body
    """A body is no collection of notifications; `reason` is a fixed word: too_large, too_many, malformed."""

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason = reason


class Notice(Struct, frozen=True, kw_only=True):
    """One notification: of a change in the mailbox, or (`lifecycle`) of the subscription's own life.

    `tenant_id` is in lower case, "" where it is not given. Who sent it is not known before `client_state` is verified.
    """

    subscription_id: str
    client_state: str
    tenant_id: str = ""
    lifecycle: str | None = None


class _Item(Struct, rename="camel"):
    subscription_id: Annotated[str, Meta(pattern=_ID)]
    client_state: Annotated[str, Meta(pattern=_STATE)]
    tenant_id: Any = None
    lifecycle_event: Any = None


class _Body(Struct):
    value: list[Raw]


def read(body: bytes) -> tuple[tuple[Notice, ...], int]:
    """Return a body's notifications that could be ours, each once, and how many could not be.

    Raises Refused. Fields not known are ignored (changeNotificationCollection is open).
    """
    if len(body) > LARGEST:
        raise Refused("too_large")
    try:
        items = msgspec.json.decode(body, type=_Body).value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused("malformed") from None
    if len(items) > MOST:
        raise Refused("too_many")
    found = [_notice(item) for item in items]
    return tuple(dict.fromkeys(notice for notice in found if notice is not None)), found.count(None)


def _notice(raw: Raw) -> Notice | None:
    """Return one notification, None where its ids are not of the form that ours have or its event is not known."""
    try:
        item = msgspec.json.decode(raw, type=_Item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if item.lifecycle_event is not None and not (
        isinstance(item.lifecycle_event, str) and item.lifecycle_event in _LIFECYCLE
    ):
        return None
    tenant_id = item.tenant_id.lower() if isinstance(item.tenant_id, str) else ""
    return Notice(
        subscription_id=item.subscription_id.lower(),
        client_state=item.client_state,
        tenant_id=tenant_id if _TENANT.match(tenant_id) else "",
        lifecycle=item.lifecycle_event,
    )


def plausible(token: str) -> bool:
    """Say whether a validation token could be Microsoft's: printable ASCII of some length, nothing to break a line."""
    return 0 < len(token) <= LONGEST_TOKEN and token.isascii() and token.isprintable()


def client_state(key: bytes, org_id: str, mailbox_id: str) -> str:
    """Return what Microsoft repeats in each notification of a mailbox (43 characters), so that nobody else can.

    It is computed, not kept: HMAC-SHA256 under a key that never leaves the deployment. An org's id holds no dot.
    """
    digest = hmac.digest(key, f"{org_id}.{mailbox_id}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def proves(state: str, keys: Iterable[bytes], *, org_id: str, mailbox_id: str) -> bool:
    """Say whether a client state was made for this mailbox under any of the keys, in constant time for each."""
    given = state.encode()
    return any(hmac.compare_digest(given, client_state(key, org_id, mailbox_id).encode()) for key in keys)


def foreign(notice: Notice, tenant_id: str) -> bool:
    """Say whether a notification names another tenant than the org's; one known by a domain's name tells nothing."""
    expected = tenant_id.lower()
    return bool(notice.tenant_id) and bool(_TENANT.match(expected)) and notice.tenant_id != expected
