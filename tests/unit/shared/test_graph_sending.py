from typing import Any

import msgspec
import pytest
from aiohttp import web

from shared.graph import BatchRequest, GraphClient, GraphError
from tests.unit.fetcher.graph_server import GraphServer, graph


class Named(msgspec.Struct):
    name: str


@pytest.fixture
async def serving() -> Any:
    async with graph() as pair:
        yield pair


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_body_is_sent_as_json_and_its_answer_decoded(
    serving: tuple[GraphServer, GraphClient], method: str
) -> None:
    server, client = serving
    bodies = []

    async def reply(request: web.Request) -> web.Response:
        bodies.append((request.method, request.content_type, await request.json()))
        return web.json_response({"name": "x"}, status=201)

    server.reply("/subscriptions", reply)
    assert await client.send(method, "/subscriptions", Named, {"changeType": "updated"}) == Named("x")
    assert bodies == [(method, "application/json", {"changeType": "updated"})]


async def test_an_answer_without_a_body_is_none(serving: tuple[GraphServer, GraphClient]) -> None:
    server, client = serving
    server.reply("/subscriptions/1/reauthorize", lambda _: web.Response(status=204))
    assert await client.send("POST", "/subscriptions/1/reauthorize", type(None), {}) is None
    with pytest.raises(GraphError) as error:
        await client.send("POST", "/subscriptions/1/reauthorize", Named, {})
    assert error.value.code == "unexpected_shape"


async def test_a_deletion_gives_nothing_back(serving: tuple[GraphServer, GraphClient]) -> None:
    server, client = serving
    server.reply("/subscriptions/1", lambda _: web.Response(status=204))
    await client.delete("/subscriptions/1")
    assert server.asked[0].method == "DELETE"
    with pytest.raises(GraphError) as error:
        await client.delete("/subscriptions/2")
    assert (error.value.status, error.value.url_path) == (404, "/v1.0/subscriptions/*")


async def test_what_is_sent_is_sent_once_more_after_a_401(serving: tuple[GraphServer, GraphClient]) -> None:
    server, client = serving
    server.reply(
        "/subscriptions", lambda _: web.json_response({"name": "x"}, status=401 if len(server.asked) == 1 else 201)
    )
    assert await client.send("POST", "/subscriptions", Named, {"a": 1}) == Named("x")
    assert (server.forgotten, server.tokens) == (1, 2)


async def test_a_batch_says_which_bodies_are_json_and_has_none_where_there_is_none(
    serving: tuple[GraphServer, GraphClient],
) -> None:
    server, client = serving
    sent = []

    async def reply(request: web.Request) -> web.Response:
        sent.append(await request.json())
        said = [{"id": "1", "status": 201, "body": {"name": "x"}}, {"id": "2", "status": 204}]
        return web.json_response({"responses": said})

    server.reply("/$batch", reply)
    asked = [
        BatchRequest("1", "/subscriptions", "POST", {"Prefer": 'IdType="ImmutableId"'}, {"a": 1}),
        BatchRequest("2", "/subscriptions/1", "DELETE"),
    ]
    made, deleted = await client.batch(asked)
    assert (made.into(Named), deleted.status, deleted.code) == (Named("x"), 204, "")
    assert sent == [
        {
            "requests": [
                {
                    "id": "1",
                    "method": "POST",
                    "url": "/subscriptions",
                    "headers": {"Content-Type": "application/json", "Prefer": 'IdType="ImmutableId"'},
                    "body": {"a": 1},
                },
                {"id": "2", "method": "DELETE", "url": "/subscriptions/1"},
            ]
        }
    ]
