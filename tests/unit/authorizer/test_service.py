"""The whole service on the embedded broker: what comes in, what goes out, what is parked, how it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from services.authorizer import __main__ as wiring
from services.authorizer import leaving, orgs
from services.authorizer.__main__ import run, see_broker, see_ca, see_schema, see_vault, serve
from services.authorizer.desk import Desk
from services.authorizer.handler import of_orgs, of_reports
from services.authorizer.purging import SERVICES, Purge
from services.authorizer.settings import Settings
from services.authorizer.timer import Wakes
from shared import clock
from shared.broker import Broker, Consumer, Delivery, Done, open_broker
from shared.config import Deployment, Secret
from shared.contracts.messages import (
    ConnectionDoubted,
    GraphConnection,
    MailboxEnumerate,
    Message,
    OrgConnected,
    OrgDisconnected,
    OrgPurge,
    OrgPurged,
    PolicyChanged,
)
from shared.contracts.policy import Detail, Policy
from shared.errors import Reject, Retry
from shared.health import Health
from shared.identity import GraphCredential, IdentityError
from shared.migrate import upgrade
from shared.process import Rim
from shared.store import Store, open_store
from shared.vault import Vault, load_vault
from tests.unit.authorizer.authorizer_fakes import FakeGraph, FakeTokens, token_of
from tests.waiting import until

ONE = GraphConnection(tenant_id="t")


class Running:
    """The service running, and everything it published for the fetcher."""

    def __init__(self, desk: Desk, rim: Rim) -> None:
        self.desk, self.rim = desk, rim
        self.jobs: list[MailboxEnumerate] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def take(self, message: Message, _: Delivery) -> Done:
        assert isinstance(message, MailboxEnumerate)
        self.jobs.append(message)
        return Done()

    def start(self) -> None:
        consumer = Consumer("fetcher.enumerate", self.take)
        self.tasks = [
            asyncio.create_task(serve(self.desk, self.rim)),
            asyncio.create_task(self.rim.broker.run([consumer], service="fetcher", stop=self.rim.stop)),
        ]

    async def end(self) -> None:
        self.rim.stop.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks), 60)

    async def say(self, org_id: str = "acme", connection: Any = ONE, policy: Any = None) -> None:
        message = OrgConnected(org_id=org_id, connection=connection, policy=policy or Policy())
        await self.rim.broker.publish([message])

    async def is_(self, org_id: str, state: str) -> bool:
        found = await orgs.org(self.desk.store, org_id)
        return found is not None and found.state == state and not found.pending

    async def known(self, org_id: str) -> bool:
        return await orgs.org(self.desk.store, org_id) is not None

    async def purged(self, count: int) -> bool:
        return len(await orgs.receipts(self.desk.store)) == count

    async def asked_for(self, generation: int) -> bool:
        return any(job.generation == generation for job in self.jobs)


class Purgers:
    """Three services that hold nothing and drop a message each; they answer whatever they are asked."""

    def __init__(self, broker: Broker, stop: asyncio.Event) -> None:
        self.asked: list[OrgPurge] = []
        self.tasks = [
            asyncio.create_task(
                broker.run([Consumer(f"{service}.purge", self.purge)], service=service, stop=stop), name=service
            )
            for service in SERVICES
        ]

    async def purge(self, message: Message, _: Delivery) -> Done:
        assert isinstance(message, OrgPurge)
        self.asked.append(message)
        counts = {"messages": 1}
        told = {"org_id": message.org_id, "purge_id": message.purge_id, "service": message.service}
        return Done((OrgPurged(**told, counts=counts),))


@pytest.fixture
async def running(desk: Desk) -> AsyncIterator[Running]:
    broker = open_broker("memory://")
    made = Running(desk, Rim(broker=broker, store=desk.store, stop=asyncio.Event(), health=Health()))
    made.start()
    yield made
    await made.end()
    await broker.close()


async def test_an_org_that_connects_is_verified_and_its_mailboxes_are_searched(running: Running) -> None:
    await running.say()
    await until(lambda: running.asked_for(1))
    assert await running.is_("acme", "connected")
    (job,) = running.jobs
    assert (job.org_id, job.generation, job.stage, job.cursor) == ("acme", 1, "", "")
    assert len(job.run) == 32
    assert running.rim.health.ready


async def test_a_request_from_the_command_line_is_taken_up(running: Running) -> None:
    await orgs.request(running.desk.store, org_id="acme", connection=ONE, policy=Policy(), now=clock.now())
    await until(lambda: running.asked_for(1))


async def test_the_same_message_twice_raises_no_generation(running: Running) -> None:
    await running.say()
    await until(lambda: running.asked_for(1))
    await running.say()

    async def twice() -> bool:
        return len(running.jobs) >= 2

    await until(twice)
    await until(lambda: running.is_("acme", "connected"))
    assert {job.generation for job in running.jobs} == {1}
    assert len({job.run for job in running.jobs}) == len(running.jobs)


async def test_a_changed_policy_is_searched_for_under_its_new_generation(running: Running) -> None:
    await running.say()
    await until(lambda: running.asked_for(1))
    await running.say(policy=Policy(detail=Detail.DETAILS))
    await until(lambda: running.asked_for(2))


async def test_a_refused_org_publishes_nothing(running: Running, graph: FakeGraph) -> None:
    graph.answers["/users?$top=25"] = {"value": []}
    await running.say()
    await until(lambda: running.is_("acme", "refused"))
    assert running.jobs == []


async def test_a_policy_said_by_itself_is_searched_for_under_its_new_generation(running: Running) -> None:
    await running.say()
    await until(lambda: running.asked_for(1))
    await running.rim.broker.publish([PolicyChanged(org_id="acme", policy=Policy(detail=Detail.DETAILS))])
    await until(lambda: running.asked_for(2))
    found = await orgs.org(running.desk.store, "acme")
    assert found is not None
    assert found.policy.detail is Detail.DETAILS


async def test_a_policy_for_nobody_is_tried_again(running: Running) -> None:
    await running.rim.broker.publish([PolicyChanged(org_id="acme", policy=Policy(detail=Detail.DETAILS))])
    await running.say()
    await until(lambda: running.is_("acme", "connected"))

    async def in_force() -> bool:
        found = await orgs.org(running.desk.store, "acme")
        return found is not None and found.policy.detail is Detail.DETAILS

    await until(in_force)


async def test_a_doubted_org_is_verified_kept_from_being_read_and_taken_up_again(
    running: Running, tokens: FakeTokens
) -> None:
    await running.say()
    await until(lambda: running.asked_for(1))
    tokens.answer = IdentityError("app_not_in_tenant", code=700016)
    await running.rim.broker.publish([ConnectionDoubted(org_id="acme", generation=1, reason="denied")] * 3)
    await until(lambda: running.is_("acme", "attention"))
    tokens.answer = token_of()
    before = len(running.jobs)
    async with running.desk.store.write() as writing:
        await writing.execute(text("UPDATE orgs SET verify_at = 1"))  # a minute later
    await until(lambda: running.is_("acme", "connected"))

    async def searched() -> bool:
        return len(running.jobs) > before

    await until(searched)
    assert {job.generation for job in running.jobs} == {1}


async def test_an_org_that_leaves_is_asked_away_everywhere_and_leaves_a_receipt(running: Running) -> None:
    await running.say()
    await until(lambda: running.asked_for(1))
    purgers = Purgers(running.rim.broker, running.rim.stop)
    await running.rim.broker.publish([OrgDisconnected(org_id="acme", actor="jo")])
    await until(lambda: running.purged(1), 30)
    found = await orgs.receipt(running.desk.store, "acme")
    assert found is not None
    assert (found.actor, found.counts["messages"]) == ("jo", 3)
    assert {(asked.service, asked.generation) for asked in purgers.asked} == {
        ("fetcher", 2), ("normalizer", 2), ("publisher", 2),
    }  # fmt: skip
    assert await orgs.org(running.desk.store, "acme") is None
    await running.say()
    await until(lambda: running.asked_for(3))
    running.tasks += purgers.tasks


async def test_a_service_that_is_away_is_asked_again_and_an_org_that_returns_waits(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.authorizer.purging.ASK_AGAIN", 1)
    await running.say()
    await until(lambda: running.asked_for(1))
    await running.rim.broker.publish([OrgDisconnected(org_id="acme")])
    await until(lambda: running.is_("acme", "disconnecting"))
    await running.say()

    async def asked_again() -> bool:
        return await running.rim.broker.depth("fetcher.purge") >= 2

    await until(asked_again)
    assert await running.is_("acme", "disconnecting")
    assert not await running.purged(1)
    purgers = Purgers(running.rim.broker, running.rim.stop)
    await until(lambda: running.purged(1), 30)
    await until(lambda: running.asked_for(3), 30)  # it waited ten seconds at a time
    running.tasks += purgers.tasks


async def test_one_disconnection_that_fails_holds_up_no_other(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = leaving.close

    async def failing(store: Store, purge: Purge, *, now: int) -> str:
        if purge.org_id == "first":
            raise LookupError
        return await close(store, purge, now=now)

    monkeypatch.setattr(leaving, "close", failing)
    purgers = Purgers(running.rim.broker, running.rim.stop)
    for org_id in ("first", "second"):
        await running.say(org_id)
        await until(lambda org_id=org_id: running.known(org_id))  # type: ignore[misc]
        await orgs.disconnect(running.desk.store, org_id, actor="operator", now=clock.now())
    await until(lambda: running.purged(1), 30)
    (receipt,) = await orgs.receipts(running.desk.store)
    assert receipt.org_id == "second"
    assert not running.rim.health.ready
    running.tasks += purgers.tasks


async def test_what_belongs_into_another_queue_is_parked(running: Running) -> None:
    wakes = Wakes()
    delivery = Delivery("1", 1, False, 0)
    doubt = ConnectionDoubted(org_id="acme", generation=1, reason="denied")
    for handle, wrong in (
        (of_orgs(running.desk.store, "", wakes), doubt),
        (of_reports(running.desk.store, wakes), OrgDisconnected(org_id="acme")),
    ):
        with pytest.raises(Reject, match="wrong_queue"):
            await handle(wrong, delivery)


async def test_a_database_that_is_away_is_waited_for_and_costs_no_try() -> None:
    store = open_store("postgresql://nobody@127.0.0.1:9/none")
    for handle, message in (
        (of_orgs(store, "", Wakes()), OrgDisconnected(org_id="acme")),
        (of_reports(store, Wakes()), ConnectionDoubted(org_id="acme", generation=1, reason="denied")),
    ):
        done = await handle(message, Delivery("1", 1, False, 0))
        assert done.commit is not None
        with pytest.raises(Retry) as caught:
            await done.commit()
        assert (caught.value.reason, caught.value.counted) == ("store_unavailable", False)
    await store.close()


async def test_one_slow_tenant_does_not_hold_up_another(running: Running, tokens: FakeTokens) -> None:
    gate = asyncio.Event()

    async def slow_once() -> None:
        tokens.before = None
        await gate.wait()

    tokens.before = slow_once
    await running.say("slow")

    async def begun() -> bool:
        return bool(tokens.asked)

    await until(begun)
    tokens.answer = token_of("another-tenant")
    await running.say("quick")
    await until(lambda: running.is_("quick", "connected"))
    assert not await running.is_("slow", "connected")
    gate.set()
    await until(lambda: running.is_("slow", "refused"))  # the fake gives both the same tenant


MALFORMED = [
    ({"org_id": "no spaces, no dots."}, "$.org_id"),
    ({"connection": {"kind": "graph", "tenant_id": "no/slash"}}, "$.connection.tenant_id"),
    ({"connection": {"kind": "graph", "tenant_id": 5}}, "$.connection.tenant_id"),
    ({"connection": {"kind": "carrier-pigeon", "tenant_id": "t"}}, "$.connection.kind"),
    ({"connection": {"kind": "graph", "tenant_id": "t", "credential": "../x"}}, "$.connection.credential"),
    ({"connection": None}, "$.connection"),
    ({"policy": {"detail": "everything"}}, "$.policy.detail"),
    ({"policy": {"tentative": "maybe"}}, "$.policy.tentative"),
    ({"policy": {"window": [0, 10**11]}}, "$.policy"),
    ({"policy": {"window": [10, 5]}}, "$.policy.window"),
    ({"policy": {"window": [0, 10**15]}}, "$.policy.window[1]"),
    ({"policy": {"days_ahead": 10**9}}, "$.policy.days_ahead"),
    ({"policy": {"scope": {"include": ["a"]}}}, "$.policy.scope.include[0]"),
]


@pytest.mark.parametrize(("wrong", "where"), MALFORMED)
async def test_a_malformed_message_is_parked_with_its_place_and_the_service_lives_on(
    running: Running, wrong: dict[str, Any], where: str
) -> None:
    good: dict[str, Any] = {"org_id": "acme", "connection": ONE, "policy": Policy()}
    await running.rim.broker.publish([OrgConnected(**{**good, **wrong})])
    await until(lambda: some_parked(running.rim.broker))
    (letter,) = await running.rim.broker.parked()
    assert (letter.queue, letter.reason, letter.where) == ("authorizer.orgs", "malformed", where)
    assert await orgs.all_orgs(running.desk.store) == ()
    await running.say("next")
    await until(lambda: running.is_("next", "connected"))


async def test_an_unknown_cloud_is_parked_with_its_place(running: Running) -> None:
    await running.say(connection=GraphConnection(tenant_id="t", cloud="moon"))
    await until(lambda: some_parked(running.rim.broker))
    (letter,) = await running.rim.broker.parked()
    assert (letter.reason, letter.where) == ("cloud_unknown", "connection.cloud")


async def some_parked(broker: Broker) -> bool:
    return bool(await broker.parked())


async def test_a_store_that_fails_makes_the_service_unready_until_it_is_back(running: Running) -> None:
    async def ready() -> bool:
        return running.rim.health.ready

    async def unready() -> bool:
        return not running.rim.health.ready

    await until(ready)
    async with running.desk.store.write() as writing:
        await writing.execute(text("ALTER TABLE orgs RENAME TO away"))
    await until(unready)
    async with running.desk.store.write() as writing:
        await writing.execute(text("ALTER TABLE away RENAME TO orgs"))
    await until(ready)


async def test_stopping_leaves_a_hanging_verification_to_the_next_process(
    desk: Desk, tokens: FakeTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("services.authorizer.timer.GRACE", 0.05)
    tokens.before = hang
    broker = open_broker("memory://")
    made = Running(desk, Rim(broker=broker, store=desk.store, stop=asyncio.Event(), health=Health()))
    made.start()
    await made.say()

    async def begun() -> bool:
        return bool(tokens.asked)

    await until(begun)
    await made.end()
    await broker.close()
    found = await orgs.org(desk.store, "acme")
    assert found is not None
    assert (found.state, found.pending) == ("requested", True)


class SilentBroker:
    """A broker that never answers."""

    async def publish(self, _: object) -> None:
        await asyncio.Event().wait()

    async def run(self, _: object, *, service: str, stop: asyncio.Event) -> None:  # noqa: ARG002 -- the protocol's
        await stop.wait()

    async def depth(self, _: str) -> int:
        await asyncio.Event().wait()
        return 0


async def test_stopping_does_not_wait_for_a_broker_that_is_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.authorizer.timer.GRACE", 0.05)
    broker: Any = SilentBroker()
    rim = Rim(broker=broker, store=desk.store, stop=asyncio.Event(), health=Health())
    await orgs.request(desk.store, org_id="acme", connection=ONE, policy=Policy(), now=clock.now())
    task = asyncio.create_task(serve(desk, rim))

    async def connected() -> bool:
        found = await orgs.org(desk.store, "acme")
        return found is not None and found.state == "connected" and found.enumerate_at != found.connected_at

    await until(connected)
    rim.stop.set()
    await asyncio.wait_for(task, 60)


def deployment(tmp_path: Path, **changed: Any) -> Deployment:
    url = f"sqlite:///{tmp_path}/run.db"
    return Deployment(**{"database_url": Secret(url), "keys_file": str(tmp_path / "run-keys"), **changed})


async def refused(work: Awaitable[object]) -> str:
    with pytest.raises(SystemExit) as caught:
        await work
    told = str(caught.value.code)
    assert told.startswith("busyline authorizer: ")
    assert "\n" not in told
    return told


async def test_a_database_without_its_schema_is_named_at_start(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/empty.db")
    assert "busyline database upgrade" in await refused(see_schema(store))
    await store.close()


async def test_a_database_that_does_not_answer_is_named_at_start() -> None:
    store = open_store("postgresql://user:canary@127.0.0.1:9/none")
    told = await refused(see_schema(store))
    assert "BUSYLINE_DATABASE_URL" in told
    assert "canary" not in told
    await store.close()


async def test_a_missing_key_file_is_named_at_start(store: Store, tmp_path: Path) -> None:
    assert "BUSYLINE_KEYS_FILE" in await refused(see_vault(str(tmp_path / "none"), store))


async def test_a_lost_key_is_named_at_start(store: Store, vault: Vault, tmp_path: Path) -> None:
    load_vault(tmp_path / "other-keys", create=True)
    told = await refused(see_vault(str(tmp_path / "other-keys"), store))
    assert "key_unknown" in told
    assert repr(vault)


async def test_a_broker_that_does_not_answer_is_named_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "PATIENCE", 0.05)
    broker: Any = SilentBroker()
    assert "BUSYLINE_BROKER_URL" in await refused(see_broker(broker))


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_private_ca_that_cannot_be_used_is_named_at_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit, match="BUSYLINE_CA_FILE"):
        see_ca(str(file))


async def test_the_service_starts_on_a_good_deployment_and_asks_anew_for_what_no_queue_kept(tmp_path: Path) -> None:
    ready = deployment(tmp_path)
    upgrade(ready.database_url.reveal())
    vault = load_vault(ready.keys_file, create=True)
    store, broker = open_store(ready.database_url.reveal()), open_broker("memory://")
    await orgs.put_credential(store, vault, "default", GraphCredential(client_id="app"), now=1)
    await orgs.request(store, org_id="acme", connection=ONE, policy=Policy(), now=clock.now())
    async with store.write() as writing:
        await writing.execute(
            text("UPDATE orgs SET state='connected', generation=4, verify_at=NULL, enumerate_at=:far"),
            {"far": clock.now() + 10**6},
        )
    rim = Rim(broker=broker, store=store, stop=asyncio.Event(), health=Health())
    task = asyncio.create_task(run(ready, Settings(), rim))

    async def asked_for() -> bool:
        return await broker.depth("fetcher.enumerate") == 1

    await until(asked_for)
    rim.stop.set()
    await asyncio.wait_for(task, 60)
    await broker.close()
    await store.close()
