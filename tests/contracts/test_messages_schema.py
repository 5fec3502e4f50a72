"""Messages keep their shape until someone records another on purpose: `python -m tests.contracts.record`."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec import Struct

from tests.contracts.bodies import BODIES
from tests.contracts.contracts import consumers, everything, pipeline, schema_text
from tests.contracts.record import FOLDER

NAMES = sorted(everything())


def recorded(name: str, what: str) -> str:
    return (FOLDER / f"{name}.{what}.json").read_text(encoding="utf-8")


def decoded(kind: type[Struct], body: bytes | str) -> Struct:
    return msgspec.json.decode(body, type=kind)


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every object type within a schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_is_the_one_recorded(name: str) -> None:
    assert schema_text(everything()[name]) == recorded(name, "schema")


@pytest.mark.parametrize("name", NAMES)
def test_a_body_recorded_earlier_still_decodes(name: str) -> None:
    decoded(everything()[name], recorded(name, "body"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_today_fits_the_recorded_schema(name: str) -> None:
    body = json.loads(msgspec.json.encode(BODIES[name]))
    jsonschema.validate(body, json.loads(recorded(name, "schema")))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_today_is_read_back_without_loss(name: str) -> None:
    body = msgspec.json.encode(BODIES[name])
    again = msgspec.json.encode(decoded(everything()[name], body))
    assert json.loads(again) == json.loads(body)


def test_nothing_is_recorded_that_is_not_a_message_any_more() -> None:
    assert {path.name.split(".schema")[0] for path in FOLDER.glob("*.schema.json")} == set(NAMES)
    assert {path.name.split(".body")[0] for path in FOLDER.glob("*.body.json")} == set(NAMES)


@pytest.mark.parametrize("name", sorted(consumers()))
def test_what_consumers_receive_is_closed(name: str) -> None:
    found = list(objects(json.loads(recorded(name, "schema"))))
    assert found
    assert all(each.get("additionalProperties") is False for each in found)


@pytest.mark.parametrize("name", sorted(pipeline()))
def test_a_message_from_a_newer_release_with_one_more_field_is_still_read(name: str) -> None:
    body = json.loads(recorded(name, "body")) | {"added_later": 1}
    decoded(pipeline()[name], json.dumps(body))


@pytest.mark.parametrize("name", sorted(consumers()))
def test_a_consumers_copy_of_the_schema_refuses_a_field_that_is_not_promised(name: str) -> None:
    body = json.loads(recorded(name, "body"))
    body["data"]["subject_line"] = "canary"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, json.loads(recorded(name, "schema")))
