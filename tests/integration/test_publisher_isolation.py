"""A consumer sees its orgs and nothing else, whatever operations there are or will be; over both databases."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from msgspec import Struct

from services.publisher.consumers import add
from services.publisher.specimen import specimen
from services.publisher.timelines import publish
from services.publisher.web import served
from shared import clock
from shared.health import Health
from shared.store import Store, open_store
from shared.tables import feeds, webhooks
from tests.integration.asking import put_mailbox
from tests.integration.every_operation import (
    CLOSED,
    OF_ORGS,
    OF_THINGS,
    OPERATIONS,
    QUERIED,
    THINGS,
    Names,
    Reply,
    ask,
)
from tests.unit.publisher.hooks import FakeSender, Taker, post_with
from tests.unit.publisher.readings import MONDAY, busy, connect, event, snapshot

THEIRS = "beta's secret plan"
HOURS = (24 * 56 + 10, 24 * 56 + 11)  # on the day that is asked about
OPEN = {name: each for name, each in OPERATIONS.items() if each.open}


class Town(Struct, frozen=True, kw_only=True):
    """Two orgs that hold mailboxes of the same id, each with a consumer; beta's holds a webhook and a feed, too."""

    session: ClientSession
    url: str
    ours: str
    every: str

    async def asks(self, name: str, names: Names, token: str | None = "") -> Reply:
        """Ask an operation as acme's consumer, or with another token, or none."""
        return await ask(self.session, self.url, OPERATIONS[name], names, self.ours if token == "" else token)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    for org_id, subject in (("acme", "our own plan"), ("beta", THEIRS)):
        await connect(opened, org_id)
        await put_mailbox(opened, "m-0001", org_id=org_id)
        told = snapshot(busy(*HOURS), org_id=org_id, events=(event(*HOURS, subject),))
        await publish(opened, [told, snapshot(org_id=org_id, mailbox_id=f"of-{org_id}")], now=MONDAY)
    yield opened
    await opened.close()


@pytest.fixture
async def town(store: Store, tmp_path: Path) -> AsyncIterator[Town]:
    ours = await add(store, "booking", ["acme"], now=MONDAY)
    await add(store, "rival", ["beta"], now=MONDAY)
    every = await add(store, "auditor", ["*"], now=MONDAY)
    await make_things(store, "rival", "beta")
    post = post_with(store, tmp_path, FakeSender(Taker()), clock.exact)
    async with (
        served(store, Health(), host="127.0.0.1", port=0, post=post) as port,
        ClientSession() as session,
    ):
        yield Town(session=session, url=f"http://127.0.0.1:{port}", ours=ours, every=every)


async def make_things(store: Store, consumer: str, org_id: str) -> None:
    """Put a webhook and a feed of a consumer into the store, each named for it."""
    webhook = {
        "webhook_id": f"wh_{consumer}",
        "consumer": consumer,
        "url": "https://receiver.example.com",
        "orgs": "[]",
    }
    state = {"secret": b"", "position": 0, "state": "disabled", "created_at": MONDAY, "failures": 0}
    feed = {"feed_id": f"feed-{consumer}", "secret_hash": f"hash-{consumer}", "consumer": consumer, "org_id": org_id}
    async with store.write() as connection:
        await connection.execute(webhooks.insert().values(webhook | state))
        await connection.execute(feeds.insert().values(feed | {"mailbox_id": "m-0001", "created_at": MONDAY}))


def test_what_a_path_can_name_is_known_here() -> None:
    """Whoever adds a thing of another kind says here that it is somebody's own."""
    known = {"{org}", "{address}", "{secret}", *(f"{{{thing}}}" for thing in THINGS)}
    named = {word.split("}")[0] for each in OPERATIONS.values() for word in each.path.split("{")[1:]}
    assert {f"{{{name}}}" for name in named} <= known
    assert all("{secret}" in each.path for each in OPEN.values())


async def test_without_a_good_token_nothing_is_answered(town: Town) -> None:
    for name in CLOSED:
        wrong = (None, f"busyline_{'x' * 43}", "x", town.ours[:-1], town.ours + "x")
        answers = [await town.asks(name, Names(), token) for token in wrong]
        assert {answer.status for answer in answers} == {401}, name
        assert len({answer.raw for answer in answers}) == 1, name
        assert all("RateLimit" not in answer.headers for answer in answers), name


async def test_another_orgs_token_is_told_what_is_told_of_an_org_that_does_not_exist(town: Town) -> None:
    for name in {**OF_ORGS, **QUERIED}:
        theirs, nowhere = [await town.asks(name, Names(org=org)) for org in ("beta", "nowhere")]
        assert (theirs.status, theirs.code) == (404, "org_unknown"), name
        assert theirs == nowhere, name


async def test_what_another_consumer_made_is_told_like_what_does_not_exist(town: Town) -> None:
    for name in OF_THINGS:
        rivals, nobodys = [
            await town.asks(name, Names(webhook=webhook, feed=feed))
            for webhook, feed in (("wh_rival", "feed-rival"), ("wh_nobody", "feed-nobody"))
        ]
        assert rivals == nobodys, name
        assert rivals.status == 404, name


async def test_what_is_asked_in_a_body_stays_within_the_scope(town: Town) -> None:
    """Mailboxes of another org, and webhooks for it: the same as for what does not exist."""
    for name, each in CLOSED.items():
        if each.takes is not None:
            asked = Names() if "{org}" in each.path else Names(org="beta")
            theirs = await town.asks(name, replaced(asked, "of-beta@example.com"))
            nobodys = await town.asks(name, replaced(asked, "of-nobd@example.com"))
            assert theirs.raw.replace(b"of-beta", b"of-nobd") == nobodys.raw, name
            assert theirs.status == nobodys.status, name


async def test_an_org_named_in_a_body_is_told_like_one_named_in_a_path(town: Town) -> None:
    webhook = json.loads((await town.asks("makeWebhook", Names())).raw)["webhook"]["id"]
    naming = {name for name, each in CLOSED.items() if each.takes is not None and "orgs" in specimen(each.takes)}
    assert naming >= {"makeWebhook", "changeWebhook"}
    for name in naming:
        theirs, nowhere = [await town.asks(name, Names(org=org, webhook=webhook)) for org in ("beta", "nowhere")]
        assert (theirs.status, theirs.code) == (404, "org_unknown"), name
        assert theirs == nowhere, name


def replaced(names: Names, mailbox: str) -> Names:
    """Return the same names with another mailbox."""
    return Names(org=names.org, mailbox=mailbox)


async def test_a_consumers_own_orgs_and_things_are_answered(town: Town) -> None:
    """Or the refusals above would prove nothing."""
    webhook, feed = [json.loads((await town.asks(name, Names())).raw) for name in ("makeWebhook", "makeFeed")]
    own = Names(webhook=webhook["webhook"]["id"], feed=feed["feed"])
    statuses = {name: (await town.asks(name, own)).status for name in sorted(CLOSED, key=is_deleting)}
    assert {name: status for name, status in statuses.items() if status >= 400} == {}


def is_deleting(name: str) -> bool:
    return OPERATIONS[name].method == "DELETE"


async def test_nothing_of_another_org_is_in_any_answer(town: Town) -> None:
    seen = b""
    for name in OPERATIONS:
        for names in (Names(), Names(org="beta"), Names(mailbox="of-beta@example.com")):
            answer = await town.asks(name, names)
            assert THEIRS.encode() not in answer.raw, name
            seen += answer.raw
    assert b"our own plan" in seen
    told = [await town.asks(name, Names(org="beta"), town.every) for name in OPERATIONS]
    assert any(THEIRS.encode() in answer.raw for answer in told)  # who may see every org is told so


async def test_what_needs_no_token_answers_nothing_without_its_secret(town: Town) -> None:
    for name in OPEN:
        answers = [
            await town.asks(name, Names(secret=secret), token)
            for secret in ("A" * 43, "x", "hash-rival", "feed-rival")
            for token in (None, town.every)
        ]
        assert {answer.status for answer in answers} == {404}, name
        assert len({answer.raw for answer in answers}) == 1, name
