"""What an Exchange organisation allows less of is erased and asked for no more; one that leaves leaves nothing."""

from pathlib import Path
from uuid import uuid4

import pytest

from deploy.sandbox.calendars import CANARY
from services.authorizer import orgs as authorizer_orgs
from services.authorizer.receipts import receipt
from services.fetcher import polling
from services.fetcher.settings import Settings
from shared.contracts.messages import MailboxEnumerate, MailboxErase, OrgDisconnected
from tests.pipeline import leaving
from tests.pipeline.exchange import DETAILS, FREE_BUSY, Organisation, organisation
from tests.waiting import until

KEEPING = {"timelines", "updates"}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "INTERVAL", 0.1)


async def test_details_that_are_withdrawn_are_erased_and_asked_for_no_more(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=DETAILS, canaries=True) as made:
        assert set(await made.holding(CANARY)) == KEEPING  # or nothing is shown
        await made.under(FREE_BUSY)
        await made.settled()
        await until(lambda: _read_under(made, 2))
        assert await made.holding(CANARY) == []
        made.sandbox.forget_requests()
        await made.read_again()
        assert made.asked().keys() == {"GetUserAvailability"}
        await made.under(DETAILS)
        await until(lambda: _shown(made))
        await made.settled()


async def test_nothing_is_left_of_an_exchange_organisation_that_leaves(tmp_path: Path) -> None:
    streaming = Settings(exchange_streaming=True)
    async with organisation(tmp_path, policy=DETAILS, fetcher=streaming, canaries=True) as made:
        await until(lambda: _holds(made, "streams"))
        listed = await leaving.listed(made.store, made.scene.org_id, tmp_path / "witness")
        assert made.sandbox.ews_scope in listed.read_text()
        await made.broker.publish([OrgDisconnected(org_id=made.scene.org_id)])

        async def gone() -> bool:
            return (
                await receipt(made.store, made.scene.org_id) is not None
                and await authorizer_orgs.org(made.store, made.scene.org_id) is None
            )

        await until(gone)
        named = (made.sandbox.ews_user, "svc-busyline", made.sandbox.ews_password, *made.sandbox.canaries[:100])
        said = await leaving.searched(made.here.deployment, made.scene.org_id, listed, canaries=named)
        assert "Nothing of it was found" in said
        left = await receipt(made.store, made.scene.org_id)
        assert left is not None
        assert left.counts["mailboxes"] == len(made.addresses())
        assert left.counts["streams"] >= 0
        for table in ("streams", "credentials", "mailboxes", "policies"):
            assert not await _holds(made, table), table


async def test_a_mailbox_that_is_erased_is_not_read_again(tmp_path: Path) -> None:
    async with organisation(tmp_path, policy=DETAILS) as made:
        address = made.addresses()[-1]  # the first one is named in the connection, too
        mailbox_id, org = (await made.rows())[address].mailbox_id, await made.org()
        await made.broker.publish([MailboxErase(org_id=org.org_id, generation=org.generation, mailbox_id=mailbox_id)])

        async def erased() -> bool:
            held = [row for row in await made.table("mailboxes") if row.mailbox_id == mailbox_id]
            return [(row.address, row.sync_state) for row in held] == [("", None)]

        await until(erased)
        made.sandbox.forget_requests()
        run = uuid4().hex
        await made.broker.publish([MailboxEnumerate(org_id=org.org_id, generation=org.generation, run=run)])
        await until(lambda: _searched(made, run))
        await made.read_again()
        assert made.sandbox.requests.mailboxes[address] == 0
        assert await erased()
        assert (await made.scene.differences()).keys() == {address}


async def _read_under(made: Organisation, generation: int) -> bool:
    return all(row.read_generation == generation for row in (await made.rows()).values())


async def _shown(made: Organisation) -> bool:
    return set(await made.holding(CANARY)) == KEEPING


async def _searched(made: Organisation, run: str) -> bool:
    rows = await made.table("enumerations")
    return all(row.run == run and row.finished_at for row in rows)


async def _holds(made: Organisation, table: str) -> bool:
    return bool(await made.table(table))
