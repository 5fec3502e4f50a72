"""Which orgs a token may ask about, page by page, alike on SQLite and PostgreSQL."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import update

from services.publisher.consumers import add
from services.publisher.departure import depart
from services.publisher.orgs_listing import PROMPT
from services.publisher.timelines import publish
from shared.contracts.values import Bucket
from shared.store import Store, open_store
from shared.tables import enumerations, mailboxes, orgs
from tests.integration.asking import Asker, asking, put_mailbox
from tests.unit.publisher.readings import MONDAY, connect, snapshot, unreadable

ORGS = "/v1/orgs"
SEARCHED = {"started_at": MONDAY, "finished_at": MONDAY + 60}


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    await connect(opened)
    async with opened.write() as connection:
        await connection.execute(update(orgs).values(connected_at=MONDAY))
    yield opened
    await opened.close()


@pytest.fixture
async def asker(store: Store) -> AsyncIterator[Asker]:
    token = await add(store, "booking", ["acme", "not-there"], now=MONDAY)
    async with asking(store) as found:
        found.token = token
        yield found


async def searched(store: Store, **row: Any) -> None:
    """Let the directory of acme have been searched, or be searched at present."""
    values = {"org_id": "acme", "run": "r", "generation": 1} | row
    async with store.write() as connection:
        insert = store.upsert(enumerations).values(values)
        await connection.execute(insert.on_conflict_do_update(index_elements=["org_id"], set_=row))


async def is_done(asker: Asker) -> bool:
    (entry,) = (await asker.get(ORGS)).body["orgs"]
    assert entry["org_id"] == "acme"
    return bool(entry["first_reading_done"])


async def listed(asker: Asker, **query: str) -> list[str]:
    return [entry["org_id"] for entry in (await asker.get(ORGS, **query)).body["orgs"]]


async def test_a_token_is_told_its_own_orgs_as_far_as_they_are_there(store: Store, asker: Asker) -> None:
    await connect(store, "beta")
    answer = await asker.get(ORGS)
    assert answer.body == {
        "orgs": [{"org_id": "acme", "state": "connected", "first_reading_done": False}],
        "next": None,
    }


async def test_who_may_ask_about_every_org_is_told_all_but_those_that_leave(store: Store, asker: Asker) -> None:
    for org_id, state in (("beta", "attention"), ("gamma", "disconnecting"), ("delta", "requested")):
        await connect(store, org_id, state=state)
    asker.token = await add(store, "auditor", ["*"], now=MONDAY)
    told = {entry["org_id"]: entry["state"] for entry in (await asker.get(ORGS)).body["orgs"]}
    assert told == {"acme": "connected", "beta": "attention", "delta": "requested"}
    for org_id in told:  # what is listed can be asked about
        assert (await asker.get(f"/v1/orgs/{org_id}/status")).status == 200


async def test_pages_tell_every_org_once(store: Store, asker: Asker) -> None:
    for number in range(5):
        await connect(store, f"org-{number}")
    asker.token = await add(store, "some", ["acme", "org-1", "org-2", "org-4"], now=MONDAY)
    for size in ("1", "2", "3", "4"):
        told, cursor = [], {}
        while True:
            answer = (await asker.get(ORGS, limit=size, **cursor)).body
            told += [entry["org_id"] for entry in answer["orgs"]]
            if answer["next"] is None:
                break
            cursor = {"cursor": answer["next"]}
        assert told == ["acme", "org-1", "org-2", "org-4"]


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "1001"}, {"cursor": "AA"}, {"cursor": "!"}, {"org": "x"}])
async def test_what_is_asked_wrongly_is_refused_by_its_name(asker: Asker, query: dict[str, str]) -> None:
    answer = await asker.get(ORGS, **query)
    assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "invalid", *query)


async def test_an_org_that_left_is_not_listed_any_more(store: Store, asker: Asker) -> None:
    await connect(store, state="disconnecting")
    await depart(store, "acme", 1, now=MONDAY)
    assert await listed(asker) == []


async def test_the_first_reading_is_done_once_the_search_ended_and_every_active_mailbox_was_told(
    store: Store, asker: Asker
) -> None:
    assert not await is_done(asker)
    await put_mailbox(store, "m-0001")
    await put_mailbox(store, "m-0002")
    await put_mailbox(store, "guest", bucket="guest")
    await searched(store, started_at=MONDAY)
    await publish(store, [snapshot(), unreadable(Bucket.FAILING, mailbox_id="m-0002")], now=MONDAY)
    assert not await is_done(asker)
    await searched(store, **SEARCHED)
    assert await is_done(asker)
    await put_mailbox(store, "m-0003")
    assert not await is_done(asker)
    async with store.write() as connection:
        await connection.execute(update(mailboxes).where(mailboxes.c.mailbox_id == "m-0003").values(bucket="denied"))
    assert await is_done(asker)


async def test_a_later_search_undoes_nothing(store: Store, asker: Asker) -> None:
    await searched(store, started_at=MONDAY + PROMPT - 1)
    assert not await is_done(asker)
    await searched(store, started_at=MONDAY + PROMPT)
    assert await is_done(asker)


async def test_after_a_stricter_policy_it_is_to_be_done_anew(store: Store, asker: Asker) -> None:
    await put_mailbox(store, "m-0001")
    await searched(store, **SEARCHED)
    await publish(store, [snapshot()], now=MONDAY)
    await connect(store, generation=2, shown_from=2)
    assert not await is_done(asker)
    await publish(store, [snapshot(version=2, generation=2)], now=MONDAY)
    assert await is_done(asker)


async def test_what_is_shown_of_another_org_does_not_count(store: Store, asker: Asker) -> None:
    await connect(store, "beta")
    await put_mailbox(store, "m-0001")
    await put_mailbox(store, "m-0001", org_id="beta")
    await searched(store, **SEARCHED)
    await publish(store, [snapshot(), snapshot(org_id="beta")], now=MONDAY)
    await connect(store, generation=2, shown_from=2)
    assert not await is_done(asker)


async def test_a_pause_before_the_first_search_is_no_search(store: Store, asker: Asker) -> None:
    await searched(store, run="", started_at=MONDAY)
    assert not await is_done(asker)


@pytest.mark.parametrize(
    ("path", "cursor"),
    [(ORGS, b"a\0b"), ("/v1/orgs/acme/mailboxes", b"a\0b"), ("/v1/orgs/acme/snapshot", rb'[1, "a\u0000b"]')],
)
async def test_a_cursor_that_no_database_can_compare_is_refused(asker: Asker, path: str, cursor: bytes) -> None:
    answer = await asker.get(path, cursor=base64.urlsafe_b64encode(cursor).decode().rstrip("="))
    assert (answer.status, answer.body["field"]) == (422, "cursor")
