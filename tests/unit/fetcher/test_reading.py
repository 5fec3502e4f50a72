from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from services.fetcher.reading import whole_window
from shared import clock
from shared.contracts.messages import RawEvent
from shared.contracts.policy import Detail, Policy
from shared.contracts.values import DAY, Window
from shared.graph import GraphError
from tests.unit.fetcher.graph_server import graph

PATH = "/users/id-1/calendarView"
WINDOW = Window(1_789_948_800, 1_789_948_800 + 30 * DAY)  # from 2026-09-21


@pytest.fixture
async def serving() -> AsyncIterator[Any]:
    async with graph() as pair:
        yield pair


def printed(start: int, length: int = 3600, /, **fields: object) -> dict[str, object]:
    times = {
        name: {"dateTime": clock.moment(at)[:-1] + ".0000000", "timeZone": "UTC"}
        for name, at in (("start", start), ("end", start + length))
    }
    return {**times, "showAs": "busy", "isAllDay": False, "id": f"id{start}"} | fields


def page(*events: dict[str, object], link: str | None = None) -> dict[str, object]:
    return {"value": list(events)} | ({"@odata.nextLink": link} if link else {})


async def read(client: Any, window: Window = WINDOW, policy: Policy | None = None) -> tuple[RawEvent, ...]:
    return await whole_window(client, "id-1", window=window, policy=policy or Policy())


async def refused(client: Any) -> str:
    with pytest.raises(GraphError) as caught:
        await read(client)
    return caught.value.code


def pages(server: Any, bodies: list[dict[str, object]]) -> None:
    """Answer with the pages in turn, each but the last linking to the next; empty ones are pages too."""

    def reply(request: web.Request) -> web.Response:
        number = int(request.query.get("$skip", "0"))
        link = f"{server.url}/v1.0{PATH}?$skip={number + 1}" if number + 1 < len(bodies) else None
        return web.json_response(bodies[number] | ({"@odata.nextLink": link} if link else {}))

    server.reply(PATH, reply)


async def test_every_page_is_read_to_the_last_and_empty_ones_are_no_end(serving: Any) -> None:
    server, client = serving
    first = printed(WINDOW.start)
    pages(server, [page(), page(first), page(), page(printed(WINDOW.start + DAY))])
    assert [event.start for event in await read(client)] == [WINDOW.start, WINDOW.start + DAY]
    assert {request.headers["Prefer"] for request in server.asked} == {'outlook.timezone="UTC", IdType="ImmutableId"'}


async def test_an_empty_calendar_is_a_complete_reading(serving: Any) -> None:
    server, client = serving
    server.answer(PATH, page())
    assert await read(client) == ()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "unexpected_shape"),
        ({"value": None}, "unexpected_shape"),
        ({"value": [{"showAs": "busy"}]}, "unexpected_shape"),
        ({"value": [printed(WINDOW.start, start={"dateTime": "soon", "timeZone": "UTC"})]}, "unexpected_time"),
        (
            {"value": [printed(WINDOW.start, start={"dateTime": "2026-10-01T00:00:00", "timeZone": "Mars"})]},
            "unexpected_time",
        ),
        (page(link="https://elsewhere.example/v1.0/users"), "foreign_link"),
    ],
)
async def test_a_page_that_is_not_whole_is_no_reading(body: dict[str, object], code: str, serving: Any) -> None:
    server, client = serving
    server.answer(PATH, body)
    assert await refused(client) == code


async def test_a_later_page_that_fails_spoils_the_reading(serving: Any) -> None:
    server, client = serving
    pages(server, [page(printed(WINDOW.start)), {"oops": True}])
    assert await refused(client) == "unexpected_shape"


@pytest.mark.parametrize("circle", [1, 2, 3])
async def test_links_that_go_in_a_circle_are_no_reading(circle: int, serving: Any) -> None:
    server, client = serving

    def reply(request: web.Request) -> web.Response:
        number = (int(request.query.get("$skip", "0")) + 1) % circle
        return web.json_response(page(printed(WINDOW.start), link=f"{server.url}/v1.0{PATH}?$skip={number}"))

    server.reply(PATH, reply)
    assert await refused(client) == "link_loop"


async def test_an_event_on_two_pages_is_kept_once_where_ids_are_known(serving: Any) -> None:
    server, client = serving
    moved = printed(WINDOW.start, id="same", subject="first")
    pages(server, [page(moved), page(moved | {"subject": "last"}, printed(WINDOW.start + DAY))])
    events = await read(client, policy=Policy(detail=Detail.DETAILS))
    assert [event.details.subject for event in events if event.details] == ["last", ""]


@pytest.mark.parametrize("detail", Detail)
async def test_an_event_across_a_border_of_spans_is_kept_once(detail: Detail, serving: Any) -> None:
    server, client = serving
    window = Window(WINDOW.start, WINDOW.start + 4000 * DAY)
    borders = [window.start + 1825 * DAY, window.start + 3650 * DAY]
    events = [
        printed(window.start - DAY, 2 * DAY),
        printed(borders[0] - 1800),
        printed(borders[0]),
        printed(borders[1] - DAY, 2 * DAY, isAllDay=True),
        printed(borders[0] - DAY, 3000 * DAY),
        printed(window.end - 600),
    ]

    def reply(request: web.Request) -> web.Response:
        start, end = request.query["startDateTime"], request.query["endDateTime"]
        inside = [event for event in events if event["start"]["dateTime"] < end and event["end"]["dateTime"] > start]  # type: ignore[index]
        return web.json_response(page(*inside))

    server.reply(PATH, reply)
    found = await read(client, window, Policy(detail=detail, window=window))
    assert len(server.asked) == 3
    assert len(found) == len(events)
