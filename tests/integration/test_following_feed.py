"""The feed and the snapshot over HTTP: what they answer, what they wait for, and what they refuse."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete

from services.publisher.bell import Bell
from services.publisher.consumers import add, remove
from services.publisher.departure import depart
from services.publisher.following import Following, Limits
from services.publisher.relay import NAME
from services.publisher.retention import forget_old
from services.publisher.timelines import publish
from shared.contracts.values import DAY, Bucket
from shared.store import Store, open_store
from shared.tables import orgs, relay
from tests.integration.asking import Answer, Asker, asking
from tests.unit.publisher.readings import MONDAY, busy, connect, event, snapshot, unreadable
from tests.waiting import until

SNAPSHOT = "/v1/orgs/acme/snapshot"
UPDATES = "/v1/updates"


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[Store]:
    opened = open_store(sqlite_url)
    await connect(opened)
    await connect(opened, "beta")
    yield opened
    await opened.close()


@pytest.fixture
def following(store: Store) -> Following:
    return Following(store, Bell(), Limits())


@pytest.fixture
async def asker(store: Store, following: Following) -> AsyncIterator[Asker]:
    token = await add(store, "app", ["acme"], now=MONDAY)
    async with asking(store, following=following) as found:
        found.token = token
        yield found


async def tell(store: Store, number: int, *, org_id: str = "acme", version: int = 1) -> None:
    """Publish so many mailboxes."""
    found = [
        snapshot(busy(version, version + 1), org_id=org_id, mailbox_id=f"m-{each}", version=version)
        for each in range(number)
    ]
    await publish(store, found, now=MONDAY)


def positions(body: Any) -> list[int]:
    return [int(each["sequence"]) for each in body["updates"]]


async def test_a_feed_is_read_page_by_page_and_passes_over_other_orgs(store: Store, asker: Asker) -> None:
    await tell(store, 3)
    await tell(store, 4, org_id="beta")
    first = (await asker.get(UPDATES, after="0", limit="2")).body
    assert (positions(first), first["position"], first["more"]) == ([1, 2], 2, True)
    second = (await asker.get(UPDATES, after="2", limit="2")).body
    assert (positions(second), second["position"], second["more"]) == ([3], 7, False)


async def test_a_feed_has_the_very_events_of_the_other_surfaces(store: Store, asker: Asker) -> None:
    await tell(store, 1)
    (told,) = (await asker.get(UPDATES)).body["updates"]
    assert (told["specversion"], told["id"], told["source"]) == ("1.0", "0000000000000000001", "/v1/orgs/acme")
    assert (told["type"], told["data"]["mailbox"]) == ("availability.updated.v1", "m-0@example.com")


async def test_a_wrong_parameter_is_refused_by_its_name(asker: Asker) -> None:
    wrong = [("after", "-1"), ("after", "9" * 19), ("after", "x"), ("wait", "61"), ("limit", "0"), ("colour", "red")]
    for field, value in wrong:
        answer = await asker.get(UPDATES, **{field: value})
        assert (answer.status, answer.body["field"]) == (422, field)


async def test_a_position_is_taken_with_its_zeros_too(store: Store, asker: Asker) -> None:
    await tell(store, 2)
    assert positions((await asker.get(UPDATES, after="0000000000000000001")).body) == [2]


async def test_an_org_not_in_scope_does_not_exist(asker: Asker) -> None:
    asked = [(path, {"org": name}) for path in (UPDATES, "/v1/stream") for name in ("beta", "nobody", "Not an id!")]
    answers = [await asker.get(path, **query) for path, query in asked]
    answers += [await asker.get(f"/v1/orgs/{name}/snapshot") for name in ("beta", "nobody")]
    assert {(each.status, each.body["code"]) for each in answers} == {(404, "org_unknown")}


async def test_an_org_that_never_was_does_not_exist_for_who_may_see_all(store: Store, asker: Asker) -> None:
    asker.token = await add(store, "all", ["*"], now=MONDAY)
    assert (await asker.get(UPDATES, org="nobody")).status == 404
    assert (await asker.get(UPDATES, org="beta")).status == 200


async def grow_old(store: Store) -> None:
    """Forget of the log what may be forgotten."""
    async with store.write() as connection:
        await connection.execute(relay.insert().values(name=NAME, position=1000))
    await forget_old(store, before=MONDAY + DAY)


async def test_nobody_goes_on_from_before_what_was_forgotten(store: Store, asker: Asker) -> None:
    await tell(store, 2)
    await tell(store, 2, version=2)
    await grow_old(store)
    for path in (UPDATES, "/v1/stream"):
        answer = await asker.get(path, after="1")
        assert (answer.status, answer.body["code"]) == (410, "position_forgotten")
    assert positions((await asker.get(UPDATES, after="2")).body) == [3, 4]
    assert positions((await asker.get(UPDATES)).body) == [3, 4]


async def test_a_position_of_another_log_is_refused(asker: Asker) -> None:
    for path in (UPDATES, "/v1/stream"):
        answer = await asker.get(path, after="77")
        assert (answer.status, answer.body["code"]) == (410, "position_unknown")


async def waiting(asker: Asker, following: Following, **query: str) -> "asyncio.Task[Answer]":
    """Ask with a wait, and return once the server has it."""
    asked = asyncio.create_task(asker.get(UPDATES, **({"wait": "60"} | query)))
    await until(lambda: following.followers == 1, 60)
    return asked


async def test_a_wait_ends_with_what_comes_for_who_waits(store: Store, asker: Asker, following: Following) -> None:
    asked = await waiting(asker, following, after="0")
    await tell(store, 1, org_id="beta")
    await tell(store, 1)
    answer = await asked
    assert (answer.status, positions(answer.body), answer.body["position"]) == (200, [2], 2)


async def test_who_waits_when_the_server_ends_is_answered_with_a_position_that_moved_on(
    store: Store, asker: Asker, following: Following
) -> None:
    asked = await waiting(asker, following, after="0")
    await tell(store, 3, org_id="beta")
    await until(lambda: following.tail.position == 3, 60)
    following.end()
    answer = await asked
    assert (answer.status, answer.body) == (200, {"updates": [], "position": 3, "more": False})


async def test_a_token_that_became_void_in_a_wait_is_told_nothing(
    store: Store, asker: Asker, following: Following
) -> None:
    asked = await waiting(asker, following, after="0")
    await remove(store, "app")
    await tell(store, 1)
    assert (await asked).status == 401


async def leave(store: Store) -> None:
    """Have acme leave."""
    await connect(store, generation=2, state="disconnecting")
    await depart(store, "acme", 2, now=MONDAY)
    async with store.write() as connection:
        await connection.execute(delete(orgs).where(orgs.c.org_id == "acme"))


@pytest.mark.parametrize("scope", ["acme", "*"])
async def test_the_last_word_on_an_org_is_heard_and_then_there_is_no_such_org(
    store: Store, asker: Asker, following: Following, scope: str
) -> None:
    asker.token = await add(store, "other", [scope], now=MONDAY)
    await tell(store, 1)
    asked = await waiting(asker, following, after="1", org="acme")
    await leave(store)
    told = (await asked).body
    assert [each["type"] for each in told["updates"]] == ["org.removed.v1"]
    assert positions((await asker.get(UPDATES, after="1", org="acme")).body) == [2]
    assert (await asker.get(UPDATES, after="2", org="acme")).status == 404
    assert positions((await asker.get(UPDATES, after="1")).body) == [2]
    assert (await asker.get(SNAPSHOT)).status == 404


async def test_more_than_may_wait_at_once_are_refused(store: Store) -> None:
    tokens = [await add(store, name, ["acme"], now=MONDAY) for name in ("one", "two")]
    following = Following(store, Bell(), Limits(each=1, total=1))
    async with asking(store, following=following) as asker:
        asker.token = tokens[0]
        asked = await waiting(asker, following, after="0")
        for token, status in zip(tokens, (429, 503), strict=True):
            asker.token = token
            answer = await asker.get(UPDATES, after="0", wait="1")
            assert (answer.status, answer.body["code"]) == (status, "too_many_followers")
            assert answer.headers["Retry-After"] == "10"
        await tell(store, 1)
        assert (await asked).status == 200


async def test_a_snapshot_has_every_mailbox_whole_with_its_own_position(store: Store, asker: Asker) -> None:
    await tell(store, 3)
    await publish(store, [unreadable(Bucket.DENIED, mailbox_id="m-1", version=2)], now=MONDAY)
    await publish(store, [unreadable(Bucket.REMOVED, mailbox_id="m-2", version=2)], now=MONDAY)
    body = (await asker.get(SNAPSHOT)).body
    assert [(each["mailbox_id"], each["coverage"], each["position"]) for each in body["mailboxes"]] == [
        ("m-0", "full", 1),
        ("m-1", "unknown", 4),
    ]
    known, unknown = body["mailboxes"]
    assert (known["from"], known["to"]) == (known["window"]["start"], known["window"]["end"])
    assert (known["busy"][0]["status"], unknown["busy"], unknown["reason"]) == ("busy", [], "denied")
    assert (body["position"], body["next"]) == (5, None)


async def test_a_snapshots_position_is_that_before_its_first_page(store: Store, asker: Asker) -> None:
    await tell(store, 3)
    first = (await asker.get(SNAPSHOT, limit="2")).body
    await tell(store, 3, version=2)
    second = (await asker.get(SNAPSHOT, limit="2", cursor=first["next"])).body
    assert (first["position"], second["position"], second["next"]) == (3, 3, None)
    assert [each["position"] for each in second["mailboxes"]] == [6]


async def test_a_snapshot_shows_nothing_that_a_stricter_policy_may_forbid(store: Store, asker: Asker) -> None:
    await publish(store, [snapshot(busy(9, 10), events=(event(9, 10, "secret plan"),))], now=MONDAY)
    await connect(store, generation=2)
    answer = await asker.get(SNAPSHOT)
    assert (answer.body["mailboxes"][0]["privacy"], len(answer.body["mailboxes"][0]["busy"])) == ("free-busy", 1)
    assert b"secret plan" not in answer.raw
    await connect(store, generation=2, shown_from=2)
    (entry,) = (await asker.get(SNAPSHOT)).body["mailboxes"]
    assert (entry["coverage"], entry["reason"], entry["busy"]) == ("unknown", "policy_changed", [])


async def test_a_snapshot_does_not_go_on_over_an_org_that_left_and_came_back(store: Store, asker: Asker) -> None:
    await tell(store, 3)
    first = (await asker.get(SNAPSHOT, limit="1")).body
    await leave(store)
    await connect(store, generation=3)
    asker.token = await add(store, "again", ["acme"], now=MONDAY)
    answer = await asker.get(SNAPSHOT, limit="1", cursor=first["next"])
    assert (answer.status, answer.body["code"]) == (410, "snapshot_outdated")
    assert (await asker.get(SNAPSHOT)).body["mailboxes"] == []


async def test_a_cursor_that_is_none_is_refused(asker: Asker) -> None:
    for cursor in ("x", "!", "bnVsbA", "WzEsMl0", "WzEsImEiLDJd", "Wy0xLCJhIl0"):
        answer = await asker.get(SNAPSHOT, cursor=cursor)
        assert (answer.status, answer.body["field"]) == (422, "cursor")
