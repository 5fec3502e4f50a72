"""Reads what a publisher tells: the bytes of a CloudEvent become a typed update.

It passes over types of events it does not know and fields that came after it was written; it refuses what is no event.
"""

from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from shared.client.errors import Unreadable
from shared.contracts.public import AvailabilityUpdated, MailboxRemoved, OrgRemoved

Data = AvailabilityUpdated | MailboxRemoved | OrgRemoved
KINDS: dict[str, type[Data]] = {
    "availability.updated.v1": AvailabilityUpdated,
    "mailbox.removed.v1": MailboxRemoved,
    "org.removed.v1": OrgRemoved,
}
S = TypeVar("S", bound=Struct)


class Update(Struct, frozen=True, kw_only=True):
    """One update: `position` is its place in the update log. Without a mailbox id it is of the whole org."""

    position: int
    org_id: str
    mailbox_id: str
    data: Data


class _Event(Struct, frozen=True, kw_only=True):
    """Of an envelope what an update needs; an event of another type may be without it, such as a webhook's test."""

    type: str
    sequence: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


def update_of(body: bytes) -> Update | None:
    """Return the update that a CloudEvent tells, None where its type is not known here. Raises Unreadable."""
    try:
        event = msgspec.json.decode(body, type=_Event)
        kind = KINDS.get(event.type)
        if kind is None:
            return None
        data = _strictly_or_openly(kind, event.data)
        position = int(event.sequence)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unreadable("not_an_update") from None  # the cause quotes the body
    mailbox_id = "" if isinstance(data, OrgRemoved) else data.mailbox_id
    return Update(position=position, org_id=data.org_id, mailbox_id=mailbox_id, data=data)


def opened(kind: type[S], value: Any) -> S:
    """Return a JSON value as a struct, whatever fields it has beyond those known. Raises msgspec.ValidationError."""
    return msgspec.convert(_only_known(inspect.type_info(kind), value), kind)


def _strictly_or_openly(kind: type[Data], raw: msgspec.Raw) -> Data:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:  # perhaps for a field that is newer than this library, which is no error
        return opened(kind, msgspec.json.decode(raw))


def _only_known(kind: inspect.Type, value: Any) -> Any:
    """Return a value without what its type does not know, at any depth."""
    match kind:
        case inspect.StructType() if isinstance(value, dict):
            fields = {field.encode_name: field.type for field in kind.fields}
            return {name: _only_known(fields[name], each) for name, each in value.items() if name in fields}
        case inspect.VarTupleType() if isinstance(value, list):
            return [_only_known(kind.item_type, each) for each in value]
        case inspect.UnionType() if value is not None:
            return _only_known(next(each for each in kind.types if not isinstance(each, inspect.NoneType)), value)
        case _:
            return value
