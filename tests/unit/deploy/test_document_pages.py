"""The pages made from the OpenAPI and AsyncAPI documents: all of both is told, and every link leads somewhere."""

import json
import re
import shlex
from typing import Any

import pytest

from deploy.events_page import events_page
from deploy.http_page import http_page
from deploy.schema_words import table, within, words
from services.publisher import api, asyncapi, openapi
from services.publisher.events import EVENTS
from services.publisher.ways import WAYS

HTTP = http_page(openapi.document(api.OPERATIONS))
EVENTS_PAGE = events_page(asyncapi.document())


def anchors(page: str) -> set[str]:
    """Return the headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [HTTP, EVENTS_PAGE], ids=["http", "events"])
def test_every_link_within_a_page_leads_somewhere(page: str) -> None:
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors(page)


def test_every_operation_is_told_with_its_errors_and_a_command() -> None:
    for each in api.OPERATIONS:
        told = HTTP.partition(f"`{each.method} {each.path}`\n")[2].partition("\n### ")[0]
        assert told.startswith("\n"), each.name
        for status in each.problems:
            assert f"[{status}](#errors)" in told
        for parameter in each.query:
            assert f"| `{parameter.name}` | query |" in told
        assert "```sh\ncurl " in told


def test_a_commands_body_is_json_that_a_shell_hands_on_whole() -> None:
    commands = [block.replace("\\\n", "") for block in re.findall(r"```sh\n(.*?)```", HTTP, re.DOTALL)]
    bodies = [shlex.split(each) for each in commands if " -d " in each]
    assert len(bodies) == sum(each.takes is not None for each in api.OPERATIONS)
    for parts in bodies:
        assert isinstance(json.loads(parts[parts.index("-d") + 1]), dict)


def test_every_type_of_event_and_every_way_is_told_with_an_example() -> None:
    for kind in (*EVENTS, *(kind for way in WAYS for kind in way.more)):
        told = EVENTS_PAGE.partition(f"\n### {kind}\n")[2].partition("\n### ")[0]
        assert "```json\n" in told, kind
    for way in WAYS:
        assert f"| Address | `{way.address}` |" in EVENTS_PAGE


def test_no_cell_of_a_table_is_broken_by_what_it_holds() -> None:
    for line in (HTTP + EVENTS_PAGE).splitlines():
        if line.startswith("| `"):
            assert len(re.findall(r"(?<!\\)\|", line)) in {3, 4, 5}, line


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "pattern": "^a+$"}, "text matching `^a+$`"),
        ({"type": "string", "pattern": "^(json|console)$"}, "`json` or `console`"),
        ({"type": "string", "format": "date-time"}, "instant"),
        ({"type": "string", "maxLength": 5}, "text, at most 5 characters"),
        ({"type": "integer", "minimum": 1, "maximum": 9}, "integer, 1 to 9"),
        ({"type": "integer", "minimum": 0}, "integer, 0 or more"),
        ({"type": "integer"}, "integer"),
        ({"enum": ["a", "b"]}, "`a` or `b`"),
        ({"$ref": "#/components/schemas/Span"}, "[Span](#span)"),
        ({"type": "array", "items": {"type": "boolean"}}, "list of true or false"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object, from text to integer"),
        ({}, "any value"),
    ],
)
def test_a_schema_is_said_in_words(schema: dict[str, Any], expected: str) -> None:
    assert words(schema) == expected


def test_what_may_be_absent_is_marked() -> None:
    schema = {"properties": {"one": {"type": "string"}, "two": {"type": "string"}}, "required": ["one"]}
    assert [line.split("|")[1].strip() for line in table(schema)][2:] == ["`one`", "`two` (may be absent)"]


def test_schemas_are_found_once_though_they_hold_each_other() -> None:
    reference = {"$ref": "#/components/schemas/B"}
    schemas = {
        "A": {"properties": {"b": reference, "c": reference}},
        "B": {"items": {"$ref": "#/components/schemas/A"}},
    }
    assert within(["A"], schemas) == ["A", "B"]
