"""A password that is wrong, at once or later, costs the service account a bounded number of failed sign-ins."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import select

from services.authorizer import orgs as authorizer_orgs
from services.fetcher import exchange_server, polling, runs
from services.fetcher.mailboxes import Mailboxes
from shared.contracts.messages import OrgConnected
from shared.contracts.policy import Policy
from shared.ews.credential import EwsCredential
from shared.tables import orgs
from tests.pipeline.exchange import DETAILS, FREE_BUSY, Organisation, meeting, organisation
from tests.pipeline.fleet import seal
from tests.waiting import until

LATE = "another-password-1"
FEW = 3
QUIET = 0.2  # seconds after which a sign-in is no longer taken for good
OTHER = "other"


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often somebody looked for due mailboxes, which is often."""
    looked: list[int] = []
    kinds_due = Mailboxes.kinds_due

    async def counted(self: Mailboxes, now: int) -> Any:
        looked.append(now)
        return await kinds_due(self, now)

    monkeypatch.setattr(Mailboxes, "kinds_due", counted)
    monkeypatch.setattr(polling, "INTERVAL", 0.1)
    return lambda: len(looked)


@pytest.mark.parametrize("auth", ["basic", "ntlm"])
async def test_a_wrong_password_is_tried_once_and_the_organisation_refused(
    tmp_path: Path, polls: Callable[[], int], auth: Literal["basic", "ntlm"]
) -> None:
    async with organisation(tmp_path) as made:
        await _sealed(made, "wrong", OTHER)
        connection = made.way_in(auth=auth, credential=OTHER)
        await made.broker.publish([OrgConnected(org_id=OTHER, connection=connection, policy=FREE_BUSY)])

        async def refused() -> bool:
            found = await authorizer_orgs.org(made.store, OTHER)
            return found is not None and found.state == "refused"

        await until(refused)
        found = await authorizer_orgs.org(made.store, OTHER)
        assert found is not None
        assert found.reason == "sign_in_refused"
        assert await _verify_at(made, OTHER) is None  # not by itself
        before = polls()
        await until(lambda: polls() >= before + 5)
        assert made.sandbox.state.ews.failed_sign_ins == {"svc-busyline@sandbox.example": 1}


@pytest.mark.parametrize("policy", [FREE_BUSY, DETAILS], ids=["free-busy", "details"])
async def test_a_password_changed_at_the_server_is_noticed_costs_little_and_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, polls: Callable[[], int], policy: Policy
) -> None:
    monkeypatch.setattr(exchange_server, "LET_IN", QUIET)
    monkeypatch.setattr(runs, "_DOUBT", 1)  # seconds that the organisation is left alone while it is verified
    async with organisation(tmp_path, policy=policy, mailboxes=24, ews_schemes=("basic",)) as made:
        quiet_until = time.monotonic() + QUIET
        await until(lambda: time.monotonic() > quiet_until)
        made.sandbox.ews.change_account(password=LATE)
        await made.make_due()
        found = await made.stands("attention")
        assert found.reason == "sign_in_refused"
        assert await _verify_at(made, made.scene.org_id) is None
        before, failed = polls(), made.failed_sign_ins()
        await until(lambda: polls() >= before + 5)
        assert made.failed_sign_ins() == failed <= FEW
        made.sandbox.add_event(made.addresses()[0], meeting(30))
        await _sealed(made, LATE, made.scene.org_id)
        await made.connect(made.way_in())
        await made.stands("connected")
        await made.make_due()
        await made.settled(within=60)
        assert made.failed_sign_ins() == failed


async def _sealed(made: Organisation, password: str, name: str) -> None:
    account = EwsCredential(username=made.sandbox.ews_user, password=password)
    await seal(made.store, made.here.deployment, name, account)


async def _verify_at(made: Organisation, org_id: str) -> int | None:
    async with made.store.read() as connection:
        found = await connection.execute(select(orgs.c.verify_at).where(orgs.c.org_id == org_id))
        return found.scalar_one_or_none()
