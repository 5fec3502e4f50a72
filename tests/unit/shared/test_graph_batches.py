from typing import Any

import msgspec
import pytest
from aiohttp import web

from shared.graph import BatchRequest, GraphClient
from tests.unit.fetcher.graph_server import GraphServer, graph


class Named(msgspec.Struct):
    name: str


@pytest.fixture
async def serving() -> Any:
    async with graph() as pair:
        yield pair


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
