"""A Graph of a few lines: answers by path as a test says, and remembers what it was asked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from shared.clouds import Cloud
from shared.graph import GraphClient, open_session

Reply = Callable[[web.Request], Awaitable[web.StreamResponse] | web.StreamResponse]


class GraphServer:
    """Replies registered for the paths below /v1.0; `asked` holds the requests in order."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.asked: list[web.Request] = []
        self.url = ""
        self.forgotten = 0
        self.tokens = 0

    def reply(self, path: str, reply: Reply) -> None:
        self.replies[f"/v1.0{path}"] = reply

    def answer(self, path: str, body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.reply(path, lambda _request: web.json_response(body, status=status, headers=headers))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        reply = self.replies.get(request.path)
        if reply is None:
            return web.json_response({"error": {"code": "ErrorItemNotFound"}}, status=404)
        made = reply(request)
        return made if isinstance(made, web.StreamResponse) else await made

    async def token(self) -> str:
        self.tokens += 1
        return f"token-{self.tokens}"

    def forget(self) -> None:
        self.forgotten += 1


@asynccontextmanager
async def graph() -> AsyncIterator[tuple[GraphServer, GraphClient]]:
    """Serve on a free port, and give a client of it; here without TLS, which the sandbox's tests have."""
    server = GraphServer()
    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    cloud = Cloud("test", server.url, f"{server.url}/v1.0")
    try:
        async with open_session("", connections=4) as session:
            yield server, GraphClient(session, cloud=cloud, token=server.token, forget=server.forget)
    finally:
        await runner.cleanup()
