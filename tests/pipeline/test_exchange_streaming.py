"""Exchange tells of changes as they happen, on connections that end and are begun anew; readings make up for more."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.fetcher import exchange_groups, exchange_listening, exchange_shares
from services.fetcher.connect import Access, Tenants
from services.fetcher.context import Context
from services.fetcher.exchange_listening import Listener
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.settings import Settings
from shared import clock, logs
from shared.contracts.messages import OrgDisconnected
from shared.contracts.policy import Policy
from shared.ews.dialling import surroundings
from shared.graph import open_session
from shared.identity import Tokens
from shared.tables import streams
from shared.vault import load_vault
from tests.pipeline.exchange import DETAILS, FREE_BUSY, Organisation, meeting, organisation
from tests.waiting import until

STREAMING = Settings(exchange_streaming=True)
SOON = 60.0  # seconds within which a change must be told, however slow the machine; polling would take an hour


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_listening, "INTERVAL", 0.1)
    monkeypatch.setattr(exchange_listening, "STOOD", 0.3)
    monkeypatch.setattr(exchange_listening, "FIRST_PAUSE", 0.5)


@asynccontextmanager
async def listened(folder: Path, policy: Policy = FREE_BUSY, **sandbox: Any) -> AsyncIterator[Organisation]:
    """Give an organisation every mailbox of which is listened to, and nothing is owed."""
    async with organisation(folder, policy=policy, fetcher=STREAMING, **sandbox) as made:
        await until(lambda: promised(made))
        await made.settled()
        yield made


async def promised(made: Organisation) -> bool:
    """Say whether every mailbox counts on hints."""
    rows = (await made.rows()).values()
    return bool(rows) and all(row.subscribed_until and row.subscribed_until > clock.now() for row in rows)


def listening() -> int:
    """Return how many connections are listened on: each has a thread of its own."""
    return sum(thread.name.startswith("ews-hold") for thread in threading.enumerate())


@pytest.mark.parametrize("policy", [FREE_BUSY, DETAILS], ids=["free-busy", "details"])
async def test_a_change_is_told_soon_and_its_mailbox_alone_is_read(tmp_path: Path, policy: Policy) -> None:
    async with listened(tmp_path, policy) as made:
        made.sandbox.forget_requests()
        made.sandbox.add_event(made.addresses()[1], meeting(30, show_as="oof"))
        await made.scene.agrees(within=SOON)
        await until(made.at_rest)
        views = 1 if policy is DETAILS else 6  # spans of 42 days
        assert made.asked()["FindItem"] + made.asked()["GetUserAvailability"] == views
        assert made.sandbox.requests.kinds["EWS GetStreamingEvents"] == 0  # the connection that stood was enough
        item = made.sandbox.events(made.addresses()[1])[-1]
        made.sandbox.move_event(made.addresses()[1], item.item_id, seconds=3600)
        await made.scene.agrees(within=SOON)
        made.sandbox.delete_event(made.addresses()[1], item.item_id, moved=True)
        await made.scene.agrees(within=SOON)


async def test_a_connection_that_ends_is_followed_by_another_for_the_same_subscriptions(tmp_path: Path) -> None:
    async with listened(tmp_path, ews_minute=0.02) as made:  # a connection lasts six tenths of a second
        made.sandbox.forget_requests()
        asked = made.sandbox.requests.kinds
        await until(lambda: asked["EWS GetStreamingEvents"] >= 2)
        made.sandbox.add_event(made.addresses()[0], meeting(30))
        await made.scene.agrees(within=SOON)
        assert asked["EWS Subscribe"] == 0
        assert await promised(made)


async def test_subscriptions_that_vanish_at_the_server_are_made_anew(tmp_path: Path) -> None:
    async with listened(tmp_path) as made:
        made.sandbox.forget_requests()
        made.sandbox.ews.world.listeners.drop()
        made.sandbox.add_event(made.addresses()[0], meeting(30))  # nobody tells of it: the next reading finds it
        asked = made.sandbox.requests.kinds
        await until(lambda: asked["EWS Subscribe"] >= len(made.addresses()) and listening() == 1)
        await made.scene.agrees(within=SOON)
        made.sandbox.add_event(made.addresses()[0], meeting(40))
        await made.scene.agrees(within=SOON)


async def test_what_changes_while_no_stream_stands_is_made_up_for(tmp_path: Path) -> None:
    async with listened(tmp_path) as made:
        made.sandbox.ews.behave(without=frozenset({"GetStreamingEvents", "Subscribe"}))
        made.sandbox.ews.world.listeners.drop()
        await until(lambda: listening() == 0)
        await until(lambda: _unpromised(made))
        made.sandbox.add_event(made.addresses()[0], meeting(30))
        made.sandbox.ews.behave(without=frozenset())
        await made.scene.agrees(within=60)
        await until(lambda: listening() == 1)
        assert await promised(made)


async def test_a_server_that_ends_every_connection_at_once_is_not_asked_without_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_listening, "STOOD", 30.0)
    monkeypatch.setattr(exchange_listening, "FIRST_PAUSE", 60.0)
    async with organisation(tmp_path, fetcher=STREAMING, ews_minute=0.001) as made:
        await until(lambda: "stream.broken" in made.log.getvalue())
        await until(lambda: _unpromised(made))
        await made.settled()
        assert made.sandbox.requests.kinds["EWS GetStreamingEvents"] == 2


async def test_the_streams_of_an_organisation_that_leaves_end(tmp_path: Path) -> None:
    async with listened(tmp_path) as made:
        assert listening() == 1
        await made.broker.publish([OrgDisconnected(org_id=made.scene.org_id)])
        await until(lambda: listening() == 0)
        await until(lambda: _no_streams(made))


async def test_replicas_share_the_groups_and_one_takes_over_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_groups, "SIZE", 2)
    monkeypatch.setattr(exchange_shares, "BEAT", 0.1)  # seconds: so long a newcomer at a server waits
    async with organisation(tmp_path) as made, _replica(made) as context:
        groups = await exchange_groups.wanted(made.store)
        assert len(groups) == 3
        one, other = (Listener(context, made.broker, replica=name) for name in ("one", "other"))
        monkeypatch.setattr(exchange_listening, "MOST", 2)
        await one.look()
        await other.look()
        await until(lambda: listening() == 3)
        await until(lambda: promised(made))
        assert sorted(row.holder for row in await _streams(made)) == ["one", "one", "other"]
        await one.close()
        await other.look()
        await until(lambda: listening() == 2)
        assert {row.holder for row in await _streams(made)} == {"other"}
        await made.settled()
        heard = [address for address, row in (await made.rows()).items() if row.subscribed_until]
        made.sandbox.add_event(heard[0], meeting(30))
        await other.close()
        await until(lambda: listening() == 0)
        assert await _streams(made) == []
        await made.scene.agrees(within=SOON)  # whoever is heard no longer is read


@asynccontextmanager
async def _replica(made: Organisation) -> AsyncIterator[Context]:
    """Give the edges of another fetcher of the same deployment."""
    deployment, tokens = made.here.deployment, Tokens()
    async with open_session("", connections=2) as session:
        access = Access(
            store=made.store,
            vault=load_vault(deployment.keys_file),
            tokens=tokens,
            session=session,
            surroundings=surroundings(deployment.ca_file, deployment.reach_networks),
        )
        tenants, boxes = Tenants(access), Mailboxes(made.store)
        log = logs.get("fetcher")
        try:
            yield Context(store=made.store, mailboxes=boxes, tenants=tenants, settings=STREAMING, log=log)
        finally:
            await tenants.close()
            tokens.close()


async def _unpromised(made: Organisation) -> bool:
    return all(row.subscribed_until is None for row in (await made.rows()).values())


async def _no_streams(made: Organisation) -> bool:
    return not await _streams(made)


async def _streams(made: Organisation) -> list[Any]:
    async with made.store.read() as connection:
        return list(await connection.execute(select(streams)))
