"""A mailbox erased, against the sandbox: only its id is kept, and nothing is left at Microsoft."""

from pathlib import Path

import pytest

from deploy.sandbox import Fault, FaultKind
from services.fetcher.erasing import erase
from shared import clock
from shared.contracts.messages import MailboxErase, MailboxUnreadable
from shared.contracts.values import Bucket
from shared.errors import Retry
from tests.integration.town import delivery, leave, set_org, town
from tests.unit.fetcher.collecting import change_mailbox


def erasure(mailbox_id: str, generation: int = 1) -> MailboxErase:
    return MailboxErase(org_id="org1", generation=generation, mailbox_id=mailbox_id)


async def test_of_an_erased_mailbox_only_its_id_is_kept(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        person = next(iter(here.people))
        await change_mailbox(
            here.context.store, person, version=4, time_zone="W. Europe Standard Time", read_at=1, read_generation=1,
            lease_id="1:x", lease_until=clock.now() + 600, dirty=True, scope_run="r",
            working_hours=b'{"periods":[]}',
        )  # fmt: skip
        await here.keep()
        done = await erase(here.context, erasure(person), delivery())
        (gone,) = done.messages
        assert isinstance(gone, MailboxUnreadable)
        assert (gone.bucket, gone.reason, gone.version, gone.generation) == (Bucket.EXCLUDED, "erased", 5, 1)
        assert (gone.mailbox.address, gone.mailbox.time_zone) == (person, "")
        assert done.commit is not None
        await done.commit()
        row = (await here.mailboxes())[person]
        kept = {name: value for name, value in row._mapping.items() if value not in (None, "", False, 0)}
        assert kept.pop("generation")
        assert kept == {
            "org_id": "org1", "mailbox_id": person, "kind": "user", "bucket": "excluded", "reason": "erased",
            "version": 5,
        }  # fmt: skip
        assert person not in {each.user_id for each in here.sandbox.subscriptions()}
        assert person not in await here.rows()
        await here.keep()
        assert person not in {each.user_id for each in here.sandbox.subscriptions()}


async def test_erasing_again_changes_nothing_but_the_number(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        person = next(iter(here.people))
        for version in (1, 2):
            done = await erase(here.context, erasure(person), delivery())
            assert done.commit is not None
            await done.commit()
            row = (await here.mailboxes())[person]
            assert (row.version, row.address, row.reason) == (version, "", "erased")


async def test_a_mailbox_not_found_yet_is_kept_from_being_read(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        done = await erase(here.context, erasure("unknown-1"), delivery())
        assert len(done.messages) == 1
        row = (await here.mailboxes())["unknown-1"]
        assert (row.bucket, row.reason, row.address) == ("excluded", "erased", "")


async def test_an_erasure_waits_for_nobody_and_its_subscription_goes_when_microsoft_lets_it(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        person = next(iter(here.people))
        number = here.sandbox.order(Fault(kind=FaultKind.ERROR, match="batch", status=503))
        done = await erase(here.context, erasure(person), delivery())
        assert done.commit is not None
        await done.commit()
        assert not (await here.rows())[person].wanted
        here.sandbox.clear_faults(number)
        await here.keep()
        assert person not in {each.user_id for each in here.sandbox.subscriptions()}


async def test_an_erasure_holds_under_a_later_generation(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        person = next(iter(here.people))
        await set_org(here, generation=5)
        done = await erase(here.context, erasure(person), delivery())
        (gone,) = done.messages
        assert isinstance(gone, MailboxUnreadable)
        assert gone.generation == 5
        await set_org(here, generation=6)  # a change of policy comes in between: consumers are told again
        assert done.commit is not None
        with pytest.raises(Retry) as retry:
            await done.commit()
        assert not retry.value.counted


async def test_an_erasure_ahead_of_its_generation_waits(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        with pytest.raises(Retry):
            await erase(here.context, erasure("m1", generation=2), delivery())


async def test_a_leaving_org_erases_nothing_of_its_own_accord(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await leave(here)
        assert (await erase(here.context, erasure("m1"), delivery())).messages == ()
