"""One call of the control API, read: the world it changes, the names in its path, its query and its body."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from deploy.sandbox.changes import Changes


class ControlCall(Struct, frozen=True, kw_only=True):
    """A call of a holder of the control token."""

    changes: Changes
    names: tuple[str, ...]
    query: Mapping[str, str]
    raw: bytes

    def body(self) -> dict[str, Any]:
        """Return the body's fields; none where there is no body. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.raw, type=dict[str, Any]) if self.raw else {}

    @property
    def tenant(self) -> str:
        """The tenant the query names, or the first."""
        return self.query.get("tenant", "")
