"""The operator's hands on a running Busyline, over RabbitMQ and PostgreSQL: a mailbox is erased, the org leaves."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

from click.testing import CliRunner

from deploy.command import published
from deploy.command.main import main
from deploy.command.trial import Trial, TrialOptions, trial
from deploy.sandbox import SandboxOptions
from shared.contracts.policy import Detail, Policy
from tests.waiting import until


class Operator:
    """Runs commands in a thread, beside the services on the test's loop."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    async def says(self, *arguments: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=self.environment)
        assert result.exit_code == 0, result.output
        return " ".join(result.stdout.split())


async def read_all(running: Trial) -> bool:
    return published.progress(await running.api.status()).complete


async def test_a_mailbox_is_erased_and_then_the_org_leaves_and_nothing_is_found(
    tmp_path: Path, amqp_url: str, migrated_postgres_url: str
) -> None:
    sandbox = SandboxOptions(mailboxes=8, events=5, folder=tmp_path, canaries=True)
    policy = Policy(detail=Detail.DETAILS)
    options = TrialOptions(
        folder=tmp_path, sandbox=sandbox, policy=policy, broker_url=amqp_url, database_url=migrated_postgres_url
    )
    settings = {"BUSYLINE_DATABASE_URL": migrated_postgres_url, "BUSYLINE_BROKER_URL": amqp_url, "COLUMNS": "200"}
    operator, witness = Operator(settings), tmp_path / "witness"
    async with trial(options) as running:
        await until(lambda: read_all(running), 60)
        address = running.sandbox.mailboxes()[0].address
        said = await operator.says("erase", running.org_id, address, "--yes")
        assert "Erased" in said
        assert address not in await operator.says("mailboxes", running.org_id)
        disconnect = ("disconnect", running.org_id, "--yes", "--wait", "60", "--witness", str(witness))
        assert "Receipt" in await operator.says(*disconnect)
        receipt = json.loads(await operator.says("receipt", running.org_id))
        assert receipt["counts"]["mailboxes"] >= 8
        canaries = [word for canary in sorted(running.sandbox.canaries)[:20] for word in ("--canary", canary)]
        said = await operator.says(
            "verify-purge", running.org_id, "--witness", str(witness), "--canary", address, *canaries
        )
        assert "Nothing of it was found" in said
        assert "whole" in await operator.says("audit", running.org_id, "--verify")
