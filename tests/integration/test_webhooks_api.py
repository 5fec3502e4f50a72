"""Consumers keep their webhooks over HTTP, on both databases: each its own alone, and secrets are shown once."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import ClientSession
from msgspec import Struct
from sqlalchemy import event, select

from services.publisher import consumers
from services.publisher.timelines import publish
from services.publisher.web import served
from services.publisher.webhooks import registry
from services.publisher.webhooks.delivery import Post
from services.publisher.webhooks.signing import Keys
from shared import logs
from shared.health import Health
from shared.store import Store, open_store
from shared.tables import relay, webhooks
from tests.unit.publisher.hooks import Clock, FakeSender, Taker, consumer, make, post_with, serve, standing, status
from tests.unit.publisher.readings import MONDAY, connect, snapshot
from tests.waiting import until

URL = "https://consumer.example/hook"
ONE = "/v1/webhooks/{webhook}"


class Answer(Struct):
    """What came back."""

    status: int
    body: Any
    raw: str


class Desk:
    """One consumer at one server, every answer held against the OpenAPI page."""

    def __init__(self, session: ClientSession, url: str, page: dict[str, Any]) -> None:
        self.session, self.url, self.page = session, url, page
        self.token = ""

    async def __call__(self, method: str, path: str, body: object = None, **query: str) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}"}
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        if data is not None:
            headers["Content-Type"] = "application/json"
        async with self.session.request(method, self.url + path, data=data, headers=headers, params=query) as response:
            raw = await response.read()
            found = json.loads(raw) if raw else None
            self._see(method, path, response.status, response.content_type, found)
            return Answer(response.status, found, raw.decode())

    def _see(self, method: str, path: str, code: int, media_type: str, body: object) -> None:
        documented = re.sub(r"^/v1/webhooks/[^/]+", ONE, path)
        answer = self.page["paths"][documented][method.lower()]["responses"][str(code)]
        if body is None:
            assert "content" not in answer
            return
        schema = {**answer["content"][media_type]["schema"], "components": self.page["components"]}
        jsonschema.Draft202012Validator(schema).validate(body)


@asynccontextmanager
async def desk_of(post: Post) -> AsyncIterator[Desk]:
    async with (
        served(post.store, Health(), host="127.0.0.1", port=0, post=post) as port,
        ClientSession() as session,
    ):
        async with session.get(f"http://127.0.0.1:{port}/openapi.json") as response:
            page = await response.json()
        yield Desk(session, f"http://127.0.0.1:{port}", page)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    yield opened
    await opened.close()


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender(Taker())


@pytest.fixture
def post(store: Store, tmp_path: Path, sender: FakeSender) -> Post:
    return post_with(store, tmp_path, sender, Clock())


@pytest.fixture
async def desk(post: Post) -> AsyncIterator[Desk]:
    async with desk_of(post) as found:
        found.token = await consumer(post.store)
        yield found


async def test_a_webhook_is_made_at_the_logs_end_and_its_secret_shown_once(
    store: Store, desk: Desk, post: Post, sender: FakeSender
) -> None:
    await publish(store, [snapshot()], now=MONDAY)
    made = await desk("POST", "/v1/webhooks", {"url": URL})
    webhook, secret = made.body["webhook"], made.body["secret"]
    assert (made.status, webhook["position"], webhook["orgs"], webhook["state"]) == (201, 1, ["*"], "enabled")
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    for path in ("/v1/webhooks", f"/v1/webhooks/{webhook['id']}"):
        shown = await desk("GET", path)
        assert URL in shown.raw
        assert secret not in shown.raw
    async with store.read() as connection:
        assert secret.encode() not in (await connection.execute(select(webhooks.c.secret))).scalar_one()
    sender.taker.secret = secret
    await publish(store, [snapshot(mailbox_id="m2")], now=MONDAY)
    await serve(post)
    assert sender.taker.positions == [2]


async def test_a_webhook_may_begin_after_a_position_that_the_log_knows(store: Store, desk: Desk) -> None:
    await publish(store, [snapshot(), snapshot(mailbox_id="m2")], now=MONDAY)
    assert (await desk("POST", "/v1/webhooks", {"url": URL, "after": 1})).body["webhook"]["position"] == 1
    ahead = await desk("POST", "/v1/webhooks", {"url": URL, "after": 3})
    assert (ahead.status, ahead.body["code"]) == (410, "position_unknown")
    async with store.write() as connection:
        await connection.execute(relay.insert().values(name="forgotten", position=1))
    gone = await desk("POST", "/v1/webhooks", {"url": URL, "after": 0})
    assert (gone.status, gone.body["code"]) == (410, "position_forgotten")


async def test_a_consumer_sees_its_own_webhooks_alone(store: Store, desk: Desk, sender: FakeSender) -> None:
    webhook = (await desk("POST", "/v1/webhooks", {"url": URL})).body["webhook"]
    mine, desk.token = desk.token, await consumer(store, "other", ("*",))
    assert (await desk("GET", "/v1/webhooks")).body == {"webhooks": []}
    for method, path, body in (
        ("GET", "", None), ("PATCH", "", {"url": URL}), ("DELETE", "", None), ("POST", "/rotate", None),
        ("POST", "/test", None), ("POST", "/enable", None), ("POST", "/replay", {"after": 0}),
        ("GET", "/deliveries", None),
    ):  # fmt: skip
        foreign = await desk(method, f"/v1/webhooks/{webhook['id']}{path}", body)
        absent = await desk(method, f"/v1/webhooks/wh_none{path}", body)
        assert (foreign.status, foreign.raw) == (404, absent.raw)
    desk.token = "busyline_" + "x" * 43
    assert (await desk("GET", f"/v1/webhooks/{webhook['id']}")).status == 401
    desk.token = mine
    assert (await desk("GET", f"/v1/webhooks/{webhook['id']}")).body == webhook
    assert sender.requests == 0


async def test_orgs_outside_the_scope_do_not_exist(store: Store, desk: Desk) -> None:
    await connect(store, "beta")
    for orgs in (["beta"], ["acme", "beta"], ["nowhere"], [""]):
        refused = await desk("POST", "/v1/webhooks", {"url": URL, "orgs": orgs})
        assert (refused.status, refused.body["code"]) == (404, "org_unknown")
    made = await desk("POST", "/v1/webhooks", {"url": URL, "orgs": ["acme", "acme"]})
    assert made.body["webhook"]["orgs"] == ["acme"]
    path = f"/v1/webhooks/{made.body['webhook']['id']}"
    assert (await desk("PATCH", path, {"orgs": ["beta"]})).status == 404
    assert (await desk("PATCH", path, {"orgs": ["*", "acme"]})).body["orgs"] == ["*"]


async def test_a_url_that_may_not_be_used_is_refused(desk: Desk) -> None:
    made = (await desk("POST", "/v1/webhooks", {"url": URL})).body["webhook"]
    for url in ("http://consumer.example/", "https://127.0.0.1/", "https://user@consumer.example/", "https://" * 400):
        for method, path in (("POST", "/v1/webhooks"), ("PATCH", f"/v1/webhooks/{made['id']}")):
            refused = await desk(method, path, {"url": url})
            assert (refused.status, refused.body["field"]) == (422, "url")


async def test_a_body_is_closed_and_a_webhook_needs_a_url(desk: Desk) -> None:
    for body in ({}, {"url": URL, "secret": "whsec_mine"}, {"url": URL, "orgs": []}, {"url": URL, "after": -1}):
        assert (await desk("POST", "/v1/webhooks", body)).status == 422


async def test_a_consumer_has_no_more_than_twenty(desk: Desk) -> None:
    for _ in range(registry.MOST):
        assert (await desk("POST", "/v1/webhooks", {"url": URL})).status == 201
    refused = await desk("POST", "/v1/webhooks", {"url": URL})
    assert (refused.status, refused.body["code"]) == (409, "too_many_webhooks")


async def test_a_rotated_secret_signs_beside_the_one_before_for_a_day(
    store: Store, desk: Desk, post: Post, sender: FakeSender
) -> None:
    made = (await desk("POST", "/v1/webhooks", {"url": URL})).body
    rotated = (await desk("POST", f"/v1/webhooks/{made['webhook']['id']}/rotate")).body
    assert rotated["secret"] != made["secret"]
    assert rotated["webhook"]["previous_secret_until"] == "2026-01-06T00:00:00Z"
    await publish(store, [snapshot()], now=MONDAY)
    for secret in (made["secret"], rotated["secret"]):
        sender.taker.secret = secret
        await registry.replay(store, made["webhook"]["id"], after=0)
        await serve(post)
    post.now.passes(86_400)  # type: ignore[attr-defined]
    await registry.replay(store, made["webhook"]["id"], after=0)
    await serve(post)
    sender.taker.secret = made["secret"]
    await registry.replay(store, made["webhook"]["id"], after=0)
    with pytest.raises(AssertionError):
        await serve(post)


async def test_a_test_event_goes_the_same_way_and_lies_in_no_log(desk: Desk, sender: FakeSender) -> None:
    made = (await desk("POST", "/v1/webhooks", {"url": URL})).body
    sender.taker.secret = made["secret"]
    path = f"/v1/webhooks/{made['webhook']['id']}"
    assert (await desk("POST", f"{path}/test")).body["outcome"] == "delivered"
    event = json.loads(sender.taker.bodies[0])
    assert (event["type"], event["subject"], "sequence" in event) == (
        "busyline.test.v1",
        made["webhook"]["id"],
        False,
    )
    sender.answers = lambda *_: status(404)
    assert (await desk("POST", f"{path}/test")).body | {"duration_ms": 0} == {
        "outcome": "refused",
        "status": 404,
        "duration_ms": 0,
    }
    assert (await desk("GET", path)).body == made["webhook"]
    page = (await desk("GET", f"{path}/deliveries", limit="1")).body
    assert [(each["position"], each["outcome"]) for each in page["deliveries"]] == [(None, "refused")]
    rest = (await desk("GET", f"{path}/deliveries", before=str(page["next"]))).body
    assert ([each["outcome"] for each in rest["deliveries"]], rest["next"]) == (["delivered"], None)


async def test_a_disabled_webhook_is_enabled_where_it_was_or_at_the_end_where_that_is_forgotten(
    store: Store, desk: Desk, post: Post
) -> None:
    webhook, _ = await make(post)
    path = f"/v1/webhooks/{webhook.webhook_id}"
    await publish(store, [snapshot(), snapshot(mailbox_id="m2")], now=MONDAY)
    await registry.disable(store, webhook.webhook_id, "gone")
    assert (await desk("GET", path)).body["reason"] == "gone"
    assert (await desk("POST", f"{path}/enable")).body["position"] == 0
    async with store.write() as connection:
        await connection.execute(relay.insert().values(name="forgotten", position=1))
    await serve(post)
    assert (await desk("GET", path)).body["reason"] == "position_forgotten"
    enabled = (await desk("POST", f"{path}/enable")).body
    assert (enabled["state"], enabled["reason"], enabled["position"]) == ("enabled", None, 2)
    assert (await desk("POST", f"{path}/replay", {"after": 0})).status == 410
    assert (await desk("POST", f"{path}/replay", {"after": 1})).body["position"] == 1


async def test_a_deleted_webhook_is_gone_with_all_that_was_known_of_it(store: Store, desk: Desk, post: Post) -> None:
    webhook, _ = await make(post)
    await publish(store, [snapshot()], now=MONDAY)
    await serve(post)
    path = f"/v1/webhooks/{webhook.webhook_id}"
    assert (await desk("DELETE", path)).status == 204
    assert (await desk("GET", path)).status == 404
    assert await registry.sent(store, webhook.webhook_id, before=None, limit=10) == []


async def test_without_keys_there_are_no_webhooks(store: Store, post: Post, tmp_path: Path) -> None:
    keyless = Post(store=store, keys=Keys(tmp_path / "nowhere"), sender=post.sender)
    async with desk_of(keyless) as desk:
        desk.token = await consumer(store)
        refused = await desk("POST", "/v1/webhooks", {"url": URL})
        assert (refused.status, refused.body["code"]) == (503, "webhooks_unavailable")
        assert (await desk("GET", "/v1/webhooks")).status == 200


async def test_no_secret_and_no_url_is_ever_logged(store: Store, post: Post, sender: FakeSender) -> None:
    lines = io.StringIO()
    logs.configure(stream=lines)
    await consumer(store)
    webhook, secret = await make(post, url="https://consumer.example/hook?key=canary")
    await publish(store, [snapshot()], now=MONDAY)
    sender.answers = lambda *_: status(410)
    await serve(post)
    assert "webhook.disabled" in lines.getvalue()
    assert webhook.webhook_id in lines.getvalue()
    assert not [word for word in (secret, secret[6:], "canary", "consumer.example") if word in lines.getvalue()]
    assert secret not in repr(await standing(store, webhook.webhook_id))


async def test_a_consumer_that_is_removed_can_ask_nothing_more(store: Store, desk: Desk, post: Post) -> None:
    webhook, _ = await make(post)
    await consumers.remove(store, "booking")
    assert (await desk("GET", f"/v1/webhooks/{webhook.webhook_id}")).status == 401


async def test_a_token_removed_while_a_body_is_long_in_coming_makes_and_changes_nothing(post: Post, desk: Desk) -> None:
    """Not even for its namesake, who is another customer's."""
    kept, _ = await make(post)
    rest, looked_up = asyncio.Event(), []
    event.listen(
        post.store.engine.sync_engine, "after_cursor_execute", lambda *told: looked_up.append(told[2]), named=False
    )

    async def ask(method: str, path: str, body: bytes) -> int:
        async def slowly() -> AsyncIterator[bytes]:
            yield body[:5]
            await rest.wait()
            yield body[5:]

        headers = {"Authorization": f"Bearer {desk.token}", "Content-Type": "application/json"}
        async with desk.session.request(method, desk.url + path, data=slowly(), headers=headers) as response:
            return response.status

    wanted = [
        ("POST", "/v1/webhooks", b'{"url": "https://old.example/hook"}'),
        ("PATCH", f"/v1/webhooks/{kept.webhook_id}", b'{"url": "https://old.example/hook"}'),
        ("POST", f"/v1/webhooks/{kept.webhook_id}/replay", b'{"after": 0}'),
    ]
    asking = [asyncio.create_task(ask(*each)) for each in wanted]
    await until(lambda: sum("FROM consumers" in each for each in looked_up) >= len(asking))
    await consumers.remove(post.store, "booking")
    await consumers.add(post.store, "booking", ["beta"], now=MONDAY)
    rest.set()
    assert await asyncio.gather(*asking) == [401, 401, 401]
    assert await registry.of(post.store) == []
