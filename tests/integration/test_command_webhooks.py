"""`busyline webhooks`: operators see how endpoints do, and stop or resume them; each act is in the audit log."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from deploy.command.main import main
from services.publisher.webhooks import registry
from services.publisher.webhooks.registry import Webhook
from shared.store import open_store
from shared.tables import audit, relay
from tests.unit.publisher.hooks import Clock, FakeSender, Taker, consumer, make, post_with


@pytest.fixture
def webhook(sqlite_url: str, tmp_path: Path) -> Webhook:
    async def work() -> Webhook:
        store = open_store(sqlite_url)
        await consumer(store)
        await consumer(store, "other")
        post = post_with(store, tmp_path, FakeSender(Taker()), Clock())
        made, _ = await make(post, url="https://consumer.example/hook?key=secret-word")
        await make(post, name="other")
        await store.close()
        return made

    return asyncio.run(work())


def run(url: str, *command: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["webhooks", *command], env={"BUSYLINE_DATABASE_URL": url})
    return done.exit_code, done.output


def rows(url: str, *command: str) -> list[dict[str, Any]]:
    code, output = run(url, "list", "--json", *command)
    assert code == 0
    return [json.loads(line) for line in output.splitlines()]


def entries(url: str) -> list[tuple[str, str, dict[str, str]]]:
    async def work() -> list[tuple[str, str, dict[str, str]]]:
        store = open_store(url)
        async with store.read() as connection:
            found = (await connection.execute(select(audit).order_by(audit.c.entry))).all()
        await store.close()
        return [(row.action, row.actor, json.loads(row.details)) for row in found]

    return asyncio.run(work())


def test_the_list_tells_how_they_do_and_names_no_path(sqlite_url: str, webhook: Webhook) -> None:
    assert {row["consumer"] for row in rows(sqlite_url)} == {"booking", "other"}
    (row,) = rows(sqlite_url, "--consumer", "booking")
    assert (row["id"], row["host"], row["state"]) == (webhook.webhook_id, "consumer.example", "enabled")
    code, output = run(sqlite_url, "list")
    assert code == 0
    assert "consumer.example" in output
    assert "secret-word" not in output


def test_one_is_disabled_and_enabled_with_a_word_in_the_audit_log(sqlite_url: str, webhook: Webhook) -> None:
    assert run(sqlite_url, "disable", webhook.webhook_id, "--actor", "ops") == (0, "")
    assert rows(sqlite_url, "--consumer", "booking")[0]["reason"] == "operator"
    assert run(sqlite_url, "enable", webhook.webhook_id, "--actor", "ops") == (0, "")
    assert rows(sqlite_url, "--consumer", "booking")[0]["state"] == "enabled"
    named = {"webhook": webhook.webhook_id}
    assert entries(sqlite_url) == [("webhook.disabled", "ops", named), ("webhook.enabled", "ops", named)]


def test_one_that_cannot_go_on_where_it_was_goes_on_at_the_end(sqlite_url: str, webhook: Webhook) -> None:
    async def forget() -> None:
        store = open_store(sqlite_url)
        async with store.write() as connection:
            await connection.execute(relay.insert().values(name="forgotten", position=1))
        await registry.disable(store, webhook.webhook_id, "position_forgotten")
        await store.close()

    asyncio.run(forget())
    code, output = run(sqlite_url, "enable", webhook.webhook_id)
    assert code == 0
    assert "snapshot" in output


@pytest.mark.parametrize("act", ["enable", "disable"])
def test_one_that_is_not_there_is_an_error(sqlite_url: str, act: str) -> None:
    code, output = run(sqlite_url, act, "wh_none")
    assert code == 1
    assert "no webhook of that id" in output
    assert entries(sqlite_url) == []
