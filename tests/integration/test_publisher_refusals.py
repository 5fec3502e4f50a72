"""Consumers' HTTP: who may ask, and how a request that cannot be answered is refused."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from openapi_spec_validator import validate

from services.publisher import api, openapi
from services.publisher.consumers import add, bearer_of, listed, remove
from services.publisher.timelines import publish
from shared.errors import Reject
from shared.health import Health
from shared.store import Store, open_store
from shared.tables import consumers, timelines
from tests.integration.asking import Asker, asking
from tests.unit.publisher.readings import MONDAY, busy, connect, snapshot

MAILBOXES = "/v1/orgs/acme/mailboxes"
ONE = f"{MAILBOXES}/m-0001@example.com/availability"
FREE_BUSY = "/v1/orgs/acme/free-busy"
STATUS = "/v1/orgs/acme/status"
DAY_ONE = {"from": "2026-01-05T00:00:00Z", "to": "2026-01-06T00:00:00Z"}
ROUTES = [("get", MAILBOXES), ("get", ONE), ("post", FREE_BUSY), ("get", STATUS)]


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = open_store(sqlite_url)
    await connect(opened)
    yield opened
    await opened.close()


@pytest.fixture
async def asker(store: Store) -> AsyncIterator[Asker]:
    token = await add(store, "booking", ["acme"], now=MONDAY)
    async with asking(store) as found:
        found.token = token
        yield found


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("token", ["", "busyline_" + "A" * 43, "x", "busyline_ü"])
async def test_without_a_good_token_nothing_is_answered(asker: Asker, method: str, path: str, token: str) -> None:
    asker.token = token.encode().decode("latin-1")
    answer = await (asker.get(path) if method == "get" else asker.post(path, {}))
    assert (answer.status, answer.body["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_org_outside_the_scope_looks_exactly_like_one_that_is_not_there(
    store: Store, asker: Asker, method: str, path: str
) -> None:
    await connect(store, "beta")
    answers = []
    for org_id in ("beta", "absent", "not%20an%20id"):
        other = path.replace("acme", org_id)
        answers.append(await (asker.get(other) if method == "get" else asker.post(other, {})))
    assert {answer.status for answer in answers} == {404}
    assert len({answer.raw for answer in answers}) == 1


async def test_a_token_for_every_org_asks_about_any_and_still_not_about_one_that_is_not_there(
    store: Store, asker: Asker
) -> None:
    asker.token = await add(store, "everything", ["*"], now=MONDAY)
    assert (await asker.get(STATUS)).status == 200
    assert (await asker.get("/v1/orgs/absent/status")).body["code"] == "org_unknown"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"from": "2026-01-06T00:00:00Z", "to": "2026-01-05T00:00:00Z"}, "to"),
        ({"from": "2026-01-06T00:00:00Z", "to": "2026-01-06T00:00:00Z"}, "to"),
        ({"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T00:00:00Z"}, "to"),
        ({"from": "tomorrow"}, "from"),
        ({"to": "2026-01-06T00:00:00"}, "to"),
        ({"form": "2026-01-06T00:00:00Z"}, "form"),
    ],
)
async def test_a_wrong_parameter_is_named(store: Store, asker: Asker, asked: dict[str, str], field: str) -> None:
    await publish(store, [snapshot()], now=MONDAY)
    answer = await asker.get(ONE, **asked)
    assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "invalid", field)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"{", 400, "malformed", None),
        (b"\xff\xfe", 400, "malformed", None),
        (b"[" * 100_000, 422, "invalid", "body"),
        (b"[]", 422, "invalid", "body"),
        ({**DAY_ONE}, 422, "invalid", "body"),
        ({"mailboxes": [], **DAY_ONE}, 422, "invalid", "mailboxes"),
        ({"mailboxes": ["a"] * 1001, **DAY_ONE}, 422, "invalid", "mailboxes"),
        ({"mailboxes": [7], **DAY_ONE}, 422, "invalid", "mailboxes[0]"),
        ({"mailboxes": ["a"], **DAY_ONE, "extra": 1}, 422, "invalid", "body"),
        ({"mailboxes": ["a"], "from": "soon", "to": DAY_ONE["to"]}, 422, "invalid", "from"),
        ({"mailboxes": ["a"], "from": DAY_ONE["to"], "to": DAY_ONE["from"]}, 422, "invalid", "to"),
        ({"mailboxes": ["a"], "from": "2026-01-01T00:00:00Z", "to": "2026-03-05T00:00:00Z"}, 422, "invalid", "to"),
    ],
)
async def test_a_wrong_body_is_refused_by_what_is_wrong(
    asker: Asker, body: object, status: int, code: str, field: str | None
) -> None:
    answer = await asker.post(FREE_BUSY, body)
    assert (answer.status, answer.body["code"], answer.body.get("field")) == (status, code, field)


async def test_a_body_beyond_one_mebibyte_is_refused(asker: Asker) -> None:
    assert (await asker.post(FREE_BUSY, b" " * ((1 << 20) + 1))).status == 413


async def test_a_body_that_is_not_json_by_its_type_is_refused(asker: Asker) -> None:
    assert (await asker.post(FREE_BUSY, b"{}", content_type="text/plain")).status == 415


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "-1"},
        {"limit": "x"},
        {"limit": "²"},
        {"limit": "9" * 5000},
        {"cursor": "!"},
        {"cursor": "_w"},
        {"cursor": "ü"},
        {"bucket": "nowhere"},
        {"page": "2"},
    ],
)
async def test_a_wrong_listing_parameter_is_named(asker: Asker, asked: dict[str, str]) -> None:
    answer = await asker.get(MAILBOXES, **asked)
    assert (answer.status, answer.body["field"]) == (422, next(iter(asked)))


@pytest.mark.parametrize(("method", "path", "status"), [("get", "/", 404), ("post", STATUS, 405), ("get", "/v2", 404)])
async def test_what_is_not_there_is_a_problem_too(asker: Asker, method: str, path: str, status: int) -> None:
    asker.page["paths"].get("/v1/orgs/{org}/status", {}).setdefault(
        "post", {"responses": {"405": {"content": {"application/problem+json": {"schema": {}}}}}}
    )
    answer = await (asker.get(path) if method == "get" else asker.post(path, {}))
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_forwarded_headers_change_nothing(asker: Asker) -> None:
    plain = await asker.get(STATUS)
    asker.session.headers.update({"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "elsewhere", "Host": "elsewhere"})
    assert (await asker.get(STATUS)).raw == plain.raw


async def test_a_database_that_is_away_is_said_so_and_nothing_more() -> None:
    away = open_store("postgresql://nobody@127.0.0.1:1/none")
    async with asking(away) as asker:
        asker.token = "busyline_" + "A" * 43
        answer = await asker.get(STATUS)
    await away.close()
    assert (answer.status, answer.body["code"]) == (503, "store_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert b"127.0.0.1" not in answer.raw


async def test_a_fault_is_answered_bare(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    async with store.write() as connection:
        await connection.execute(timelines.update().values(blocks=b"not what was written"))
    answer = await asker.get(ONE)
    assert (answer.status, answer.body) == (
        500,
        {
            "type": "urn:busyline:problem:internal",
            "title": "Internal Server Error",
            "status": 500,
            "code": "internal",
        },
    )


async def test_live_and_ready_are_said_without_a_token(store: Store) -> None:
    health = Health()
    async with asking(store, health) as asker:
        assert (await asker.get("/livez")).status == 200
        assert (await asker.get("/readyz")).status == 503
        health.set("publisher", ready=True)
        assert (await asker.get("/readyz")).status == 200


def test_the_page_is_valid_openapi_and_all_its_values_are_closed() -> None:
    page = openapi.document(api.OPERATIONS)
    validate(page)
    free = [
        name
        for name, schema in page["components"]["schemas"].items()
        if schema.get("type") == "object" and schema.get("additionalProperties") is not False
    ]
    assert free == []


async def test_many_ask_at_once(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    answers = await asyncio.gather(*(asker.get(ONE) for _ in range(40)))
    assert {answer.status for answer in answers} == {200}


async def test_only_the_hash_of_a_token_is_kept(store: Store) -> None:
    token = await add(store, "app", ["acme", "acme"], now=MONDAY)
    async with store.read() as connection:
        row = (await connection.execute(consumers.select())).mappings().one()
    assert token not in str(dict(row))
    assert [(known.name, known.orgs) for known in await listed(store)] == [("app", ("acme",))]
    found = await bearer_of(store, token)
    assert found is not None
    assert found.name == "app"


@pytest.mark.parametrize(
    ("name", "orgs", "reason"),
    [
        ("", ["acme"], "consumer_name_invalid"),
        ("a b", ["acme"], "consumer_name_invalid"),
        ("app", [], "orgs_invalid"),
        ("app", ["a.b"], "orgs_invalid"),
        ("taken", ["acme"], "consumer_exists"),
    ],
)
async def test_a_consumer_is_added_with_a_good_name_and_scope_only(
    store: Store, name: str, orgs: list[str], reason: str
) -> None:
    await add(store, "taken", ["acme"], now=MONDAY)
    with pytest.raises(Reject) as refusal:
        await add(store, name, orgs, now=MONDAY)
    assert refusal.value.reason == reason


async def test_a_token_removed_is_void_at_once(store: Store, asker: Asker) -> None:
    assert await remove(store, "booking")
    assert (await asker.get(STATUS)).status == 401
    assert not await remove(store, "booking")
