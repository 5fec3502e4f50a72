"""Finding time over HTTP: every request that contradicts itself is refused by the name of the field."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.publisher.consumers import add
from shared.store import open_store
from tests.integration.asking import Asker, asking
from tests.unit.publisher.readings import MONDAY, connect

SLOTS = "/v1/orgs/acme/slots"
ADA: list[dict[str, Any]] = [{"mailbox": "ada"}]
GOOD: dict[str, Any] = {
    "periods": [{"from": "2026-01-05T08:00:00Z", "to": "2026-01-05T12:00:00Z"}],
    "duration_minutes": 60,
    "required": ADA,
}
PERIOD = GOOD["periods"][0]


@pytest.fixture
async def asker(sqlite_url: str) -> AsyncIterator[Asker]:
    store = open_store(sqlite_url)
    await connect(store)
    token = await add(store, "booking", ["acme"], now=MONDAY)
    async with asking(store) as found:
        found.token = token
        yield found
    await store.close()


def hours(**period: Any) -> dict[str, Any]:
    return {"time_zone": "UTC", "periods": [{"days": ["monday"], "start": "09:00", "end": "17:00"} | period]}


def group(**rest: Any) -> dict[str, Any]:
    return {"name": "g", "need": 1, "members": ADA} | rest


BACKWARDS = {"mailbox": "bob", "working_hours": hours(start="18:00")}
CASES: list[tuple[dict[str, Any], str]] = [
    ({"periods": []}, "periods"),
    ({"periods": [PERIOD | {"from": "yesterday"}]}, "periods[0].from"),
    ({"periods": [PERIOD, PERIOD | {"to": PERIOD["from"]}]}, "periods[1].to"),
    ({"periods": [PERIOD, PERIOD | {"to": "2026-03-30T08:00:00Z"}]}, "periods"),
    ({"periods": [{"from": "1969-12-31T00:00:00Z", "to": "1970-01-01T00:00:00Z"}]}, "periods[0]"),
    ({"periods": [{"from": "9999-12-30T00:00:00Z", "to": "9999-12-31T23:59:59Z"}]}, "periods[0]"),
    ({"duration_minutes": 0}, "duration_minutes"),
    ({"duration_minutes": 1441}, "duration_minutes"),
    ({"step_minutes": 7}, "step_minutes"),
    ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"required": []}, "required"),
    ({"required": [{"mailbox": f"m{n}"} for n in range(150)], "rooms": [f"r{n}" for n in range(51)]}, "required"),
    ({"required": [*ADA, {"mailbox": "x@y.example"}, {"mailbox": "X@Y.example"}]}, "required[2]"),
    ({"required": [{"mailbox": "ada", "subject": "why"}]}, "required[0]"),
    ({"required": [{"mailbox": "ada", "working_hours": "never"}]}, "required[0].working_hours"),
    ({"groups": [group(), group(need=2)]}, "groups[1].name"),
    ({"groups": [group(need=2)]}, "groups[0].need"),
    ({"groups": [group(name="rooms")]}, "groups[0].name"),
    ({"groups": [group(members=[*ADA, *ADA])]}, "groups[0].members[1]"),
    ({"rooms": ["one", "one"]}, "rooms[1]"),
    ({"working_hours": hours(end="09:00")}, "working_hours.periods[0].end"),
    ({"working_hours": hours() | {"time_zone": "Nowhere"}}, "working_hours.time_zone"),
    ({"optional": [BACKWARDS]}, "optional[0].working_hours.periods[0].end"),
    ({"blocking": ["free"]}, "blocking[0]"),
    ({"buffer_before_minutes": 481}, "buffer_before_minutes"),
    ({"limit": 201}, "limit"),
    ({"rank": "latest"}, "rank"),
    ({"colour": "red"}, "body"),
]  # fmt: skip


async def test_what_contradicts_itself_is_refused_by_the_name_of_the_field(asker: Asker) -> None:
    for changed, field in CASES:
        answer = await asker.post(SLOTS, GOOD | changed)
        assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "invalid", field), changed


async def test_the_largest_request_there_may_be_is_answered(asker: Asker) -> None:
    people = [{"mailbox": f"m{n}@example.com"} for n in range(200)]
    period = {"from": "2026-01-05T00:00:00Z", "to": "2026-03-08T00:00:00Z"}
    asked = GOOD | {"periods": [period], "required": people, "step_minutes": 5, "ignore_unknown": True, "limit": 200}
    answer = await asker.post(SLOTS, asked)
    assert (answer.status, answer.body["found"], len(answer.body["slots"])) == (200, 62 * 288 - 11, 200)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"slots"'])
async def test_a_body_that_is_no_request_is_refused(asker: Asker, body: bytes) -> None:
    assert (await asker.post(SLOTS, body)).status in {400, 422}
    assert (await asker.post(SLOTS, body, content_type="text/plain")).status == 415
