"""The way to RabbitMQ's management API: certificates are checked, nothing is followed, no error shows a secret."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from deploy.rabbitmq.management import ManagementError, managing
from deploy.sandbox.tls import context, papers
from shared import clock
from shared.config import SettingsError

Answer = Callable[[web.Request], Awaitable[web.Response]]
LOGIN = "admission:p%40ss"


@asynccontextmanager
async def api(answer: Answer, tls: Path | None = None) -> AsyncIterator[str]:
    """Serve something in the API's place, and give its address with a login."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    secured = None if tls is None else context(papers(tls, ["localhost"], now=clock.now()))
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=secured).start()
        yield f"{'http' if tls is None else 'https'}://{LOGIN}@127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def administrator(request: web.Request) -> web.Response:
    """Answer as the API does to who is an administrator and knows nobody else."""
    if request.path != "/api/whoami":
        return web.json_response({"error": "Object Not Found"}, status=404)
    assert request.headers["Authorization"] == "Basic YWRtaXNzaW9uOnBAc3M="
    return web.json_response({"name": "admission", "tags": ["administrator"]})


async def refused(url: str, ca_file: str = "") -> str:
    """Try to open the API, and return why it cannot be."""
    with pytest.raises(ManagementError) as error:
        async with managing(url, vhost="busyline", ca_file=ca_file):
            pass
    assert "p@ss" not in str(error.value)
    return error.value.reason


async def test_a_certificate_of_a_ca_nobody_named_is_refused(tmp_path: Path) -> None:
    async with api(administrator, tmp_path) as url:
        assert await refused(url) == "unreachable"
        async with managing(url, vhost="busyline", ca_file=str(tmp_path / "ca.pem")) as management:
            assert not await management.knows("consumer-crm")


async def test_the_login_is_sent_nowhere_else() -> None:
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        return await administrator(request)

    async with api(elsewhere) as other:

        async def away(_: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(other + "/api/whoami")

        async with api(away) as url:
            assert await refused(url) == "refused"
    assert seen == []


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, {"name": "x", "tags": "management"}, "not_administrator"),
        (200, {"name": "x", "tags": []}, "not_administrator"),
        (401, {"error": "not_authorized"}, "login_refused"),
        (500, {}, "refused"),
        (404, {}, "refused"),
    ],
)
async def test_who_is_no_administrator_there_is_told_so(status: int, body: object, reason: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    async with api(answer) as url:
        assert await refused(url) == reason


async def test_what_is_no_management_api_is_refused() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>It works!</html>")

    async with api(answer) as url:
        assert await refused(url) == "refused"


@pytest.mark.parametrize(
    "url", ["", "host:15672", "amqp://a:b@h", "http://h", "http://a@h", "http://a:b@h:x", "http://[a"]
)
async def test_what_is_no_address_of_one_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^BUSYLINE_BROKER_ADMIN_URL") as error:
        async with managing(url, vhost="busyline"):
            pass
    assert not url or url not in str(error.value)
