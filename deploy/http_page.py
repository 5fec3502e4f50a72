"""Writes docs/http.md from the OpenAPI document: every operation with what it takes and answers, and a curl example."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from deploy.schema_words import cell, meaning, section, within, words

_SAMPLES = {"org": "acme", "address": "person0001@contoso.com"}


def http_page(document: dict[str, Any]) -> str:
    """Return the page. `document` is what is served at /openapi.json."""
    schemas = document["components"]["schemas"]
    parts = [
        "# HTTP\n",
        f"{document['info']['description']}\n",
        "This page is made from the OpenAPI document, which the publisher serves at `/openapi.json`. Every request",
        "needs a token (`Authorization: Bearer ...`) unless it says otherwise. In the examples `$BUSYLINE` is the",
        "deployment's address (`http://127.0.0.1:8080`), `$TOKEN` a consumer's token.\n",
        *_errors(document),
        *_headers(document),
    ]
    kinds: list[str] = []
    for tag in document["tags"]:
        parts.append(f"## {tag['name']}\n")
        for path, method, operation in _of(tag["name"], document):
            parts += _operation(path, method, operation)
            kinds += _bodies(operation)
    parts.append("## Values\n\nWhat requests and answers are made of.\n")
    for kind in within([*kinds, "ProblemBody"], schemas):
        parts += section(kind, schemas[kind])
    return "\n".join(parts).rstrip() + "\n"


def _of(tag: str, document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield path, method, operation


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {operation['summary']}\n"
    yield f"`{method.upper()} {path}`\n"
    if operation.get("security") == []:
        yield "Needs no token.\n"
    if "description" in operation:
        yield operation["description"] + "\n"
    yield from _parameters(operation["parameters"])
    if "requestBody" in operation:
        yield f"Takes {_content(operation['requestBody'])}.\n"
    yield from _answers(operation["responses"])
    yield "```sh"
    yield from _curl(path, method, operation)
    yield "```\n"
    yield from _example(operation["responses"])


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[str]:
    if parameters:
        yield "| Parameter | In | Value | Meaning |"
        yield "| --- | --- | --- | --- |"
    for each in parameters:
        yield f"| `{each['name']}` | {each['in']} | {cell(words(each['schema']))} | {cell(meaning(each))} |"
    if parameters:
        yield ""


def _answers(responses: dict[str, Any]) -> Iterator[str]:
    good = {status: told for status, told in responses.items() if int(status) < HTTPStatus.BAD_REQUEST}
    for status, told in good.items():
        what = _content(told)
        yield f"Answers {status}: {what}." if what else f"Answers {status}: {told['description']}"
    refused = [status for status in responses if status not in good]
    yield f"\nErrors: {', '.join(f'[{status}](#errors)' for status in refused)}.\n"


def _content(told: dict[str, Any]) -> str:
    parts = []
    for media_type, inner in told.get("content", {}).items():
        schema = inner["schema"]
        said = "" if "$ref" in schema else str(schema.get("description", ""))
        parts.append(f"`{media_type}` ({said})" if said else f"{words(schema)} as `{media_type}`")
    return ", or ".join(parts)


def _curl(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    url = path
    for parameter in operation["parameters"]:
        name = parameter["name"]
        url = url.replace(f"{{{name}}}", _SAMPLES.get(name, name.upper()))
    endless = "text/event-stream" in operation["responses"].get("200", {}).get("content", {})
    words_of_it = ["curl -N" if endless else "curl"]
    if method != "get":
        words_of_it.append(f"-X {method.upper()}")
    if operation.get("security") != []:
        words_of_it.append('-H "Authorization: Bearer $TOKEN"')
    words_of_it.append(f'"$BUSYLINE{url}"')
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is None:
        yield " ".join(words_of_it)
        return
    yield " ".join(words_of_it) + " \\"
    yield f"     -H \"Content-Type: application/json\" -d '{json.dumps(body.get('example', {}))}'"


def _example(responses: dict[str, Any]) -> Iterator[str]:
    for status, told in responses.items():
        example = told.get("content", {}).get("application/json", {}).get("example")
        if int(status) < HTTPStatus.BAD_REQUEST and example is not None:
            yield "```json"
            yield json.dumps(example, indent=2)
            yield "```\n"


def _bodies(operation: dict[str, Any]) -> Iterator[str]:
    for told in (operation.get("requestBody", {}), *operation["responses"].values()):
        for inner in told.get("content", {}).values():
            if "$ref" in inner["schema"]:
                yield str(inner["schema"]["$ref"]).rpartition("/")[2]


def _errors(document: dict[str, Any]) -> Iterator[str]:
    met: dict[str, dict[str, Any]] = {}
    for methods in document["paths"].values():
        for operation in methods.values():
            met |= operation["responses"]
    yield "## Errors\n"
    yield "An error is a [ProblemBody](#problembody) as `application/problem+json`; decide by `code`.\n"
    yield "| Status | Meaning | A `code` |"
    yield "| --- | --- | --- |"
    for status in sorted(met):
        if int(status) >= HTTPStatus.BAD_REQUEST:
            example = met[status]["content"]["application/problem+json"]["example"]
            yield f"| {status} | {cell(met[status]['description'])} | `{example['code']}` |"
    yield ""


def _headers(document: dict[str, Any]) -> Iterator[str]:
    yield "## Headers of answers\n"
    yield "| Header | Meaning |"
    yield "| --- | --- |"
    for name, told in document["components"]["headers"].items():
        yield f"| `{name}` | {cell(told['description'])} |"
    yield ""
