"""Says in words what a field may hold, for the generated pages; pure, and refuses nothing."""

import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, get_args

from msgspec import Meta, Struct, inspect, structs

from shared.contracts.values import EARLIEST, LATEST

_PLAIN = {
    inspect.BoolType: "true or false",
    inspect.FloatType: "number",
    inspect.NoneType: "null",
}
_WORDS = re.compile(r"^\^\(([a-z|-]+)\)\$$")  # a pattern that only lists words


def words_of(hint: Any) -> str:
    """Return a field's annotation as a reader says it: `integer, 1 to 1000`, `list of text`, `busy` or `free`."""
    return " or ".join(_words(kind) for kind in _types(hint))


def sentence(hint: Any) -> str:
    """Return the description an annotation carries, or nothing."""
    return next((meta.description for meta in get_args(hint)[1:] if isinstance(meta, Meta) and meta.description), "")


def _types(hint: Any) -> tuple[inspect.Type, ...]:
    """Take a union apart first: msgspec refuses to look at one of several untagged structs."""
    members = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return tuple(inspect.type_info(one) for one in members)


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _words(kind.type)
        case inspect.UnionType():
            return " or ".join(_words(one) for one in kind.types)
        case inspect.VarTupleType():
            return f"list of {_words(kind.item_type)}"
        case inspect.DictType():
            return f"object, from {_words(kind.key_type)} to {_words(kind.value_type)}"
        case inspect.StructType():
            return f"[{kind.cls.__name__}](#{kind.cls.__name__.lower()})"
        case _:
            return _scalar(kind)


def _scalar(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType():
            return _integer(kind.ge, kind.le)
        case inspect.StrType():
            return _text(kind)
        case inspect.EnumType():
            return _choice(member.value for member in kind.cls)
        case inspect.LiteralType():
            return _choice(kind.values)
        case _:
            return _PLAIN.get(type(kind), type(kind).__name__)


def _integer(least: int | None, most: int | None) -> str:
    if (least, most) == (EARLIEST, LATEST):
        return "instant"
    if least is not None and most is not None:
        return f"integer, {least} to {most}"
    return "integer" if least is None else f"integer, {least} or more"


def _text(kind: inspect.StrType) -> str:
    if kind.pattern is not None and (words := _WORDS.match(kind.pattern)):
        return _choice(words[1].split("|"))
    if kind.pattern is not None:
        return f"text matching `{kind.pattern}`"
    return "text" if kind.max_length is None else f"text, at most {kind.max_length} characters"


def _choice(values: Iterable[object]) -> str:
    return " or ".join(f"`{value}`" for value in values)


def structs_within(kinds: Iterable[type[Struct]]) -> list[type[Struct]]:
    """Return the structs that others are made of, in the order they are met; the given ones are left out."""
    given = list(kinds)
    found: list[type[Struct]] = []
    queue = list(given)
    while queue:
        for inner in _structs(kind for field in structs.fields(queue.pop(0)) for kind in _types(field.type)):
            if inner not in found and inner not in given:
                found.append(inner)
                queue.append(inner)
    return found


def _structs(types: Iterable[inspect.Type]) -> Iterator[type[Struct]]:
    for one in types:
        match one:
            case inspect.StructType():
                yield one.cls
            case inspect.Metadata():
                yield from _structs([one.type])
            case inspect.UnionType():
                yield from _structs(one.types)
            case inspect.VarTupleType():
                yield from _structs([one.item_type])
