"""Leaving, against the sandbox: nothing of an org or of a person stays, here or at Microsoft."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import insert, select

from deploy.sandbox import Fault, FaultKind, RetryForm
from services.fetcher import purging
from services.fetcher.purging import purge
from shared import clock
from shared.contracts.messages import OrgPurge, OrgPurged
from shared.errors import Retry
from shared.tables import enumerations, mailboxes, subscriptions
from tests.integration.town import Town, delivery, leave, set_org, town
from tests.unit.fetcher.collecting import put_mailbox
from tests.waiting import until

PURGE = OrgPurge(org_id="org1", generation=2, purge_id="a" * 32, service="fetcher")


async def left_over(here: Town) -> int:
    async with here.context.store.read() as connection:
        tables = [
            await connection.execute(select(table.c.org_id)) for table in (mailboxes, subscriptions, enumerations)
        ]
        return sum(len(rows.all()) for rows in tables)


async def purged(here: Town) -> dict[str, int]:
    done = await purge(here.context, here.broker, PURGE, delivery())  # type: ignore[arg-type]
    (answer,) = done.messages
    assert isinstance(answer, OrgPurged)
    assert (answer.org_id, answer.purge_id, answer.service) == ("org1", "a" * 32, "fetcher")
    return answer.counts


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "SETTLED", 0.01)


async def test_nothing_of_an_org_stays_here_or_at_microsoft(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url, mailboxes=30) as here:
        await here.keep()
        forgotten = here.sandbox.subscriptions()[0]
        elsewhere = replace(forgotten, id=str(uuid4()), url="https://elsewhere.example/", change_types="deleted")
        here.sandbox.notifications.subscriptions.put(replace(forgotten, id=str(uuid4()), change_types="created"))
        here.sandbox.notifications.subscriptions.put(elsewhere)
        here.broker.holds = 7
        await leave(here)
        counts = await purged(here)
        assert here.sandbox.subscriptions() == (elsewhere,)
        assert counts == {
            "subscriptions_deleted": 31, "subscriptions_left": 0, "subscriptions": 30, "mailboxes": 30,
            "enumerations": 1, "streams": 0, "messages": 7,
        }  # fmt: skip
        assert await left_over(here) == 0
        assert set(here.broker.forgotten) == {("org1", "fetcher", True, 2)}


async def test_purging_twice_deletes_nothing_more(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        await leave(here)
        await purged(here)
        assert set((await purged(here)).values()) == {0}


async def test_what_was_written_while_the_org_left_goes_as_well(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await leave(here)
        late = iter([True])

        async def forget(*_: object, **__: object) -> int:
            if next(late, False):  # a page of the directory that was in hand
                await put_mailbox(here.context.store, "late")
            return 0

        monkeypatch.setattr(here.broker, "forget", forget)
        assert (await purged(here))["mailboxes"] == 4
        assert await left_over(here) == 0


async def test_an_org_connected_anew_is_left_alone(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        await set_org(here, generation=3)
        assert set((await purged(here)).values()) == {0}
        assert len(here.sandbox.subscriptions()) == 3
        assert here.broker.forgotten == []


async def test_an_org_that_is_not_leaving_is_not_purged(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await set_org(here, generation=2)
        with pytest.raises(Retry):
            await purged(here)
        assert await left_over(here) == 3


async def test_where_microsoft_turns_us_away_subscriptions_are_left_and_counted(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        here.sandbox.revoke()
        here.later(0)
        await leave(here)
        counts = await purged(here)
        assert (counts["subscriptions_deleted"], counts["subscriptions_left"]) == (0, 3)
        assert await left_over(here) == 0


async def test_a_pause_microsoft_orders_is_kept_while_there_is_time(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        await leave(here)
        fault = Fault(kind=FaultKind.THROTTLE, match="subscriptions/", times=2, seconds=1, retry_form=RetryForm.INTEGER)
        here.sandbox.order(fault)
        assert (await purged(here))["subscriptions_left"] == 0
        assert here.sandbox.subscriptions() == ()


async def test_a_microsoft_that_does_not_recover_holds_nothing_up(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "PATIENCE", 0.1)
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        await leave(here)
        here.sandbox.order(Fault(kind=FaultKind.ERROR, match="subscriptions|batch", status=503))
        assert (await purged(here))["subscriptions_left"] == 3
        assert await left_over(here) == 0


async def test_what_is_made_while_the_org_leaves_is_deleted_by_whoever_made_it(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        here.sandbox.order(Fault(kind=FaultKind.SLOW, match="batch", times=1, seconds=1))
        here.keeper._check_at["org1"] = clock.now() + 100
        looking = asyncio.create_task(here.keep(looks=1))

        async def claimed() -> bool:
            rows = (await here.rows()).values()
            return len(rows) == 3 and all(row.act_at > clock.now() for row in rows)

        await until(claimed)
        await leave(here)
        await purged(here)
        assert here.sandbox.requests.kinds["subscriptions"] < 3  # they are still to be made
        await looking
        assert here.sandbox.notifications.counts.created == 3
        assert here.sandbox.subscriptions() == ()
        assert await left_over(here) == 0


async def test_two_thousand_subscriptions_go_in_a_hundred_requests(tmp_path: Path, sqlite_url: str) -> None:
    async with town(tmp_path, sqlite_url) as here:
        await here.keep()
        model = here.sandbox.subscriptions()[0]
        for number in range(2000):
            made = replace(model, id=f"{number:08}-0000-4000-8000-000000000000", user_id=f"u{number}")
            here.sandbox.notifications.subscriptions.put(made)
        async with here.context.store.write() as connection:
            same = {"org_id": "org1", "wanted": True, "act_at": 0, "failures": 0}
            names = {f"u{number}": f"{number:08}-0000-4000-8000-000000000000" for number in range(2000)}
            rows = [same | {"mailbox_id": user, "subscription_id": name} for user, name in names.items()]
            await connection.execute(insert(subscriptions), rows)
        await leave(here)
        before = here.sandbox.requests.kinds.copy()
        assert (await purged(here))["subscriptions_deleted"] == 2003
        asked = here.sandbox.requests.kinds - before
        assert (asked["batch"], asked["subscriptions"]) == (101, 1)  # twenty deletions a request, and a look
