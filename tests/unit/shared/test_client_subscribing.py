"""A subscription goes on where it was through whatever a server does, and ends only where it is turned away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from services.publisher.envelope import announcement
from shared.client import over_http, pauses
from shared.client.errors import ClientError, PositionGone, Refused
from shared.client.over_http import Http
from shared.client.subscribing import subscribe
from shared.client.taken import Taken
from shared.client.updates import Update
from tests.unit.publisher.readings import busy, erased, snapshot
from tests.unit.shared.client_history import History, happen

Act = Callable[[web.StreamResponse], Awaitable[None]]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST", 0.001)


def history() -> History:
    told = History()
    for number in range(1, 5):
        happen(told, snapshot(busy(number, number + 1)))
    return told


def frame(position: int) -> bytes:
    told = next(row for _, row in history().rows if row.position == position)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (position, told.type.encode(), announcement(told)[1])


def sends(*pieces: bytes) -> Act:
    async def act(response: web.StreamResponse) -> None:
        for piece in pieces:
            await response.write(piece)

    return act


async def hangs(_: web.StreamResponse) -> None:
    await asyncio.sleep(3600)


class Server:
    """Answers each connection with the next act, or with a status and a body."""

    def __init__(self, *acts: Act | web.Response) -> None:
        self.acts = list(acts)
        self.asked: list[str | None] = []

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers.get("Last-Event-ID"))
        assert request.headers["Authorization"] == "Bearer secret"
        act = self.acts.pop(0) if self.acts else hangs
        if isinstance(act, web.Response):
            return act
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await act(response)
        return response


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[Http]:
    app = web.Application()
    app.router.add_get("/v1/stream", server.stream)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Http(url=f"http://127.0.0.1:{runner.addresses[0][1]}/", token="secret", orgs=("acme",))
    finally:
        await runner.cleanup()


def problem(status: int, code: str, **headers: str) -> web.Response:
    return web.json_response({"code": code}, status=status, headers=headers, content_type="application/problem+json")


async def taken(http: Http, count: int, *, after: int | None = None) -> list[int]:
    async with asyncio.timeout(30), subscribe(http, after=after) as updates:
        found: list[int] = []
        async for update in updates:
            found.append(update.position)
            if len(found) == count:
                break
        return found


async def test_it_goes_on_from_what_was_taken_when_the_connection_is_cut_anywhere() -> None:
    server = Server(sends(frame(1), frame(2)[:40]), sends(frame(2) + frame(3)[:-1]), sends(frame(3) + frame(4)))
    async with served(server) as http:
        assert await taken(http, 4, after=0) == [1, 2, 3, 4]
    assert server.asked == ["0", "1", "2"]


async def test_what_comes_again_is_dropped() -> None:
    async with served(Server(sends(frame(1) + frame(1) + frame(2)), sends(frame(1) + frame(2) + frame(3)))) as http:
        assert await taken(http, 3) == [1, 2, 3]


async def test_an_update_counts_as_taken_when_the_next_is_asked_for() -> None:
    async with served(Server(sends(frame(1) + frame(2) + frame(3)), hangs)) as http:
        async with asyncio.timeout(30), subscribe(http, after=0) as updates:
            positions = []
            for _ in range(3):
                await anext(updates)
                positions.append(updates.position)
        assert positions == [0, 1, 2]
        assert updates.position == 2


async def test_a_position_alone_moves_the_place_to_resume_from_on() -> None:
    server = Server(sends(frame(1), b"id: 90\nevent: position\ndata: 90\n\n"), sends(frame(4).replace(b"4\n", b"91\n")))
    async with served(server) as http:
        await taken(http, 2, after=0)
    assert server.asked == ["0", "90"]


async def test_a_server_that_is_away_is_asked_again() -> None:
    away = (web.Response(status=502), problem(503, "store_unavailable"), problem(429, "slow"), web.Response(status=404))
    server = Server(*away, sends(frame(1)))
    async with served(server) as http:
        assert await taken(http, 1) == [1]
    assert len(server.asked) == 5


async def test_a_silent_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_http, "SILENCE", 0.1)
    async with served(Server(hangs, hangs, sends(frame(1)))) as http:
        assert await taken(http, 1) == [1]


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (problem(401, "unauthorized"), Refused, "unauthorized"),
        (problem(404, "org_unknown"), Refused, "org_unknown"),
        (problem(410, "position_forgotten"), PositionGone, "position_forgotten"),
        (web.Response(status=307, headers={"Location": "https://elsewhere.example/"}), Refused, "redirected"),
    ],
)
async def test_it_ends_where_it_is_turned_away(answer: web.Response, error: type[ClientError], reason: str) -> None:
    async with served(Server(answer)) as http:
        with pytest.raises(error) as refused:
            await taken(http, 1)
    assert refused.value.reason == reason


def test_neither_token_nor_password_is_shown() -> None:
    assert "secret" not in repr(Http(url="http://127.0.0.1", token="secret"))


def test_versions_begin_anew_after_an_org_left_and_positions_go_on() -> None:
    told = history()
    first = told.told_after(0)
    happen(told, "leave")
    happen(told, snapshot(busy(1, 2)))
    taken_already = Taken()
    for update in (*first, *told.told_after(4)):
        assert taken_already.is_new(update)
        taken_already.note(update)
    assert not any(map(taken_already.is_new, (*first, *told.told_after(4))))


def test_a_removal_is_remembered() -> None:
    told = history()
    happen(told, erased("m-0001", version=1))
    removed: Update = told.told_after(4)[0]
    taken_already = Taken()
    taken_already.note(removed)
    assert not any(map(taken_already.is_new, history().told_after(0)))
