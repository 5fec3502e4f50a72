"""Being spared what is known, over HTTP: forms of an answer, tags, compression; and iCalendar for who asks for it."""

import gzip
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, DummyCookieJar
from icalendar import Calendar

from services.publisher.consumers import add
from services.publisher.timelines import publish
from shared.contracts.values import Bucket
from shared.store import Store, open_store
from tests.integration.asking import Answer, Asker, asking
from tests.unit.publisher.readings import MONDAY, busy, connect, snapshot, unreadable

ONE = "/v1/orgs/acme/mailboxes/m-0001@example.com/availability"
MANY = "/v1/orgs/acme/free-busy"
DAY_ONE = {"from": "2026-01-05T00:00:00Z", "to": "2026-01-06T00:00:00Z"}


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


async def plainly(asker: Asker, method: str, path: str, **headers: str) -> Answer:
    """Ask without decoding, as a client that speaks for itself; the answer's body is bytes as they came."""
    named = {"Authorization": f"Bearer {asker.token}"} if asker.token else {}
    async with (
        ClientSession(auto_decompress=False, cookie_jar=DummyCookieJar(), headers={"Accept-Encoding": ""}) as session,
        session.request(method, asker.url + path, headers=named | headers) as response,
    ):
        raw = await response.read()
        return Answer(response.status, None, response.headers, raw)


# -- iCalendar ----------------------------------------------------------------------------------------------------


async def test_a_calendar_is_given_to_who_asks_for_one(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10), busy(30, 31))], now=MONDAY)
    answer = await plainly(asker, "GET", f"{ONE}?from={DAY_ONE['from']}&to={DAY_ONE['to']}", Accept="text/calendar")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    (component,) = Calendar.from_ical(answer.raw).walk("VFREEBUSY")
    assert b"FREEBUSY;FBTYPE=BUSY:20260105T090000Z/20260105T100000Z\r\n" in answer.raw
    assert component["DTEND"].dt.isoformat() == "2026-01-06T00:00:00+00:00"


async def test_a_calendar_of_what_is_not_known_is_an_error(store: Store, asker: Asker) -> None:
    await publish(store, [unreadable(Bucket.DENIED)], now=MONDAY)
    answer = await plainly(asker, "GET", ONE, Accept="text/calendar")
    assert (answer.status, answer.headers["Content-Type"]) == (409, "application/problem+json")
    assert b"VCALENDAR" not in answer.raw


async def test_what_cannot_be_given_is_not_given_in_another_form(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot()], now=MONDAY)
    answer = await plainly(asker, "GET", ONE, Accept="text/html")
    assert (answer.status, json.loads(answer.raw)["code"]) == (406, "not_acceptable")


# -- being spared -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ONE, "/v1/orgs/acme/mailboxes", "/v1/orgs/acme/status", "/openapi.json"])
async def test_what_a_client_holds_is_not_sent_again(store: Store, asker: Asker, path: str) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    first = await plainly(asker, "GET", path)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert first.headers["Vary"] == "Accept, Accept-Encoding, Authorization"
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        again = await plainly(asker, "GET", path, **{"If-None-Match": known})
        assert (again.status, again.raw, again.headers["ETag"]) == (304, b"", tag)
        assert (again.headers["Cache-Control"], again.headers["Vary"]) == ("private, no-cache", first.headers["Vary"])
        assert "Content-Type" not in again.headers
    for unknown in ('"other"', 'W/"other"', "nonsense"):
        assert (await plainly(asker, "GET", path, **{"If-None-Match": unknown})).status == 200


async def test_a_change_and_another_form_have_tags_of_their_own(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    first = await plainly(asker, "GET", ONE)
    calendar = await plainly(asker, "GET", ONE, Accept="text/calendar", **{"If-None-Match": first.headers["ETag"]})
    assert calendar.status == 200
    await publish(store, [snapshot(busy(9, 11), version=2)], now=MONDAY)
    changed = await plainly(asker, "GET", ONE, **{"If-None-Match": first.headers["ETag"]})
    assert (changed.status, b"11:00:00Z" in changed.raw) == (200, True)
    assert len({first.headers["ETag"], calendar.headers["ETag"], changed.headers["ETag"]}) == 3


async def test_a_token_that_became_void_learns_nothing_by_a_tag(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    tag = (await plainly(asker, "GET", ONE)).headers["ETag"]
    asker.token = "busyline_" + "A" * 43
    answer = await plainly(asker, "GET", ONE, **{"If-None-Match": tag})
    assert (answer.status, answer.headers["Cache-Control"], "ETag" in answer.headers) == (401, "no-store", False)


async def test_long_answers_are_compressed_for_who_takes_it(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(*(busy(n, n + 1) for n in range(0, 200, 2)))], now=MONDAY)
    plain = await plainly(asker, "GET", ONE)
    coded = await plainly(asker, "GET", ONE, **{"Accept-Encoding": "gzip"})
    assert (coded.headers["Content-Encoding"], gzip.decompress(coded.raw)) == ("gzip", plain.raw)
    assert len(coded.raw) < len(plain.raw) / 4
    assert coded.headers["ETag"] == plain.headers["ETag"]
    for refusing in ("gzip;q=0", "br", "identity"):
        assert (await plainly(asker, "GET", ONE, **{"Accept-Encoding": refusing})).raw == plain.raw
    short = await plainly(asker, "GET", f"{ONE}?from=2026-02-05T00:00:00Z", **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in short.headers


async def test_a_long_answer_to_a_question_in_a_body_is_compressed_and_kept_by_nobody(
    store: Store, asker: Asker
) -> None:
    await publish(store, [snapshot(*(busy(n, n + 1) for n in range(0, 900, 2)), mailbox_id="full")], now=MONDAY)
    asked = {"mailboxes": ["full"] * 8, "from": "2026-01-05T00:00:00Z", "to": "2026-02-05T00:00:00Z"}
    answer = await asker.post(MANY, asked)
    assert (answer.headers["Content-Encoding"], answer.headers["Cache-Control"]) == ("gzip", "no-store")
    assert "ETag" not in answer.headers
    assert [len(each["busy"]) for each in answer.body["mailboxes"]] == [372] * 8


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_head_bears_what_get_bears(store: Store, asker: Asker, coding: str) -> None:
    await publish(store, [snapshot(*(busy(n, n + 1) for n in range(0, 200, 2)))], now=MONDAY)
    got = await plainly(asker, "GET", ONE, **{"Accept-Encoding": coding})
    head = await plainly(asker, "HEAD", ONE, **{"Accept-Encoding": coding})
    assert (head.status, head.raw) == (200, b"")
    same = ("ETag", "Content-Length", "Content-Type", "Content-Encoding", "Vary", "Cache-Control")
    assert {name: head.headers.get(name) for name in same} == {name: got.headers.get(name) for name in same}
    assert (await plainly(asker, "HEAD", ONE, **{"If-None-Match": got.headers["ETag"]})).status == 304
