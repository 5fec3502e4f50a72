"""Decides which tabs an org's admin sees: those that lead somewhere while the org stands as it does."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from services.authorizer.requests import REFUSED, REQUESTED
from shared.connections import ATTENTION, CONNECTED, DISCONNECTING


class Tab(Struct, frozen=True):
    """A tab: its name (its text is `tab.<name>`) and where it leads."""

    name: str
    path: str


_STATUS: Final = Tab("status", "/setup/status")
_MAILBOXES: Final = Tab("mailboxes", "/setup/mailboxes")
_SETTINGS: Final = Tab("settings", "/setup/settings")
_CONNECTION: Final = Tab("connection", "/setup/connect")
_AUDIT: Final = Tab("audit", "/setup/audit")
_DISCONNECT: Final = Tab("disconnect", "/setup/disconnect")
_IN_FORCE: Final = (_STATUS, _MAILBOXES, _SETTINGS, _CONNECTION, _AUDIT, _DISCONNECT)
_BY_STATE: Final[Mapping[str, tuple[Tab, ...]]] = {
    REQUESTED: (_STATUS, _CONNECTION, _AUDIT, _DISCONNECT),
    REFUSED: (_STATUS, _CONNECTION, _AUDIT, _DISCONNECT),
    CONNECTED: _IN_FORCE,
    ATTENTION: _IN_FORCE,
    DISCONNECTING: (_DISCONNECT, _AUDIT),
}


def tabs(state: str | None) -> tuple[Tab, ...]:
    """Return the tabs of an org in a state; None: it is not known."""
    return (_CONNECTION, _AUDIT) if state is None else _BY_STATE[state]


def first_page(state: str | None) -> str:
    """Return where an admin begins."""
    return tabs(state)[0].path
