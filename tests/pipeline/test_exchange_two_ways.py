"""One deployment reaches organisations by Graph and by EWS; one may change from one to the other, and back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import ClientResponseError
from msgspec.structs import replace

from deploy.command.api import Api
from deploy.sandbox import Fault, FaultKind
from services.fetcher import polling, runs, subscribing
from services.publisher import consumers
from shared import clock
from shared.contracts.messages import GraphConnection, MailboxEnumerate, OrgConnected
from shared.ews.credential import EwsCredential
from tests.pipeline.embedded import way_in
from tests.pipeline.exchange import FREE_BUSY, Organisation, meeting, organisation
from tests.pipeline.fleet import seal
from tests.pipeline.scene import Scene
from tests.waiting import until

OFTEN = replace(FREE_BUSY, poll_seconds=1)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "INTERVAL", 0.1)
    monkeypatch.setattr(subscribing, "REVISED", 1)


async def test_organisations_of_both_sorts_are_followed_side_by_side(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=OFTEN, tenants=2) as made:
        tenant = made.sandbox.tenant_ids[1]
        cloud = Scene(made.sandbox, made.store, org_id="cloud", policy=OFTEN, tenant=tenant)
        credential, connection = way_in(made.sandbox, "graph", "cloud")
        assert isinstance(connection, GraphConnection)
        await seal(made.store, made.here.deployment, "cloud", credential)
        connection = replace(connection, tenant_id=tenant)
        await made.broker.publish([OrgConnected(org_id="cloud", connection=connection, policy=OFTEN)])
        await cloud.agrees(within=60)
        cloud.stir(3)
        made.scene.stir(3)
        await cloud.agrees(within=60)
        await made.scene.agrees(within=60)
        assert await made.broker.parked() == []


async def test_an_organisation_moves_from_graph_to_exchange_and_back(tmp_path: Path) -> None:
    async with organisation(tmp_path, provider="graph") as made:
        everybody = len(made.addresses())
        await until(lambda: len(made.sandbox.subscriptions()) == everybody)
        account = EwsCredential(username=made.sandbox.ews_user, password=made.sandbox.ews_password)
        await seal(made.store, made.here.deployment, "account", account)
        # the verification asks once; what is read afterwards fails
        made.sandbox.order(Fault(kind=FaultKind.ERROR, match="GetUserAvailability", after=1, status=502))
        await made.connect(made.way_in(credential="account"))
        await until(lambda: _searched(made, 2))
        async with _api(made) as api:
            for address in made.addresses():
                with pytest.raises(ClientResponseError):  # what Graph said is not shown as the server's
                    await api.availability(address)
            made.sandbox.clear_faults()
            await _without_those_before(made, 2)
            await made.settled()
            assert all(row.mailbox_id.startswith("a-") for row in (await made.rows()).values())
            await until(lambda: _wanted(made, 0))
            assert all([await api.availability(address) for address in made.addresses()])
        await made.connect(way_in(made.sandbox, "graph", made.scene.org_id)[1])
        await until(lambda: _searched(made, 3))
        await _without_those_before(made, 3)
        await made.settled()
        await until(lambda: _wanted(made, everybody))
        assert len(made.sandbox.subscriptions()) == everybody
        made.sandbox.forget_requests()
        made.sandbox.add_event(made.addresses()[0], meeting(30))
        await made.scene.agrees(within=60)
        assert made.asked() == {}
        assert await made.broker.parked() == []


async def _without_those_before(made: Organisation, generation: int) -> None:
    """Give the operator's word that the mailboxes of the connection before may go, and search again."""
    await runs.allow_removal(made.store, made.scene.org_id, until=clock.now() + 600)
    run = MailboxEnumerate(org_id=made.scene.org_id, generation=generation, run=uuid4().hex)
    await made.broker.publish([run])

    async def swept() -> bool:
        left = [row for row in (await made.table("mailboxes")) if row.generation < generation]
        return await _searched(made, generation) and {row.bucket for row in left} <= {"removed"}

    await until(swept)


@asynccontextmanager
async def _api(made: Organisation) -> AsyncIterator[Api]:
    token = await consumers.add(made.store, "tests", [made.scene.org_id], now=clock.now())
    async with Api(f"http://127.0.0.1:{made.here.publisher_port}", token, made.scene.org_id) as api:
        yield api


async def _wanted(made: Organisation, count: int) -> bool:
    rows = await made.table("subscriptions")
    return len([row for row in rows if row.wanted and row.subscription_id]) == count


async def _searched(made: Organisation, generation: int) -> bool:
    (run,) = await made.table("enumerations")
    return bool(run.generation == generation and run.finished_at)
