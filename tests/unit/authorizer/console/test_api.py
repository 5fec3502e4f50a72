"""The setup API: what it answers is what its page says, and nobody may do more by it than on the pages."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate

from services.authorizer import audit
from services.authorizer.console import api, api_openapi
from services.authorizer.console.api_calls import strangers
from shared import clock
from shared.contracts.policy import Policy
from tests.unit.authorizer.acting import OPEN, acts, state
from tests.unit.authorizer.console.attacking import ELSEWHERE, connected, stored
from tests.unit.authorizer.console.calling import Platform, platform
from tests.unit.authorizer.console.visiting import ACTOR, Console

PLAIN: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(Policy()))


@pytest.fixture
async def caller(stranger: Console) -> Platform:
    """A platform that calls about acme, which is connected under the details policy."""
    await connected(stranger.store)
    return await platform(stranger)


def test_the_page_is_valid_openapi() -> None:
    page = api_openapi.document(api.OPERATIONS)
    validate(page)
    names = [operation.name for operation in api.OPERATIONS]
    assert len(set(names)) == len(names)


async def test_the_status_of_an_org_is_told(caller: Platform) -> None:
    found = (await caller.get("/status")).body
    assert (found["org_id"], found["phase"], found["connection"]["kind"]) == ("acme", "syncing", "graph")
    assert sum(cause["count"] for cause in found["causes"]) == 2


async def test_an_org_that_nobody_knows_yet_has_a_status_too(stranger: Console) -> None:
    found = await (await platform(stranger, org_id="new")).get("/status")
    assert (found.status, found.body["phase"], found.body["connection"]) == (200, "none", None)


async def test_no_answer_names_a_credential(caller: Platform) -> None:
    for path in ("/status", "/mailboxes", "/policy", "/audit"):
        answer = await caller.get(path)
        assert "acme-0123abcd" not in answer.text
        assert "canary" not in answer.text


async def test_mailboxes_come_page_by_page(caller: Platform) -> None:
    first = (await caller.get("/mailboxes", limit="1")).body
    second = (await caller.get("/mailboxes", limit="1", after=first["after"])).body
    assert [one["mailbox_id"] for one in (*first["mailboxes"], *second["mailboxes"])] == ["m-1", "m-2"]
    assert (first["count"], second["count"], second["after"]) == (2, 2, None)


async def test_mailboxes_are_filtered_and_searched(caller: Platform) -> None:
    denied = (await caller.get("/mailboxes", bucket="denied", reason="access_denied")).body
    named = (await caller.get("/mailboxes", text="M-1@")).body
    waiting = (await caller.get("/mailboxes", waiting="true")).body
    assert [one["mailbox_id"] for one in denied["mailboxes"]] == ["m-2"]
    assert [one["mailbox_id"] for one in named["mailboxes"]] == ["m-1"]
    assert waiting["mailboxes"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"after": "x"}, "after"),
        ({"bucket": "full"}, "bucket"),
        ({"waiting": "no"}, "waiting"),
        ({"text": "a" * 321}, "text"),
        ({"org_id": "beta"}, "org_id"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(caller: Platform, query: dict[str, str], field: str) -> None:
    answer = await caller.get("/mailboxes", **query)
    assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "invalid", field)


async def test_a_mailbox_of_another_org_is_unknown(caller: Platform) -> None:
    assert (await caller.get("/mailboxes/m-1")).body["address"] == "m-1@acme.example"
    other, absent = await caller.get(f"/mailboxes/{ELSEWHERE}"), await caller.get("/mailboxes/m-of-nobody")
    assert (other.status, other.text) == (404, absent.text)


async def test_a_policy_is_previewed_and_not_changed(caller: Platform) -> None:
    answer = await caller.post("/policy/preview", PLAIN)
    assert answer.body["stricter"] is True
    assert [one["field"] for one in answer.body["changes"]] == ["detail"]
    assert {(one["kind"], one["word"]): one["count"] for one in answer.body["figures"]}["read", "mailboxes"] == 2
    assert (await caller.get("/policy")).body["policy"]["detail"] == "details"


async def test_a_policy_is_put_in_force_in_the_name_of_whom_the_link_names(caller: Platform) -> None:
    answer = await caller.put("/policy", PLAIN)
    assert (answer.status, answer.body) == (200, {"generation": 2, "policy": PLAIN})
    assert (await state(caller.browser.place.store)).policy == Policy()
    assert (await acts(caller.browser.place.store))[-1] == (ACTOR, "policy.changed")
    told = (await caller.get("/audit")).body
    assert (told["entries"][0]["actor"], told["broken"]) == (ACTOR, None)


async def test_an_address_is_excluded_however_it_is_written(caller: Platform) -> None:
    asked = {**PLAIN, "scope": {"exclude": ["CEO@Acme.example"]}, "poll_seconds": 77, "conferencing": True}
    answer = await caller.put("/policy", asked)
    policy = (await state(caller.browser.place.store)).policy
    assert (policy.scope.exclude, policy.poll_seconds, policy.conferencing) == (("ceo@acme.example",), 77, False)
    assert answer.body["policy"]["scope"]["exclude"] == ["ceo@acme.example"]


async def test_a_misspelt_member_is_not_passed_over_in_silence(caller: Platform) -> None:
    asked = {**PLAIN, "scope": {"exlude": ["ceo@acme.example"]}}
    answer = await caller.put("/policy", asked)
    assert (answer.status, answer.body["field"]) == (422, "scope.exlude")
    assert (await state(caller.browser.place.store)).policy == OPEN


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, ""),
        (b"\xff", 400, ""),
        (b"[" * 100_000, 422, ""),
        (b'{"scope":' * 100_000, 400, ""),
        (b"[]", 422, ""),
        ({"days_back": -1}, 422, "days_back"),
        ({"detail": "canary-word"}, 422, "detail"),
        ({"days_ahead": 9999}, 422, "days_ahead"),
        ({"scope": {"exclude": ["nobody"]}}, 422, "scope.exclude"),
        ({"scope": {"groups": ["not/an/id"]}}, 422, "scope.groups"),
        ({"window": [5, 5]}, 422, "window"),
    ],
)
async def test_a_body_that_is_wrong_changes_nothing_and_is_not_quoted(
    caller: Platform, body: object, status: int, field: str
) -> None:
    answer = await caller.put("/policy", body)
    assert (answer.status, answer.body.get("field", "")) == (status, field)
    assert "canary" not in answer.text
    assert (await state(caller.browser.place.store)).policy == OPEN


async def test_a_body_that_is_no_json_by_its_type_is_refused(caller: Platform) -> None:
    answer = await caller.call("PUT", "/policy", data=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status == 415


async def test_a_body_that_is_too_large_is_refused(caller: Platform) -> None:
    answer = await caller.put("/policy", b" " * (5 * 2**20))
    assert answer.status == 413


async def test_there_is_no_receipt_before_an_org_has_left(caller: Platform) -> None:
    answer = await caller.get("/receipt")
    assert (answer.status, answer.body["code"]) == (404, "no_receipt")


async def test_the_audit_log_is_told_page_by_page(caller: Platform) -> None:
    store = caller.browser.place.store
    for number in range(60):
        async with store.write() as writing:
            act = {"chain": "acme", "actor": "x", "action": "y"}
            await audit.append(store, writing, **act, details={"n": number}, now=clock.now())
    first = (await caller.get("/audit")).body
    second = (await caller.get("/audit", page=str(first["older"]))).body
    numbers = [one["number"] for one in (*first["entries"], *second["entries"])]
    assert numbers == list(range(first["total"], 0, -1))
    assert second["older"] is None


# -- who may call ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"role": "member"},
        {"seconds": -1},
        {"seconds": 601},
        {"key": "another key, which is long enough too"},
        {"public_url": "https://elsewhere.example"},
        {"return_to": "https://evil.example"},
    ],
)
async def test_a_link_that_opens_no_page_opens_the_api_neither(caller: Platform, claims: dict[str, Any]) -> None:
    caller.token = caller.browser.link(**claims).partition("link=")[2]
    before = await stored(caller.browser.place.store)
    assert (await caller.get("/status")).status == 401
    assert (await caller.put("/policy", PLAIN)).status == 401
    assert await stored(caller.browser.place.store) == before


async def test_a_link_is_taken_as_often_as_it_is_shown(caller: Platform) -> None:
    assert [(await caller.get("/status")).status for _ in range(3)] == [200, 200, 200]


async def test_a_session_calls_with_its_token_and_not_without(caller: Platform) -> None:
    caller.token = ""
    assert (await caller.get("/status")).status == 401
    await caller.browser.enter()
    assert (await caller.get("/status")).status == 200
    assert (await caller.put("/policy", PLAIN)).status == 403
    kind = {"Content-Type": "application/json", "X-CSRF-Token": caller.browser.csrf}
    assert (await caller.call("PUT", "/policy", data=msgspec.json.encode(Policy()), headers=kind)).status == 200


async def test_what_is_not_there_is_a_problem_too(caller: Platform) -> None:
    assert (await caller.get("/nothing")).status == 404
    assert (await caller.call("DELETE", "/policy")).status == 405


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_what_was_taken_as_it_was_given_has_no_stranger_in_it(value: object) -> None:
    assert list(strangers(value, value)) == []


@given(st.dictionaries(st.text(max_size=3), values, max_size=3), st.text(min_size=4, max_size=6), values)
def test_a_member_too_many_is_always_found(value: dict[str, object], name: str, extra: object) -> None:
    assert list(strangers({**value, name: extra}, value)) == [name]
