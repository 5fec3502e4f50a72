import asyncio
import time
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from sqlalchemy import insert, update

from services.fetcher import hints
from services.fetcher.connect import Access, Tenants
from services.fetcher.context import Context
from services.fetcher.listening import PART, served_notifications
from services.fetcher.mailboxes import Mailboxes
from services.fetcher.notices import LABEL, LARGEST, client_state
from services.fetcher.settings import Settings
from shared import clock, logs
from shared.contracts.messages import GraphConnection, MailboxRead
from shared.contracts.policy import Policy
from shared.health import Health
from shared.identity import Tokens
from shared.store import Store, open_store
from shared.tables import orgs
from shared.vault import Vault, load_vault
from tests.unit.fetcher.collecting import (
    Collecting,
    mailbox_rows,
    put_mailbox,
    put_subscription,
    subscription_rows,
)

TENANT = "84bd8158-6d4d-4958-8b9f-9d6445542f9{}"
PATH = "/graph/notifications"


class Listener:
    """Two orgs with two mailboxes each, subscribed, and the listener on a port."""

    def __init__(self, context: Context, vault: Vault, http: aiohttp.ClientSession) -> None:
        self.context = context
        self.store = context.store
        self.vault = vault
        self.http = http
        self.broker = Collecting()
        self.health = Health()
        self.url = ""

    def notice(self, org_id: str, mailbox_id: str, **fields: Any) -> dict[str, Any]:
        return {
            "subscriptionId": f"s-{mailbox_id}",
            "clientState": client_state(self.vault.derived(LABEL)[0], org_id, mailbox_id),
            "tenantId": TENANT.format(org_id[-1]),
            "changeType": "updated",
            "resource": f"Users/{mailbox_id}/Events/{'A' * 152}",
            "resourceData": {"id": "A" * 152, "@odata.id": f"Users/{mailbox_id}/Events/{'A' * 152}"},
        } | fields

    async def post(self, *items: object) -> int:
        async with self.http.post(self.url, json={"value": list(items)}) as answer:
            assert await answer.read() == b""
            return answer.status


async def connect(store: Store, org_id: str, **fields: Any) -> None:
    row = {
        "org_id": org_id,
        "generation": 1,
        "state": "connected",
        "connection": msgspec.json.encode(GraphConnection(tenant_id=TENANT.format(org_id[-1]))),
        "tenant_id": TENANT.format(org_id[-1]),
        "policy": msgspec.json.encode(Policy()),
    }
    async with store.write() as connection:
        await connection.execute(insert(orgs).values(row | fields))


async def change_org(store: Store, org_id: str, **fields: Any) -> None:
    async with store.write() as connection:
        await connection.execute(update(orgs).where(orgs.c.org_id == org_id).values(fields))


@pytest.fixture
async def listener(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Listener]:
    store, vault, tokens = open_store(sqlite_url), load_vault(tmp_path / "keys", create=True), Tokens()
    async with aiohttp.ClientSession() as http:
        context = Context(
            store=store,
            mailboxes=Mailboxes(store),
            tenants=Tenants(Access(store=store, vault=vault, tokens=tokens, session=http)),
            settings=Settings(notify_url=f"https://busyline.example{PATH}"),
            log=logs.get("fetcher"),
        )
        listener = Listener(context, vault, http)
        for org_id, names in {"org1": ("m1", "m2"), "org2": ("m3", "m4")}.items():
            await connect(store, org_id)
            for name in names:
                ends = clock.now() + 500_000
                await put_mailbox(store, name, org_id=org_id, due_at=ends, subscribed_until=ends)
                await put_subscription(
                    store, name, org_id=org_id, subscription_id=f"s-{name}", expires_at=ends, act_at=ends
                )
        async with served_notifications(context, listener.broker, listener.health, vault=vault) as port:
            listener.url = f"http://127.0.0.1:{port}{PATH}"
            yield listener
    tokens.close()
    await store.close()


@pytest.mark.parametrize("token", ["plain", "Validation: Testing <b>&amp; a+b=%41/?</b> Request-Id: 1-2", "a" * 2048])
async def test_a_validation_is_answered_with_the_decoded_token_and_nothing_else(listener: Listener, token: str) -> None:
    address = f"{listener.url}?validationToken={quote(token, safe='')}"
    async with listener.http.post(aiohttp.client.URL(address, encoded=True)) as answer:
        assert (answer.status, await answer.read()) == (200, token.encode())
        assert answer.content_type == "text/plain"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("token", ["", "a" * 2049, "a%0d%0ab", "%E2%82%AC"])
async def test_what_is_no_token_of_microsofts_is_not_repeated(listener: Listener, token: str) -> None:
    address = aiohttp.client.URL(f"{listener.url}?validationToken={token}", encoded=True)
    async with listener.http.post(address) as answer:
        assert (answer.status, await answer.read()) == (400, b"")


async def test_a_change_is_a_hint_under_the_present_generation(listener: Listener) -> None:
    await change_org(listener.store, "org1", generation=7)
    before = clock.now()
    assert await listener.post(listener.notice("org1", "m1")) == 202
    (message,) = listener.broker.messages
    assert isinstance(message, MailboxRead)
    assert (message.org_id, message.mailbox_id, message.generation, message.live) == ("org1", "m1", 7, True)
    assert message.since >= before


async def test_one_post_may_speak_of_several_tenants_and_is_one_publication(listener: Listener) -> None:
    sent = [listener.notice("org1", "m1"), listener.notice("org2", "m3"), listener.notice("org1", "m2")]
    assert await listener.post(*sent) == 202
    assert sorted(listener.broker.hinted()) == ["m1", "m2", "m3"]
    assert listener.broker.batches == 1


async def test_a_thousand_notifications_of_one_mailbox_are_one_hint(listener: Listener) -> None:
    notice = listener.notice("org1", "m1")
    assert await listener.post(*({"id": str(number)} | notice for number in range(1000))) == 202
    assert listener.broker.hinted() == ["m1"]


async def test_posts_at_one_time_are_one_publication(listener: Listener) -> None:
    notice = listener.notice("org1", "m1")
    assert set(await asyncio.gather(*(listener.post(notice) for _ in range(40)))) == {202}
    assert len(listener.broker.messages) <= 10


async def test_what_does_not_prove_itself_is_accepted_and_ignored(listener: Listener) -> None:
    other = listener.notice("org1", "m2")["clientState"]
    forged = [
        listener.notice("org1", "m1", clientState="A" * 43),
        listener.notice("org1", "m1", clientState=other),
        listener.notice("org1", "m1", clientState=client_state(b"\0" * 32, "org1", "m1")),
        listener.notice("org1", "m1", subscriptionId="s-unknown"),
        listener.notice("org1", "m1", tenantId=TENANT.format(2)),
        listener.notice("org1", "m1", clientState=None),
        {"lifecycleEvent": "subscriptionRemoved"} | listener.notice("org1", "m1", clientState=other),
    ]
    assert await listener.post(*forged) == 202
    assert await listener.post(*forged, listener.notice("org2", "m4")) == 202
    assert listener.broker.hinted() == ["m4"]
    assert (await subscription_rows(listener.store))["m1"].subscription_id == "s-m1"


async def test_a_disconnecting_org_gets_no_hints(listener: Listener) -> None:
    await change_org(listener.store, "org1", state="disconnecting")
    assert await listener.post(listener.notice("org1", "m1")) == 202
    assert listener.broker.messages == []


async def test_a_hint_for_an_org_that_needs_attention_is_kept_until_it_is_read_again(listener: Listener) -> None:
    await change_org(listener.store, "org1", state="attention")
    assert await listener.post(listener.notice("org1", "m1")) == 202
    assert listener.broker.messages == []
    rows = await mailbox_rows(listener.store)
    assert rows["m1"].due_at <= clock.now() < rows["m2"].due_at


async def test_a_missed_notification_is_a_hint(listener: Listener) -> None:
    assert await listener.post(listener.notice("org1", "m1", lifecycleEvent="missed")) == 202
    assert listener.broker.hinted() == ["m1"]


async def test_a_removed_subscription_is_to_be_made_again_now_and_is_a_hint(listener: Listener) -> None:
    assert await listener.post(listener.notice("org1", "m1", lifecycleEvent="subscriptionRemoved")) == 202
    row = (await subscription_rows(listener.store))["m1"]
    assert (row.subscription_id, row.reason) == (None, "subscription_removed")
    assert row.act_at <= clock.now()
    assert (await mailbox_rows(listener.store))["m1"].subscribed_until is None
    assert listener.broker.hinted() == ["m1"]


async def test_one_to_be_authorised_again_is_looked_at_now_and_is_no_hint(listener: Listener) -> None:
    assert await listener.post(listener.notice("org1", "m1", lifecycleEvent="reauthorizationRequired")) == 202
    row = (await subscription_rows(listener.store))["m1"]
    assert (row.subscription_id, row.reason) == ("s-m1", "reauthorization_required")
    assert row.act_at <= clock.now()
    assert (await mailbox_rows(listener.store))["m1"].subscribed_until is not None
    assert listener.broker.messages == []


async def test_while_the_broker_is_away_microsoft_is_asked_to_send_again(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "PATIENCE", 0.2)
    listener.broker.here.clear()
    answers = await asyncio.gather(*(listener.post(listener.notice("org1", "m1")) for _ in range(5)))
    assert set(answers) == {503}
    listener.broker.here.set()
    assert await listener.post(listener.notice("org1", "m1")) == 202
    assert set(listener.broker.hinted()) == {"m1"}


async def test_while_the_store_is_away_microsoft_is_asked_to_send_again(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(hints.subscriptions, "lookup", away)
        assert await listener.post(listener.notice("org1", "m1")) == 503
    assert await listener.post(listener.notice("org1", "m1")) == 202


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("PUT", PATH, 405), ("DELETE", PATH, 405), ("POST", "/", 404), ("GET", "/livez", 404),
     ("POST", PATH + "/more", 404)],
)  # fmt: skip
async def test_there_is_one_address_and_one_method(listener: Listener, method: str, path: str, status: int) -> None:
    address = listener.url.replace(PATH, path)
    async with listener.http.request(method, address) as answer:
        assert (answer.status, await answer.read()) == (status, b"")
        assert "aiohttp" not in answer.headers.get("Server", "")


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{}", 400), (b"<html>", 400), (b" " * (LARGEST + 2), 413)]
)  # fmt: skip
async def test_what_is_no_notification_is_refused(listener: Listener, body: bytes, status: int) -> None:
    async with listener.http.post(listener.url, data=BytesIO(body)) as answer:
        assert (answer.status, await answer.read()) == (status, b"")


async def test_a_body_that_does_not_come_is_not_waited_for(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.fetcher.listening.BODY_SECONDS", 0.1)
    host, port = listener.url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    answer = await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "sent", ["", f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Slow: ", f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n"]
)
async def test_who_sends_no_request_or_no_further_one_is_not_waited_for(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr("services.fetcher.listening.IDLE_SECONDS", 0.2)
    async with served_notifications(listener.context, listener.broker, Health(), vault=listener.vault) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent.encode())
        await asyncio.wait_for(reader.read(), 60)  # to its end
        writer.close()


async def test_readiness_names_the_listener(listener: Listener) -> None:
    assert PART not in listener.health.missing()
    assert listener.health.ready


async def test_two_hundred_posts_a_second_are_cheap(listener: Listener) -> None:
    started = time.process_time()
    for _ in range(10):
        sent = [listener.post(listener.notice("org1", "m1"), listener.notice("org2", "m3")) for _ in range(20)]
        assert set(await asyncio.gather(*sent)) == {202}
    assert time.process_time() - started < 1.0  # client and server together
