"""Makes up an example of a type for the documents, from its fields' names and bounds: the same one every time.

It refuses (LookupError) where it knows no word that fits. A type can bring its own (`Meta(examples=...)`).
"""

import re
from typing import Any

from msgspec import NODEFAULT, Struct, inspect, structs

from services.publisher import samples
from services.publisher.news import UPDATED

_OPENS, _CLOSES = "2026-03-02T09:00:00Z", "2026-03-02T17:00:00Z"
_WORK = ["monday", "tuesday", "wednesday", "thursday", "friday"]
_NAMED: dict[str, tuple[Any, ...]] = {  # words to try for a field of this name, or of this type and name
    "org_id": ("acme",),
    "orgs": ("acme",),
    "mailbox_id": ("5b7e0c3a-1111-4222-8333-000000000001",),
    "mailbox": ("person0001@contoso.com",),
    "mailboxes": ("person0001@contoso.com",),
    "time_zone": ("Europe/Berlin",),
    "next": ("NWI3ZTBjM2E",),
    "from": (_OPENS,),
    "start": (_OPENS, "09:00"),
    "end": (_CLOSES, "17:00"),
    "to": (_CLOSES,),
    "timeMin": (_OPENS,),
    "timeMax": (_CLOSES,),
    "status": ("busy", 204),
    "privacy": ("free-busy",),
    "state": ("connected",),
    "interval": (60,),
    "availability_view": ("22222222",),
    "version": (7,),
    "position": (42,),
    "failures": (0,),
    "secret": ("whsec_" + "c2VjcmV0" * 5 + "c2VjcmU=",),
    "outcome": ("delivered",),
    "duration_ms": (38,),
    "duration_minutes": (45,),
    "group": ("panel",),
    "name": ("panel",),
    "unverified": ("person0002@contoso.com",),
    "rooms": ("room0001@contoso.com",),
    "free": ("person0001@contoso.com",),
    "webhook": ("wh_0123456789abcdef",),
    "TestEvent.subject": ("wh_0123456789abcdef",),
    "subject": ("Planning",),
    "location": ("Room 5",),
    "url": ("https://receiver.example.com/busyline",),
}
_KEYS = {"calendars": "person0001@contoso.com"}  # under which a map of this name holds its value
_WORDS = (_OPENS, "2026-03-02", "09:00", "0000000000000000042", "acme")
_ONLY_IN_TROUBLE = frozenset(
    {"error", "errors", "last_error", "last_error_at", "paused_until", "held", "sentence", "reason", "reasons", "field"}
    | {"detail", "events", "waiting", "next_try_at"}
)


def specimen(kind: type[Struct]) -> dict[str, Any]:
    """Return an example of a closed value as JSON values. What tells only of trouble, and need not be, is left out."""
    told = {}
    for field in structs.fields(kind):
        may_be_absent = kind.__struct_config__.omit_defaults and field.default is not NODEFAULT
        if not (may_be_absent and field.encode_name in _ONLY_IN_TROUBLE):
            own = f"{kind.__name__}.{field.name}"
            name = own if own in _NAMED else field.encode_name
            told[field.encode_name] = _of(inspect.type_info(field.type), name)
    return told


def _of(kind: inspect.Type, name: str) -> Any:
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=more):
            return more["examples"][0] if more and "examples" in more else _of(inner, name)
        case inspect.UnionType(types=types):
            return _of(next(one for one in types if not isinstance(one, inspect.NoneType)), name)
        case inspect.StructType(cls=inner):
            return specimen(inner)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return _WORK if name == "days" else [_of(item, name)]
        case inspect.DictType(value_type=value):
            return {} if name in _ONLY_IN_TROUBLE else {_KEYS.get(name, "active"): _of(value, name)}
        case _:
            return _of_scalar(kind, name)


def _of_scalar(kind: inspect.Type, name: str) -> Any:
    named = _NAMED.get(name, ())
    match kind:
        case inspect.RawType():
            return samples.event(UPDATED)
        case inspect.BoolType():
            return False
        case inspect.StrType():
            return _first(kind, (*named, *_WORDS))
        case inspect.IntType(ge=least):
            return next((word for word in named if isinstance(word, int)), max(1, least or 0))
        case inspect.EnumType(cls=words):
            return next((word for word in named if word in list(words)), next(iter(words)).value)
        case inspect.LiteralType(values=values):
            return next((word for word in named if word in values), values[0])
    raise LookupError(type(kind).__name__)


def _first(kind: inspect.StrType, words: tuple[Any, ...]) -> str:
    if kind.pattern is None:
        words = (*words[: -len(_WORDS)], "text")
    for word in words:
        fits = isinstance(word, str) and (kind.min_length or 0) <= len(word) <= (kind.max_length or len(word))
        if fits and (kind.pattern is None or re.search(kind.pattern, word)):
            return str(word)
    raise LookupError(kind.pattern)
