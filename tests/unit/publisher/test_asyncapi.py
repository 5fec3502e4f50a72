"""The documents that describe us: valid, whole, with examples that fit, and readable by AsyncAPI's own parser."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from services.publisher import api, asyncapi, openapi, samples
from services.publisher.events import EVENTS
from services.publisher.specimen import specimen
from services.publisher.ways import WAYS
from tests.documents import asyncapi_problems, openapi_problems
from tests.node import node

Page = dict[str, Any]


@pytest.fixture
def page() -> Page:
    return asyncapi.document()


def test_both_documents_are_without_fault(page: Page) -> None:
    assert asyncapi_problems(page) == []
    assert openapi_problems(openapi.document(api.OPERATIONS)) == []


def test_the_official_parser_reads_every_channel_and_message_and_finds_no_fault(page: Page) -> None:
    found = node("asyncapi.js", page)
    assert found["read"]
    assert found["channels"] == [way.name for way in WAYS]
    assert len(found["messages"]) == len(page["components"]["messages"])
    assert {each["code"] for each in found["said"]} <= {"asyncapi-latest-version"}


def test_the_official_parser_finds_the_faults_of_a_document_that_has_some(page: Page) -> None:
    page["components"]["messages"]["exchange.orgRemoved"]["examples"][0]["payload"]["orgid"] = "a.b"
    page["operations"]["announce"]["messages"][0]["$ref"] = "#/channels/stream/messages/orgRemoved"
    assert {each["severity"] for each in node("asyncapi.js", page)["said"]} > {0}


def test_every_way_tells_every_type_of_event(page: Page) -> None:
    for way in WAYS:
        messages = [
            page["components"]["messages"][f"{way.name}.{each}"] for each in page["channels"][way.name]["messages"]
        ]
        assert {each["name"] for each in messages} == {*EVENTS, *way.more}


def test_the_data_of_an_event_is_of_one_type_and_closed(page: Page) -> None:
    schemas = page["components"]["schemas"]
    for event in EVENTS.values():
        assert list(schemas[event.__name__]["properties"]["data"]) == ["$ref"]
    closed = {name for name, schema in schemas.items() if schema.get("additionalProperties") is False}
    assert {name for name, schema in schemas.items() if schema.get("type") == "object"} - closed == {"WebhookHeaders"}


@pytest.mark.parametrize("kind", EVENTS)
def test_a_sample_is_an_event_of_its_type(kind: str) -> None:
    assert msgspec.convert(samples.event(kind), EVENTS[kind]).type == kind


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("components", "messages", "stream.position", "examples"), [], "no example"),
        (
            ("components", "messages", "exchange.orgRemoved", "payload", "$ref"),
            "#/components/schemas/Nothing",
            "nothing is at",
        ),
        (("components", "messages", "exchange.orgRemoved", "examples", 0, "payload", "orgid"), "a.b", "example"),
        (("components", "schemas", "OrgRemoved", "type"), "thing", "schema OrgRemoved"),
        (("channels", "exchange", "address"), "{org}", "parameters"),
        (("operations", "announce", "action"), "shout", "neither"),
        (("operations", "announce", "channel", "$ref"), "#/channels/stream", "not of its channel"),
    ],
)
def test_a_fault_in_the_asyncapi_document_is_found(
    page: Page, path: tuple[str | int, ...], value: object, fault: str
) -> None:
    *way, last = path
    place: Any = page
    for step in way:
        place = place[step]
    place[last] = value
    assert any(fault in each for each in asyncapi_problems(page))


def test_faults_in_the_openapi_document_are_found() -> None:
    page = openapi.document(api.OPERATIONS)
    status = page["paths"]["/v1/orgs/{org}/status"]["get"]["responses"]["200"]["content"]["application/json"]
    status["example"]["generation"] = "seven"
    assert any("example is wrong" in each for each in openapi_problems(page))
    del status["example"]
    assert any("no example" in each for each in openapi_problems(page))


def test_an_example_is_made_of_every_type_that_is_asked_or_answered() -> None:
    for each in api.OPERATIONS:
        for kind in filter(None, (each.takes, each.answers)):
            example = specimen(kind)
            assert example
            assert example == specimen(kind)


def test_a_word_that_nothing_fits_is_refused() -> None:
    odd = msgspec.defstruct("Odd", [("word", Annotated[str, Meta(pattern="^!+$")])])
    with pytest.raises(LookupError):
        specimen(odd)
