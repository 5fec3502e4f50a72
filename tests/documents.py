"""`make check`: the OpenAPI page and the AsyncAPI document are valid, all they point to is there, every example fits.

AsyncAPI's own parser looks at the latter in the tests; what is here needs no program but Python.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.publisher import api, asyncapi, openapi

_BRACED = re.compile(r"{(\w+)}")


def main() -> int:
    """Print what is wrong with either document. Returns 0 where nothing is."""
    wrong = [f"OpenAPI: {each}" for each in openapi_problems(openapi.document(api.OPERATIONS))]
    wrong += [f"AsyncAPI: {each}" for each in asyncapi_problems(asyncapi.document())]
    for each in wrong:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


def openapi_problems(page: dict[str, Any]) -> list[str]:
    """Return what is wrong with an OpenAPI 3.1 page."""
    invalid = [f"{list(error.path)}: {error.message[:200]}" for error in OpenAPIV31SpecValidator(page).iter_errors()]
    return invalid or [*_dangling(page), *_misfits(page, jsonschema.Draft202012Validator), *_unnamed(page)]


def asyncapi_problems(page: dict[str, Any]) -> list[str]:
    """Return what is wrong with an AsyncAPI 3 document."""
    broken = [*_dangling(page), *_bad_schemas(page)]
    return broken or [*_misfit_messages(page), *_bad_channels(page), *_bad_operations(page)]


def pointed(page: Any, pointer: str) -> Any:
    """Return what a pointer within a document (`#/a/b`) leads to. Raises LookupError; ValueError for any other."""
    start, *steps = pointer.split("/")
    if start != "#":
        raise ValueError(pointer)
    for step in steps:
        page = page[step.replace("~1", "/").replace("~0", "~")]
    return page


def _dangling(page: Any) -> Iterator[str]:
    for place, node in _nodes(page):
        pointer = node.get("$ref")
        if isinstance(pointer, str):
            try:
                pointed(page, pointer)
            except (LookupError, ValueError):
                yield f"{place}: nothing is at {pointer}"


def _nodes(node: Any, place: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object of a document with its place; what only looks like one, in examples, is passed over."""
    if isinstance(node, dict):
        yield place, node
        for key, inner in node.items():
            if key not in {"example", "examples"}:
                yield from _nodes(inner, f"{place}/{key}")
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from _nodes(inner, f"{place}/{number}")


def _misfits(page: dict[str, Any], validator: Any) -> Iterator[str]:
    """Yield every body without an example, and every example that its schema does not allow."""
    for place, node in _nodes(page):
        if "$ref" in node.get("schema", {}) and "example" not in node:
            yield f"{place}: there is no example"
        if "schema" in node and "example" in node:
            for error in validator({**node["schema"], "components": page["components"]}).iter_errors(node["example"]):
                yield f"{place}: the example is wrong at {error.json_path}: {error.message[:200]}"


def _unnamed(page: dict[str, Any]) -> Iterator[str]:
    names = [each["operationId"] for methods in page["paths"].values() for each in methods.values()]
    yield from (f"two operations are named {name}" for name in sorted(set(names)) if names.count(name) > 1)


def _bad_schemas(page: dict[str, Any]) -> Iterator[str]:
    for name, schema in page["components"]["schemas"].items():
        try:
            jsonschema.Draft7Validator.check_schema(schema)
        except SchemaError as error:
            yield f"schema {name}: {error.message[:200]}"


def _misfit_messages(page: dict[str, Any]) -> Iterator[str]:
    for name, message in page["components"]["messages"].items():
        if not message.get("examples"):
            yield f"message {name} has no example"
        for example in message.get("examples", []):
            for part in ("headers", "payload"):
                schema = {**message[part], "components": page["components"]}
                for error in jsonschema.Draft7Validator(schema).iter_errors(example[part]):
                    yield f"message {name}: {part} of the example at {error.json_path}: {error.message[:200]}"


def _bad_channels(page: dict[str, Any]) -> Iterator[str]:
    for name, channel in page["channels"].items():
        if set(_BRACED.findall(channel["address"])) != set(channel.get("parameters", {})):
            yield f"channel {name}: its parameters are not those of its address"


def _bad_operations(page: dict[str, Any]) -> Iterator[str]:
    for name, operation in page["operations"].items():
        if operation["action"] not in {"send", "receive"}:
            yield f"operation {name} neither sends nor receives"
        channel = operation["channel"]["$ref"]
        strangers = [
            each["$ref"] for each in operation["messages"] if not each["$ref"].startswith(f"{channel}/messages/")
        ]
        yield from (f"operation {name}: {each} is not of its channel" for each in strangers)


if __name__ == "__main__":
    sys.exit(main())
