"""Says in words what a JSON schema asks for, for the pages made from the OpenAPI and AsyncAPI documents; pure."""

import re
from collections.abc import Iterator
from typing import Any

_CHOICE = re.compile(r"^\^\(([a-z|-]+)\)\$$")  # a pattern that only lists words
_MOMENT = "T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
_PLAIN = {"string": "text", "boolean": "true or false", "null": "null", "object": "object", "number": "number"}


def table(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a table of an object's members; what may be absent is marked."""
    required = set(schema.get("required", ()))
    yield "| Member | Value | Meaning |"
    yield "| --- | --- | --- |"
    for name, member in schema.get("properties", {}).items():
        mark = "" if name in required else " (may be absent)"
        yield f"| `{name}`{mark} | {cell(words(member))} | {cell(meaning(member))} |"


def section(kind: str, schema: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a heading and what a named schema asks for."""
    yield f"### {kind}\n"
    if "description" in schema:
        yield about(schema) + "\n"
    if "enum" in schema or "oneOf" in schema:
        yield words(schema) + ".\n"
        return
    yield from table(schema)
    yield ""


def words(schema: dict[str, Any]) -> str:
    """Return what a value may be: `text`, `integer, 1 or more`, `list of [Span](#span)`, `busy` or `free`."""
    match schema:
        case {"$ref": pointer}:
            name = str(pointer).rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"anyOf": ones} | {"oneOf": ones}:
            return " or ".join(words(one) for one in ones)
    return _of_type(schema)


def _of_type(schema: dict[str, Any]) -> str:
    match schema:
        case {"type": "array"}:
            return f"list of {words(schema.get('items', {}))}"
        case {"type": "integer"}:
            return _integer(schema)
        case {"type": "string"}:
            return _text(schema)
        case {"type": "object", "additionalProperties": dict() as values}:
            return f"object, from text to {words(values)}"
    return _PLAIN.get(str(schema.get("type")), "any value")


def meaning(schema: dict[str, Any]) -> str:
    """Return a schema's own description in one line, or that of what it is a choice of."""
    own = schema.get("description", "")
    if not own and "anyOf" in schema:
        own = next((one["description"] for one in schema["anyOf"] if "description" in one), "")
    return " ".join(str(own).split())


def about(schema: dict[str, Any]) -> str:
    """Return a schema's description as paragraphs."""
    lines = (line.strip() for line in str(schema.get("description", "")).splitlines())
    return "\n".join(lines).strip()


def within(kinds: list[str], schemas: dict[str, Any]) -> list[str]:
    """Return the names of the schemas that some are made of, in the order they are met, the given ones first."""
    found = list(dict.fromkeys(kinds))
    for name in found:  # grows while it is gone through
        found += [each for each in dict.fromkeys(_referred(schemas[name])) if each not in found]
    return found


def cell(text: str) -> str:
    """Return text as it may stand in a table."""
    return text.replace("|", "\\|")


def _referred(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for inner in node.values():
            yield from _referred(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _referred(inner)


def _integer(schema: dict[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f"integer, {least} to {most}"
    return "integer" if least is None else f"integer, {least} or more"


def _text(schema: dict[str, Any]) -> str:
    pattern = schema.get("pattern", "")
    if pattern.endswith(_MOMENT) or schema.get("format") == "date-time":
        return "instant"
    if listed := _CHOICE.match(pattern):
        return " or ".join(f"`{word}`" for word in listed[1].split("|"))
    if pattern:
        return f"text matching `{pattern}`"
    return f"text, at most {schema['maxLength']} characters" if "maxLength" in schema else "text"
