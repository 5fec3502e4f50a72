import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from deploy.sandbox import SandboxOptions, start
from shared import graph as graph_module
from shared.clouds import Cloud
from shared.graph import BatchRequest, GraphClient, GraphError, open_session
from tests.unit.fetcher.graph_server import GraphServer, graph

SECRET = "canary-of-a-person@example.org"


class Named(msgspec.Struct):
    name: str


@pytest.fixture
async def serving() -> AsyncIterator[tuple[GraphServer, GraphClient]]:
    async with graph() as pair:
        yield pair


async def failure(client: GraphClient, url: str, kind: type = Named) -> GraphError:
    with pytest.raises(GraphError) as caught:
        await client.get(url, kind)
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {caught.value.__dict__}"
    return caught.value


async def test_an_answer_is_decoded_and_what_is_not_known_ignored(serving: Any) -> None:
    server, client = serving
    server.answer("/users", {"name": "x", "more": 1})
    assert await client.get("/users?$top=5&$select=id,mail", Named) == Named("x")
    request = server.asked[0]
    assert request.rel_url.raw_query_string == "$top=5&$select=id,mail"
    assert request.headers["Authorization"] == "Bearer token-1"
    assert request.headers["User-Agent"].startswith("busyline/")


async def test_a_next_link_of_the_same_host_is_followed_verbatim(serving: Any) -> None:
    server, client = serving
    server.answer("/users", {"name": "x"})
    await client.get(f"{server.url}/v1.0/users?$skiptoken=a%2Bb%3D%20c", Named)
    assert server.asked[0].rel_url.raw_query_string == "$skiptoken=a%2Bb%3D%20c"


@pytest.mark.parametrize(
    "link",
    ["https://elsewhere.example/v1.0/users", "http://127.0.0.1:1/v1.0/users", "//elsewhere.example/x", "users", "",
     "http://user@{host}/v1.0/users", "http://{host}.elsewhere.example/", "ftp://{host}/", "http://[bad"],
)  # fmt: skip
async def test_a_link_to_another_host_gets_no_token(link: str, serving: Any) -> None:
    server, client = serving
    error = await failure(client, link.replace("{host}", server.url.removeprefix("http://")))
    assert error.code == "foreign_link"
    assert (server.tokens, server.asked) == (0, [])


async def test_a_redirect_is_not_followed(serving: Any) -> None:
    server, client = serving
    server.reply("/users", lambda _: web.Response(status=302, headers={"Location": f"{server.url}/v1.0/other"}))
    error = await failure(client, "/users")
    assert (error.status, error.code, len(server.asked)) == (302, "redirected", 1)


async def test_a_rejected_token_is_forgotten_and_tried_once_more(serving: Any) -> None:
    server, client = serving
    server.reply("/users", lambda _: web.json_response({"name": "x"}, status=401 if len(server.asked) == 1 else 200))
    assert await client.get("/users", Named) == Named("x")
    assert (server.forgotten, server.tokens) == (1, 2)


async def test_a_token_rejected_twice_is_an_error(serving: Any) -> None:
    server, client = serving
    server.answer("/users", {"error": {"code": "InvalidAuthenticationToken"}}, status=401)
    error = await failure(client, "/users")
    assert (error.status, error.code, len(server.asked)) == (401, "InvalidAuthenticationToken", 2)


async def test_an_error_tells_status_code_pause_and_a_path_without_ids(serving: Any) -> None:
    server, client = serving
    said = {"error": {"code": "TooManyRequests", "message": SECRET, "innerError": {"code": "429"}}}
    server.answer(f"/users/{SECRET}/calendarView", said, status=429, headers={"Retry-After": "2.128"})
    error = await failure(client, f"/users/{SECRET}/calendarView?x={SECRET}")
    assert (error.status, error.code, error.retry_after) == (429, "TooManyRequests", 2.128)
    assert error.url_path == "/v1.0/users/*/calendarView"


async def test_an_error_without_json_still_has_its_status(serving: Any) -> None:
    server, client = serving
    server.reply("/users", lambda _: web.Response(status=503, text=SECRET, headers={"Retry-After": "7"}))
    error = await failure(client, "/users")
    assert (error.status, error.code, error.retry_after) == (503, "", 7.0)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (lambda: web.Response(text=f"<html>{SECRET}</html>", content_type="text/html"), "not_json"),
        (lambda: web.Response(text="", content_type="text/plain"), "not_json"),
        (lambda: web.Response(status=204), "not_json"),
        (lambda: web.json_response(text='{"name": "' + SECRET), "truncated"),
        (lambda: web.json_response(text=""), "truncated"),
        (lambda: web.json_response({"other": SECRET}), "unexpected_shape"),
        (lambda: web.json_response([SECRET]), "unexpected_shape"),
        (lambda: web.json_response({"name": {"x": SECRET}}), "unexpected_shape"),
        (lambda: web.Response(body=b'{"name":"\xff"}', content_type="application/json"), "not_json"),
        (lambda: web.Response(body=b'{"x":' + b"[" * 100_000, content_type="application/json"), "not_json"),
    ],
)
async def test_an_answer_of_another_kind_is_no_answer(reply: Any, code: str, serving: Any) -> None:
    server, client = serving
    server.reply("/users", lambda _: reply())
    assert (await failure(client, "/users")).code == code


async def test_a_body_cut_off_is_truncated(serving: Any) -> None:
    server, client = serving

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"name":')
        assert request.transport is not None
        request.transport.close()
        return response

    server.reply("/users", cut)
    assert (await failure(client, "/users")).code == "truncated"


async def test_a_body_that_outgrows_its_cap_is_not_read_on(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = serving
    monkeypatch.setattr(graph_module, "BODY_CAP", 1000)
    packed = zlib.compress(b'{"name":"' + b"a" * 10**6 + b'"}')
    headers = {"Content-Encoding": "deflate", "Content-Type": "application/json"}
    server.reply("/users", lambda _: web.Response(body=packed, headers=headers))
    assert (await failure(client, "/users")).code == "too_large"


async def test_a_server_that_is_not_there_is_a_network_error() -> None:
    async with open_session("", connections=1) as session:
        cloud = Cloud("test", "", "http://127.0.0.1:1/v1.0")

        async def token() -> str:
            return "t"

        error = await failure(GraphClient(session, cloud=cloud, token=token, forget=lambda: None), "/users")
    assert (error.status, error.code) == (0, "network")


async def test_a_server_that_never_answers_times_out(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = serving
    monkeypatch.setattr(client._session, "_timeout", aiohttp.ClientTimeout(total=0.1))

    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    server.reply("/users", never)
    assert (await failure(client, "/users")).code == "timeout"


async def test_what_the_token_raises_passes_through(serving: Any) -> None:
    _, client = serving

    async def refuse() -> str:
        raise LookupError("no token")

    client._token = refuse
    with pytest.raises(LookupError):
        await client.get("/users", Named)


async def test_a_batch_is_answered_in_the_order_asked(serving: Any) -> None:
    server, client = serving
    said = [
        {"id": "B", "status": 200, "body": {"name": "second"}},
        {"id": "a", "status": 404, "body": {"error": {"code": "ErrorInvalidUser"}}, "headers": {"retry-after": "3"}},
    ]
    server.answer("/$batch", {"responses": said})
    answers = await client.batch([BatchRequest("A", "/x"), BatchRequest("b", "/y"), BatchRequest("c", "/z")])
    assert [(answer.id, answer.status, answer.code) for answer in answers] == [
        ("A", 404, "ErrorInvalidUser"), ("b", 200, ""), ("c", 0, "missing"),
    ]  # fmt: skip
    assert answers[0].retry_after == 3.0
    assert answers[1].into(Named) == Named("second")
    for answer in (answers[0], answers[2]):
        with pytest.raises(GraphError):
            answer.into(Named)


async def test_a_batch_says_what_it_asks(serving: Any) -> None:
    server, client = serving
    bodies = []

    async def keep(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        return web.json_response({"responses": []})

    server.reply("/$batch", keep)
    await client.batch([BatchRequest("1", "/users/x/mailboxSettings")])
    assert bodies == [{"requests": [{"id": "1", "method": "GET", "url": "/users/x/mailboxSettings"}]}]
    assert await client.batch([]) == []


async def test_a_batch_holds_twenty_relative_requests_at_most(serving: Any) -> None:
    _, client = serving
    with pytest.raises(ValueError, match="20"):
        await client.batch([BatchRequest(str(number), "/x") for number in range(21)])
    with pytest.raises(ValueError, match="relative"):
        BatchRequest("1", "https://elsewhere.example/x")


async def test_a_server_whose_ca_is_not_trusted_gets_no_request(tmp_path: Path) -> None:
    sandbox = await start(SandboxOptions(folder=tmp_path, mailboxes=1, events=1))
    try:
        cloud = Cloud("sandbox", sandbox.url, f"{sandbox.url}/v1.0")

        async def token() -> str:
            return "t"

        async with open_session("", connections=1) as session:
            client = GraphClient(session, cloud=cloud, token=token, forget=lambda: None)
            assert (await failure(client, "/users")).code == "network"
            assert sandbox.requests.total == 0
        async with open_session(str(sandbox.ca_file), connections=1) as session:
            client = GraphClient(session, cloud=cloud, token=token, forget=lambda: None)
            assert (await failure(client, "/users")).status == 401
    finally:
        await sandbox.stop()
