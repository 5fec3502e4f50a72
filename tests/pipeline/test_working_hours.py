"""Working hours that change at Microsoft arrive at consumers, through both doors and under both policies."""

from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import select

from deploy.sandbox.directory import Hours
from services.fetcher import polling
from shared.contracts.messages import MailboxEnumerate
from shared.contracts.policy import Policy
from shared.contracts.public import AvailabilityUpdated, WeeklyHours, WeeklyPeriod
from shared.tables import updates
from tests.pipeline.exchange import DETAILS, FREE_BUSY, Organisation, organisation
from tests.waiting import until

WEEK = Hours(days=("sunday", "monday"), start=600, end=0, time_zone="America/New_York")
WEEKLY = WeeklyHours(
    time_zone="America/New_York", periods=(WeeklyPeriod(days=("monday", "sunday"), start="10:00", end="24:00"),)
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "INTERVAL", 0.1)


async def told(made: Organisation, address: str) -> list[AvailabilityUpdated]:
    """Return what consumers were told of one mailbox, in order."""
    query = select(updates.c.body).where(updates.c.type == "availability.updated.v1").order_by(updates.c.position)
    async with made.store.read() as connection:
        bodies = (await connection.execute(query)).scalars().all()
    found = (msgspec.json.decode(body, type=AvailabilityUpdated) for body in bodies)
    return [update for update in found if update.mailbox == address]


@pytest.mark.parametrize(
    ("provider", "policy"),
    [("graph", FREE_BUSY), ("ews", FREE_BUSY), ("ews", DETAILS)],
    ids=["Graph", "Exchange, free/busy", "Exchange, details"],
)
async def test_hours_that_change_are_told_once_and_no_others(tmp_path: Path, provider: str, policy: Policy) -> None:
    async with organisation(tmp_path, policy=policy, provider=provider, mailboxes=3, events=2) as made:
        address = made.addresses()[0]
        before = await told(made, address)
        assert {str(update.working_hours and update.working_hours.time_zone) for update in before} == {"Europe/Berlin"}
        made.sandbox.change_user(address, working_hours=WEEK)
        org = await made.org()
        search = MailboxEnumerate(org_id=org.org_id, generation=org.generation, run=uuid4().hex)
        await made.broker.publish([search])
        if provider == "ews" and policy is FREE_BUSY:  # there every reading tells them
            await made.read_again()

        async def arrived() -> bool:
            return (await told(made, address))[-1].working_hours == WEEKLY

        await until(arrived, 30)
        more = (await told(made, address))[len(before) :]
        assert [update.working_hours for update in more] == [WEEKLY]
        others = [each for each in made.addresses() if each != address]
        assert [len(await told(made, each)) for each in others] == [1] * len(others)
