"""Calendar feeds at secret addresses, alike on SQLite and PostgreSQL: what they show, and when they show nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import product

import pytest
from aiohttp import ClientSession
from icalendar import Calendar
from sqlalchemy import func, select, update
from yarl import URL

from services.publisher import calendar_feeds
from services.publisher.consumers import add, remove
from services.publisher.departure import depart
from services.publisher.timelines import publish
from shared.contracts.values import Bucket
from shared.store import Store, open_store
from shared.tables import consumers, feeds
from tests.integration.asking import Answer, Asker, asking
from tests.unit.publisher.readings import MONDAY, busy, connect, erased, event, snapshot, unreadable

MAILBOX = "/v1/orgs/acme/mailboxes/m-0001@example.com"
FEEDS = "/v1/orgs/acme/feeds"


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    yield opened
    await opened.close()


@pytest.fixture
async def asker(store: Store) -> AsyncIterator[Asker]:
    token = await add(store, "booking", ["acme"], now=MONDAY)
    async with asking(store) as found:
        found.token = token
        yield found


async def made(asker: Asker) -> tuple[str, str]:
    """Make a feed, and return its id and its path."""
    answer = await asker.post(f"{MAILBOX}/feeds", {})
    assert (answer.status, answer.headers["Cache-Control"], "ETag" in answer.headers) == (201, "no-store", False)
    return answer.body["feed"], answer.body["path"]


async def read(asker: Asker, path: str, method: str = "GET", **headers: str) -> Answer:
    """Read a calendar as an application does that knows nothing but its address."""
    async with ClientSession() as session, session.request(method, asker.url + path, headers=headers) as response:
        raw = await response.read()
        body = json.loads(raw) if response.content_type == "application/problem+json" else None
        return Answer(response.status, body, response.headers, raw)


async def shut(asker: Asker, path: str) -> bool:
    """Say whether a calendar is not there, looking exactly as one that never was."""
    answer, never = await read(asker, path), await read(asker, f"/v1/calendars/{'A' * 43}.ics")
    assert (never.status, never.body["code"]) == (404, "feed_unknown")
    return (answer.status, answer.raw) == (never.status, never.raw)


async def delete(asker: Asker, path: str) -> int:
    async with asker.session.delete(asker.url + path, headers=asker._headers()) as response:
        return response.status


async def rows(store: Store) -> int:
    async with store.read() as connection:
        return (await connection.execute(select(func.count()).select_from(feeds))).scalar_one()


async def test_a_feed_shows_busy_time_to_who_knows_its_address_and_no_detail(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10), events=(event(9, 10, "secret plan"),))], now=MONDAY)
    feed, path = await made(asker)
    answer = await read(asker, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    (shown,) = Calendar.from_ical(answer.raw).walk("VEVENT")
    assert (str(shown["SUMMARY"]), shown["DTSTART"].dt.hour) == ("Busy", 9)
    for private in (b"secret", b"m-0001", b"acme", feed.encode()):
        assert private not in answer.raw
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert (await read(asker, path, **{"If-None-Match": answer.headers["ETag"]})).status == 304
    assert (await read(asker, path, "HEAD")).headers["ETag"] == answer.headers["ETag"]


async def test_only_the_hash_of_an_address_is_kept_and_it_is_shown_once(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot()], now=MONDAY)
    feed, path = await made(asker)
    other, _ = await made(asker)
    secret = path.removeprefix("/v1/calendars/").removesuffix(".ics")
    assert len(secret) == 43
    async with store.read() as connection:
        kept = (await connection.execute(select(feeds))).mappings().all()
    assert secret not in str([dict(row) for row in kept])
    listing = await asker.get(FEEDS)
    assert {each["feed"] for each in listing.body["feeds"]} == {feed, other}
    assert secret.encode() not in listing.raw


async def test_a_feed_that_is_revoked_shows_nothing_at_once(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    feed, path = await made(asker)
    assert await delete(asker, f"{FEEDS}/{feed}") == 204
    assert await shut(asker, path)
    assert await delete(asker, f"{FEEDS}/{feed}") == 404


async def test_what_is_not_known_is_no_empty_calendar_and_heals(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    _, path = await made(asker)
    await publish(store, [unreadable(Bucket.DENIED, version=2)], now=MONDAY)
    answer = await read(asker, path)
    assert (answer.status, answer.body["code"], "reason" in answer.body) == (503, "availability_unknown", False)
    assert int(answer.headers["Retry-After"]) > 0
    await publish(store, [snapshot(busy(9, 10), version=3)], now=MONDAY)
    assert (await read(asker, path)).status == 200
    await connect(store, generation=2, shown_from=2)
    assert (await read(asker, path)).status == 503


async def test_of_a_mailbox_that_is_not_known_no_feed_is_made(store: Store, asker: Asker) -> None:
    assert (await asker.post(f"{MAILBOX}/feeds", {})).body["code"] == "mailbox_unknown"
    await publish(store, [unreadable(Bucket.DENIED)], now=MONDAY)
    assert (await asker.post(f"{MAILBOX}/feeds", {})).body["code"] == "availability_unknown"
    assert await rows(store) == 0


@pytest.mark.parametrize("left", ["excluded", "erased"])
async def test_feeds_go_with_their_mailbox_and_do_not_come_back_with_it(store: Store, asker: Asker, left: str) -> None:
    await publish(store, [snapshot(busy(9, 10)), snapshot(mailbox_id="stays")], now=MONDAY)
    _, path = await made(asker)
    stays = (await asker.post("/v1/orgs/acme/mailboxes/stays/feeds", {})).body["path"]
    gone = erased(version=2) if left == "erased" else unreadable(Bucket.EXCLUDED, version=2)
    await publish(store, [gone], now=MONDAY)
    assert (await shut(asker, path), await rows(store), (await read(asker, stays)).status) == (True, 1, 200)
    await publish(store, [snapshot(busy(9, 10), version=3)], now=MONDAY)
    assert await shut(asker, path)


async def test_feeds_go_with_their_org_and_show_nothing_of_another_that_bears_its_id(
    store: Store, asker: Asker
) -> None:
    await connect(store, "beta")
    await publish(store, [snapshot(busy(9, 10)), snapshot(org_id="beta")], now=MONDAY)
    asker.token = await add(store, "both", ["acme", "beta"], now=MONDAY)
    _, path = await made(asker)
    theirs = (await asker.post(f"{MAILBOX.replace('acme', 'beta')}/feeds", {})).body["path"]
    await connect(store, generation=2, state="disconnecting")
    assert await shut(asker, path)
    await depart(store, "acme", 2, now=MONDAY)
    assert (await rows(store), (await read(asker, theirs)).status) == (1, 200)
    await connect(store, generation=3)
    await publish(store, [snapshot(busy(1, 2), generation=3)], now=MONDAY)
    assert await shut(asker, path)


async def test_feeds_go_with_their_consumer_and_with_its_scope(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    _, path = await made(asker)
    async with store.write() as connection:
        await connection.execute(update(consumers).values(orgs='["beta"]'))
    assert await shut(asker, path)
    async with store.write() as connection:
        await connection.execute(update(consumers).values(orgs='["*"]'))
    assert (await read(asker, path)).status == 200
    assert await remove(store, "booking")
    assert await shut(asker, path)
    asker.token = await add(store, "booking", ["acme"], now=MONDAY)
    assert await shut(asker, path)


async def test_a_feed_left_by_a_consumer_shows_nothing_to_the_next_of_its_name(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    _, path = await made(asker)
    async with store.write() as connection:  # as if it was being made while its consumer was removed
        await connection.execute(update(feeds).values(created_at=MONDAY - 1))
    assert await shut(asker, path)


async def test_another_consumer_neither_sees_nor_revokes_a_feed(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    feed, path = await made(asker)
    asker.token = await add(store, "other", ["acme"], now=MONDAY)
    assert (await asker.get(FEEDS)).body == {"feeds": []}
    assert await delete(asker, f"{FEEDS}/{feed}") == 404
    asker.token = await add(store, "far", ["beta"], now=MONDAY)
    assert await delete(asker, f"{FEEDS}/{feed}") == 404
    assert (await asker.get(FEEDS)).body["code"] == "org_unknown"
    assert (await read(asker, path)).status == 200


async def test_a_word_that_is_no_secret_opens_nothing(asker: Asker) -> None:
    words = ("", "x", "A" * 42, "A" * 44, "%2e%2e", "Ä" * 43, "A" * 5000)
    assert [(await read(asker, f"/v1/calendars/{word}.ics")).status for word in words] == [404] * len(words)


async def test_a_name_that_no_mailbox_and_no_feed_can_have_is_not_there(asker: Asker) -> None:
    paths = [
        ("GET", "/v1/orgs/acme/mailboxes/NAME/availability"),
        ("POST", "/v1/orgs/acme/mailboxes/NAME/feeds"),
        ("DELETE", f"{FEEDS}/NAME"),
        ("GET", "/v1/calendars/NAME.ics"),
    ]
    for (method, path), name in product(paths, ("%00", "a%00b@example.com", "%ed%a0%80", "%ff")):
        url = URL(asker.url + path.replace("NAME", name), encoded=True)
        async with asker.session.request(method, url, headers=asker._headers()) as response:
            assert (method, path, name, response.status) == (method, path, name, 404)


async def test_no_consumer_has_more_feeds_than_it_may_also_when_it_asks_at_once(
    store: Store, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar_feeds, "MOST_FEEDS", 3)
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    answers = await asyncio.gather(*(asker.post(f"{MAILBOX}/feeds", {}) for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [409] * 3
    assert {answer.body["code"] for answer in answers if answer.status == 409} == {"too_many_feeds"}
    assert await rows(store) == 3


async def test_a_mailbox_that_leaves_while_a_feed_is_made_has_none(
    store: Store, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(store, [snapshot(busy(9, 10))], now=MONDAY)
    make = calendar_feeds.make

    async def late(*given: object, **named: object) -> object:
        await publish(store, [erased(version=2)], now=MONDAY)
        return await make(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(calendar_feeds, "make", late)
    answer = await asker.post(f"{MAILBOX}/feeds", {})
    assert (answer.status, answer.body["code"], await rows(store)) == (404, "mailbox_unknown", 0)
