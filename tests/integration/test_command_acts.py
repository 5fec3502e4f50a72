"""The operator's hands on orgs, mailboxes, policies and the audit log, over both databases."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, select, update

from deploy.command.looking import follow
from deploy.command.main import main
from services.authorizer import audit, leaving
from services.publisher import consumers
from shared import clock, tables
from shared.broker import Consumer, Delivery, Done, open_broker
from shared.contracts.messages import GraphConnection, MailboxErase, MailboxRead, Message, OrgPurged
from shared.contracts.policy import Policy
from shared.contracts.values import DAY, Block, Status
from shared.errors import Reject
from shared.store import Store, open_store
from shared.vault import load_vault
from tests.waiting import until

CONNECTION = GraphConnection(tenant_id="contoso.example", credential="acme-00000001")


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    async with opened.write() as writing:
        org = {
            "org_id": "acme",
            "generation": 3,
            "state": "connected",
            "tenant_id": "contoso.example",
            "connected_at": 5,
        }
        encoded = {"connection": msgspec.json.encode(CONNECTION), "policy": msgspec.json.encode(Policy())}
        await writing.execute(tables.orgs.insert().values(**org, **encoded, enumerate_at=2**33))
        row = {"org_id": "acme", "generation": 3, "policy": encoded["policy"], "created_at": 0}
        await writing.execute(tables.policies.insert().values(row))
        await writing.execute(tables.mailboxes.insert(), [box(1), box(2), box(3, bucket="excluded", due_at=None)])
        await writing.execute(tables.timelines.insert(), [timeline(1), timeline(2)])
        started = {"org_id": "acme", "run": "0" * 32, "generation": 3, "started_at": 0}
        await writing.execute(tables.enumerations.insert().values(started))
    yield opened
    await opened.close()


def address(number: int) -> str:
    return f"person{number:04}@contoso.com"


def box(number: int, **more: object) -> dict[str, object]:
    row = {"org_id": "acme", "mailbox_id": f"box-{number:04}", "address": address(number), "kind": "user"}
    return row | {"bucket": "active", "reason": None, "generation": 3, "version": 1, "due_at": 2**33} | more


def timeline(number: int) -> dict[str, object]:
    today = clock.now() - clock.now() % DAY
    blocks = (Block(today, today + 3600, Status.TENTATIVE), Block(today + 7200, today + 9000, Status.OOF))
    row = {
        "org_id": "acme",
        "mailbox_id": f"box-{number:04}",
        "address": address(number),
        "generation": 3,
        "version": 1,
    }
    row |= {"coverage": "full", "bucket": "active", "time_zone": "UTC", "window_start": 0, "window_end": 2**33}
    return row | {"as_of": 7, "blocks": msgspec.json.encode(blocks), "events": b'[{"start":1,"end":2,"status":"busy"}]'}


def update_row(
    position: int, generation: int, kind: str = "availability.updated.v1", number: int = 1
) -> dict[str, Any]:
    data = {"org_id": "acme", "mailbox": f"told{position}@contoso.com", "coverage": "unknown", "reason": "gone"}
    row = {"position": position, "org_id": "acme", "mailbox_id": f"box-{number:04}", "generation": generation}
    return row | {"type": kind, "created_at": 0, "body": msgspec.json.encode(data)}


class Operator:
    """Runs commands as an operator does, in a thread of their own: the test's loop goes on meanwhile."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    async def run(self, *arguments: str, typed: str | None = None) -> Result:
        result = await asyncio.to_thread(CliRunner().invoke, main, arguments, input=typed, env=self.environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    async def says(self, *arguments: str, typed: str | None = None) -> str:
        result = await self.run(*arguments, typed=typed)
        assert result.exit_code == 0, result.output
        return " ".join(result.stdout.split())

    async def fails(self, *arguments: str, typed: str | None = None, code: int = 1) -> str:
        result = await self.run(*arguments, typed=typed)
        assert result.exit_code == code, result.output
        return " ".join(result.output.split())


@pytest.fixture
def operator(store_url: str, tmp_path: Path) -> Operator:
    return Operator(
        {"BUSYLINE_DATABASE_URL": store_url, "BUSYLINE_KEYS_FILE": str(tmp_path / "keys"), "COLUMNS": "200"}
    )


@pytest.fixture
def on_rabbitmq(operator: Operator, amqp_url: str) -> Operator:
    return Operator(operator.environment | {"BUSYLINE_BROKER_URL": amqp_url})


async def actions(store: Store, chain: str = "acme") -> list[tuple[str, str, dict[str, Any]]]:
    found = await audit.entries(store, chain)
    assert audit.verify(found) is None
    return [(entry.action, entry.actor, dict(entry.details)) for entry in found]


# -- disconnecting ------------------------------------------------------------------------------------------------


async def purge(store: Store) -> None:
    """Do what the services do once an org is being disconnected."""
    await until(lambda: _under_way(store))
    (under_way,) = await leaving.under_way(store)
    async with store.write() as writing:
        for table in (tables.mailboxes, tables.subscriptions, tables.enumerations, tables.timelines, tables.updates):
            await writing.execute(delete(table).where(table.c.org_id == "acme"))
    for service in ("fetcher", "normalizer", "publisher"):
        told = OrgPurged(org_id="acme", purge_id=under_way.purge_id, service=service, counts={"queued_messages": 2})
        await leaving.answer(store, told)
    (answered,) = await leaving.under_way(store)
    await leaving.close(store, answered, now=clock.now())


async def _under_way(store: Store) -> bool:
    return bool(await leaving.under_way(store))


async def test_disconnecting_ends_with_a_receipt(store: Store, operator: Operator, tmp_path: Path) -> None:
    listed = tmp_path / "witness"
    command = operator.says(
        "disconnect",
        "acme",
        "--wait",
        "20",
        "--actor",
        "operator:eve",
        "--witness",
        str(listed),
        typed="acme\n",
    )
    said, _ = await asyncio.gather(command, purge(store))
    assert "Receipt: acme is disconnected" in said
    assert "Enterprise applications" in said
    assert json.loads(listed.read_bytes())["addresses"] == [address(1), address(2), address(3)]
    receipt = json.loads((await operator.run("receipt", "acme")).stdout)
    assert (receipt["counts"]["mailboxes"], receipt["counts"]["timelines"], receipt["actor"]) == (3, 2, "operator:eve")
    assert receipt["counts"]["queued_messages"] == 6
    assert receipt["seconds"] >= 0
    assert receipt["audit_hash"] == (await audit.entries(store, "acme"))[-1].hash
    assert "Nothing of it was found" in await operator.says("verify-purge", "acme", "--witness", str(listed))
    assert "disconnected already" in await operator.fails("disconnect", "acme", "--yes")


async def test_an_older_receipt_is_not_taken_for_that_of_a_disconnection_that_never_began(
    store: Store, operator: Operator
) -> None:
    await asyncio.gather(operator.says("disconnect", "acme", "--yes", "--wait", "20"), purge(store))
    again = {"org_id": "acme", "generation": 5, "state": "connected", "tenant_id": "contoso.example"}
    again |= {"connection": msgspec.json.encode(CONNECTION), "policy": msgspec.json.encode(Policy())}
    async with store.write() as writing:  # connected anew by a host whose clock is ahead
        await writing.execute(tables.orgs.insert().values(**again, requested_at=clock.now() + 3600))
    said = await operator.fails("disconnect", "acme", "--yes", "--wait", "20")
    assert "Receipt" not in said
    assert "nothing was done" in said


async def test_disconnecting_tells_who_is_still_at_work(store: Store, operator: Operator) -> None:
    said = await operator.fails("disconnect", "acme", "--yes", "--wait", "0")
    assert "goes on by itself" in said
    said = await operator.fails("receipt", "acme")
    assert "still at work: fetcher, normalizer, publisher" in said
    assert "disconnecting" in await operator.says("status", "acme")
    assert "it has no policy in force" in await operator.fails("policy", "show", "acme")
    await purge(store)
    assert (await operator.run("receipt", "acme")).exit_code == 0


async def test_another_name_disconnects_nothing(store: Store, operator: Operator, tmp_path: Path) -> None:
    listed = tmp_path / "witness"
    said = await operator.fails("disconnect", "acme", "--witness", str(listed), typed="acmee\n")
    assert "nothing was done" in said
    assert not listed.exists()
    assert await actions(store) == []


@pytest.mark.usefixtures("store")
async def test_an_org_nobody_knows_has_no_receipt(operator: Operator) -> None:
    assert "there is no org" in await operator.fails("disconnect", "other", "--yes")
    assert "never disconnected" in await operator.fails("receipt", "other")
    await operator.fails("receipt", "a b", code=2)


# -- policies -----------------------------------------------------------------------------------------------------


async def test_a_preview_changes_nothing(store: Store, operator: Operator) -> None:
    arguments = ("policy", "preview", "acme", "--tentative", "busy", "--exclude", address(1), "--no-rooms")
    said = await operator.says(*arguments)
    assert "tentative: tentative -> busy" in said
    assert "Stricter" in said
    assert "mailboxes left out 1" in said
    assert "events whose details are deleted 2" in said
    assert "busy 0 2 0" in said
    assert "tentative 2 0 0" in said
    assert json.loads(await operator.says("policy", "show", "acme"))["generation"] == 3
    assert await actions(store) == []


async def test_a_policy_is_changed_as_it_was_previewed(store: Store, operator: Operator) -> None:
    said = await operator.says("policy", "set", "acme", "--show-free", "--actor", "eve", typed="y\n")
    assert "Not stricter" in said
    assert "In force as generation 4" in said
    shown = json.loads(await operator.says("policy", "show", "acme"))
    assert (shown["generation"], shown["policy"]["show_free"]) == (4, True)
    details = {"fields": "show_free", "stricter": False, "generation": 4}
    assert await actions(store) == [("policy.changed", "eve", details)]


@pytest.mark.usefixtures("store")
async def test_a_change_that_is_not_confirmed_is_none(operator: Operator) -> None:
    await operator.fails("policy", "set", "acme", "--show-free", typed="n\n")
    assert "nothing would change" in await operator.says("policy", "set", "acme")
    assert json.loads(await operator.says("policy", "show", "acme"))["generation"] == 3
    await operator.fails("policy", "preview", "acme", "--tentative", "pink", code=2)
    assert "there is no org" in await operator.fails("policy", "preview", "other")


async def test_what_a_later_word_outdoes_is_not_said_to_be_done(
    store: Store, operator: Operator, tmp_path: Path
) -> None:
    later = {"requested_at": clock.now() + 3600, "policy_at": clock.now() + 3600}  # by a clock ahead of this one
    async with store.write() as writing:
        await writing.execute(update(tables.orgs).values(**later))
    assert "nothing was changed" in await operator.fails("policy", "set", "acme", "--show-free", "--yes")
    load_vault(tmp_path / "keys", create=True)
    secret = tmp_path / "secret"
    secret.write_text("s")
    words = ("--tenant", "contoso.example", "--client-id", "app", "--client-secret-file", str(secret))
    assert "nothing was changed" in await operator.fails("connect", "acme", *words)


# -- mailboxes ----------------------------------------------------------------------------------------------------


async def test_mailboxes_are_listed_with_why_they_wait(store: Store, operator: Operator) -> None:
    waits = {"waiting": "throttled", "retry_at": 60, "read_at": 0, "subscribed_until": 2**33}
    async with store.write() as writing:
        mine = tables.mailboxes.c.mailbox_id == "box-0002"
        await writing.execute(update(tables.mailboxes).where(mine).values(**waits))
    assert "3 mailboxes" in await operator.says("mailboxes", "acme")
    assert "1 mailboxes" in await operator.says("mailboxes", "acme", "--bucket", "excluded")
    (row,) = csv.DictReader(io.StringIO((await operator.run("mailboxes", "acme", "--waiting", "--csv")).stdout))
    assert row == {
        "mailbox id": "box-0002",
        "address": address(2),
        "kind": "user",
        "bucket": "active",
        "reason": "",
        "waiting": "throttled",
        "last reading": "1970-01-01T00:00:00Z",
        "next try": "1970-01-01T00:01:00Z",
        "subscribed": "2242-03-16T12:56:32Z",
    }
    assert "there is no org" in await operator.fails("mailboxes", "other")


async def test_a_spreadsheet_takes_no_address_for_a_formula(store: Store, operator: Operator) -> None:
    async with store.write() as writing:
        await writing.execute(tables.mailboxes.insert().values(box(9, address="=cmd@contoso.com", bucket="guest")))
    said = (await operator.run("mailboxes", "acme", "--bucket", "guest", "--csv")).stdout
    assert "'=cmd@contoso.com" in said


async def due(store: Store) -> dict[str, int | None]:
    async with store.read() as reading:
        rows = await reading.execute(select(tables.mailboxes.c.mailbox_id, tables.mailboxes.c.due_at))
        return {row.mailbox_id: row.due_at for row in rows}


async def enumerate_at(store: Store) -> int:
    async with store.read() as reading:
        return int((await reading.execute(select(tables.orgs.c.enumerate_at))).scalar_one())


async def test_everything_is_read_anew(store: Store, operator: Operator) -> None:
    assert "2 mailboxes are being read" in await operator.says("resync", "acme", "--actor", "eve")
    found = await due(store)
    assert found["box-0003"] is None
    assert max(found["box-0001"] or 0, found["box-0002"] or 0, await enumerate_at(store)) <= clock.now()
    assert await actions(store) == [("org.resynced", "eve", {"mailboxes": 2})]


async def test_one_mailbox_is_read_anew(store: Store, operator: Operator) -> None:
    await operator.says("resync", "acme", address(2).upper())
    found = await due(store)
    assert (found["box-0001"], await enumerate_at(store)) == (2**33, 2**33)
    assert (found["box-0002"] or 0) <= clock.now()
    assert "is not read" in await operator.fails("resync", "acme", "box-0003")
    assert "no mailbox" in await operator.fails("resync", "acme", "nobody@contoso.com")


async def test_a_removal_held_back_is_shown_and_allowed(store: Store, operator: Operator) -> None:
    assert "no removal is held back" in await operator.fails("allow-removal", "acme", "--yes")
    async with store.write() as writing:
        await writing.execute(update(tables.enumerations).values(held=2, held_of=3))
    assert "busyline allow-removal acme" in await operator.says("status", "acme")
    await operator.says("allow-removal", "acme", "--actor", "eve", typed="y\n")
    async with store.read() as reading:
        allowed = (await reading.execute(select(tables.enumerations.c.allowed_until))).scalar_one()
    assert DAY - 60 < allowed - clock.now() <= DAY
    assert await enumerate_at(store) <= clock.now()
    assert await actions(store) == [("removal.allowed", "eve", {"held": 2, "held_of": 3})]


# -- erasing ------------------------------------------------------------------------------------------------------


async def fetching(store: Store, url: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """Do the work beside a fetcher and a publisher that erase what they are asked to."""
    broker, stop = open_broker(url), asyncio.Event()

    async def handle(message: Message, _: Delivery) -> Done:
        assert isinstance(message, MailboxErase)
        mine = message.mailbox_id
        async with store.write() as writing:
            stub = update(tables.mailboxes).where(tables.mailboxes.c.mailbox_id == mine)
            await writing.execute(stub.values(address="", bucket="excluded", reason="erased", due_at=None))
            await writing.execute(delete(tables.timelines).where(tables.timelines.c.mailbox_id == mine))
            gone = (tables.updates.c.mailbox_id == mine, tables.updates.c.type == "availability.updated.v1")
            await writing.execute(delete(tables.updates).where(*gone))
        return Done()

    running = asyncio.create_task(broker.run([Consumer("fetcher.purge", handle)], service="fetcher", stop=stop))
    try:
        return await work()
    finally:
        stop.set()
        await running
        await broker.close()


async def test_a_mailbox_is_erased_over_the_broker(store: Store, on_rabbitmq: Operator, amqp_url: str) -> None:
    async with store.write() as writing:
        await writing.execute(tables.updates.insert(), [update_row(1, 3), update_row(2, 3, "mailbox.removed.v1")])
    erase = ("erase", "acme", address(1), "--yes", "--actor", "eve")
    said = await fetching(store, amqp_url, lambda: on_rabbitmq.says(*erase))
    assert "updates in the log: 1" in said
    assert address(1) not in said
    assert await actions(store) == [("mailbox.erased", "eve", {})]
    assert "erased already" in await on_rabbitmq.says("erase", "acme", "box-0001", "--yes")


async def test_the_embedded_broker_cannot_be_asked_to_erase(store: Store, operator: Operator) -> None:
    assert "lives inside the process" in await operator.fails("erase", "acme", "box-0001", "--yes")
    assert await actions(store) == []


# -- looking ------------------------------------------------------------------------------------------------------


async def test_status_says_what_needs_attention_and_what_comes_next(store: Store, operator: Operator) -> None:
    async with store.write() as writing:
        attention = {"state": "attention", "reason": "consent_missing", "sentence": "Give consent again."}
        await writing.execute(update(tables.orgs).values(**attention))
        await writing.execute(update(tables.mailboxes).values(waiting="throttled"))
        one = {"org_id": "acme", "mailbox_id": "box-0001", "subscription_id": "s", "expires_at": 2**33, "wanted": True}
        await writing.execute(tables.subscriptions.insert().values(one | {"act_at": 0, "failures": 1}))
    said = await operator.says("status", "acme")
    for word in (
        "attention",
        "Give consent again.",
        "throttled 3",
        "wanted",
        "1970-01-01T00:00:07Z",
        "2242-03-16",
    ):
        assert word in said


async def test_watching_leaves_out_what_older_generations_told(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    async with store.write() as writing:
        rows = [update_row(1, 2), update_row(2, 2, "mailbox.removed.v1") | {"body": b'{"mailbox":"a@x","reason":"r"}'}]
        await writing.execute(tables.updates.insert(), [*rows, update_row(3, 3)])
    watching = asyncio.create_task(follow(store, after=0))
    said = ""

    def told() -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return "told3@" in said

    await until(told)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert "told1@" not in said
    assert "a@x" in said


# -- the audit log ------------------------------------------------------------------------------------------------


async def test_a_changed_entry_is_named(store: Store, operator: Operator) -> None:
    async with store.write() as writing:
        for action in ("org.requested", "org.connected", "org.resynced"):
            await audit.append(store, writing, chain="acme", actor="eve", action=action, details={"n": 1}, now=0)
        await audit.append(store, writing, chain="-", actor="eve", action="key.rotated", details={}, now=0)
    assert "org.connected" in await operator.says("audit", "acme")
    lines = (await operator.run("audit", "acme", "--json")).stdout.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3]
    assert "acme: 3 entries, whole" in await operator.says("audit", "--verify", "--all")
    await tamper(store)
    said = await operator.fails("audit", "--verify", "--all")
    assert "acme: entry 2 is broken" in said
    assert "-: 1 entries, whole" in said
    await operator.fails("audit", code=2)
    assert "no entry" in await operator.fails("audit", "other")


async def tamper(store: Store) -> None:
    """Change an entry as somebody with all rights could."""
    async with store.write() as writing:
        if store.is_sqlite:
            names = await writing.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in names.fetchall():
                await writing.exec_driver_sql(f'DROP TRIGGER "{name}"')
        else:
            await writing.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER ALL")
        changed = update(tables.audit).where(tables.audit.c.chain == "acme", tables.audit.c.number == 2)
        await writing.execute(changed.values(actor="somebody"))


async def test_consumers_and_keys_leave_their_entries(store: Store, operator: Operator) -> None:
    load_vault(operator.environment["BUSYLINE_KEYS_FILE"], create=True)
    token = await operator.says("consumers", "add", "crm", "--org", "acme", "--actor", "eve")
    assert await consumers.bearer_of(store, token) is not None
    await operator.fails("consumers", "add", "crm", "--org", "acme")
    await operator.says("consumers", "remove", "crm", "--actor", "eve")
    await operator.fails("consumers", "remove", "crm")
    await operator.says("keys", "rotate", "--actor", "eve")
    assert await actions(store, "-") == [
        ("consumer.added", "eve", {"consumer": "crm", "orgs": 1, "every_org": False}),
        ("consumer.removed", "eve", {"consumer": "crm"}),
        ("key.rotated", "eve", {"credentials": 0}),
    ]
    await operator.fails("consumers", "add", "a b", "--all", code=2)
    await operator.fails("consumers", "add", "crm", code=2)


async def test_dead_letters_leave_their_entries(store: Store, on_rabbitmq: Operator, amqp_url: str) -> None:
    broker, stop = open_broker(amqp_url), asyncio.Event()

    async def refuse(_: Message, __: Delivery) -> Done:
        raise Reject("wrong")

    running = asyncio.create_task(broker.run([Consumer("fetcher.backfill", refuse)], service="fetcher", stop=stop))
    try:
        await broker.publish([MailboxRead(org_id="acme", generation=3, mailbox_id=f"b{n}", since=0) for n in range(3)])
        await until(lambda: _parked(broker, 3))
    finally:
        stop.set()
        await running
    try:
        first = (await broker.parked())[0].parked_id
        said = await on_rabbitmq.fails("dead-letters", "drop", first, "nobody", "--actor", "eve")
        assert "1 dropped" in said
        assert "no dead letter nobody" in said
        assert "2 replayed" in await on_rabbitmq.says("dead-letters", "replay", "--all", "--actor", "eve")
        assert await actions(store) == [
            ("letter.dropped", "eve", {"letters": 1}),
            ("letter.replayed", "eve", {"letters": 2}),
        ]
        await on_rabbitmq.fails("dead-letters", "drop", code=2)
    finally:
        await broker.close()


async def _parked(broker: Any, count: int) -> bool:
    return len(await broker.parked()) == count
